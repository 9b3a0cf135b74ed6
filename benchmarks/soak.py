"""Whether a daemon stays as small as it was: half an hour of training, ten thousand strangers.

A fleet of real daemons learns in rounds as fast as it can, forked by one parent, otherwise with the
shipped settings. After a warm-up a process of its own (`knocks`) connects ten thousand times to one
of them and goes again. Of each daemon its private memory, descriptors, threads, tasks and the size
of every table that its objects keep (`gossipd/operator/census.py`) are looked at all the while.

**No growth** is, over what comes after the warm-up (a third of the time):

- private memory: the Theil-Sen slope (the median of the slopes between any two looks, which some
  odd looks do not move) is at most 6 MB an hour: 300 bytes for each of the ten thousand that are
  gone;
- descriptors, threads, tasks: their median over the last sixth is at most 2 above that of the
  first;
- tables: none whose median over the last sixth is above both that of the first and that of the
  sixth in the middle, by 16 entries and by a twentieth; but for those that have a bound in the code
  and are below it.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

import psutil
from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.protocol.aggregator import FINISHED
from gossipd.protocol.exchange import REMEMBERED_UPDATES
from gossipd.protocol.peers import PASSERS_BY
from gossipd.protocol.roster import State
from gossipd.runtime.opened import ROOM
from gossipd_cli.output import table
from gossipd_scenarios.fleet import LOOPBACK, Fleet, Member, Setting

NODES = 5
MINUTES, QUICK_MINUTES = 30.0, 0.4
CONNECTS, QUICK_CONNECTS = 10_000, 40
LOOKS = 120
"""Over the whole time."""
FASTEST_LOOK = 1.0
WARM_UP = 1 / 3
"""Of the time; the knocks begin at its end and take up to the last eighth, in which those who have
just gone may be forgotten."""
KNOCKING = 7 / 8 - WARM_UP
SETTLE_SECONDS = 60.0
SHORTEST = 256
"""Bytes of a claim, about."""
BOUNDED = {
    "Exchange._seen": REMEMBERED_UPDATES,
    "Aggregator._finished": FINISHED,
    "Opened._kept": ROOM // SHORTEST,
    "Peer.refused": PASSERS_BY + NODES,
    "Peers._passers": PASSERS_BY,
    "Roster.table": PASSERS_BY + NODES,
    "Roster._in": PASSERS_BY + NODES + len(State),
}
"""Tables that are made to grow until they are full."""
COUNTS = ("descriptors", "threads", "tasks", "network_tasks")
ENTRIES, SHARE = 16, 0.05
"""How much a table may grow."""


@dataclass(frozen=True, slots=True)
class Look:
    """One daemon at one time."""

    seconds: float
    """Since all were up."""
    private: float
    """MB that are its own."""
    descriptors: int
    threads: int
    tasks: int
    network_tasks: int
    objects: int
    tables: Mapping[str, int]
    round: int


Looks = Mapping[str, Sequence[Look]]
"""Of each daemon, in order. The first one is knocked at."""


def measure(options: Options) -> Report:
    """One run."""
    minutes = QUICK_MINUTES if options.quick else float(options.own["minutes"])
    connects = QUICK_CONNECTS if options.quick else int(options.own["connects"])
    looks, knocked = asyncio.run(_run(options.data, minutes * 60, connects))
    after = {
        name: [look for look in seen if look.seconds >= WARM_UP * minutes * 60]
        for name, seen in looks.items()
    }
    return Report(
        dataset="digits" if options.data is None else "fashion-8k",
        text=_text(after, minutes, knocked),
        data={
            "minutes": minutes,
            "knocks": knocked,
            "rows": [
                {"daemon": name, **asdict(look)} for name, seen in looks.items() for look in seen
            ],
        },
        measured=_measured(after),
        figures={"memory": _figure(looks, minutes)},
    )


# --- one run --------------------------------------------------------------------------------------


async def _run(
    data: Path | None, seconds: float, connects: int
) -> tuple[dict[str, list[Look]], Mapping[str, int]]:
    with tempfile.TemporaryDirectory(prefix="gossipd-soak-") as directory:
        async with Fleet(Path(directory), temporary=True) as fleet:
            members = await _launch(fleet, data)
            began = time.monotonic()
            knocking = asyncio.create_task(_knock(members[0], seconds, connects))
            looks: dict[str, list[Look]] = {member.name: [] for member in members}
            pause = max(seconds / LOOKS, FASTEST_LOOK)
            try:
                while time.monotonic() - began < seconds:
                    for member in members:
                        looks[member.name].append(await _look(member, began))
                    await asyncio.sleep(pause)
                knocked = await asyncio.wait_for(knocking, SETTLE_SECONDS)
            finally:
                knocking.cancel()
            fleet.check()
            return looks, knocked


async def _launch(fleet: Fleet, data: Path | None) -> list[Member]:
    task: dict[str, Setting] = {"task.partition": "iid", "task.nodes": NODES}
    if data is not None:
        task |= {"task.name": "idx", "task.data": str((data / "fashion-8k").resolve())}
    settings = {**LOOPBACK, **task, "rounds.round_seconds": 0.0}
    first = await fleet.start("n0", {**settings, "task.node": 0})
    others = [
        fleet.start(f"n{n}", {**settings, "task.node": n, "network.peers": first.addresses})
        for n in range(1, NODES)
    ]
    return [first, *await asyncio.gather(*others)]


async def _knock(member: Member, seconds: float, connects: int) -> Mapping[str, int]:
    await asyncio.sleep(WARM_UP * seconds)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.knocks",
        member.addresses[0],
        str(connects),
        str(KNOCKING * seconds),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    counted: dict[str, int] = json.loads(said)
    return counted


async def _look(member: Member, began: float) -> Look:
    inside, status = await member.inside(), await member.status()
    process = psutil.Process(member.pid)
    return Look(
        seconds=time.monotonic() - began,
        private=process.memory_full_info().uss / 1e6,
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        tasks=inside["tasks"],
        network_tasks=inside["network_tasks"],
        objects=inside["objects"],
        tables=inside["tables"],
        round=status["round"]["number"],
    )


# --- what it means --------------------------------------------------------------------------------


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes between any two points. ValueError without two."""
    slopes = [(d - b) / (c - a) for (a, b), (c, d) in combinations(points, 2) if a != c]
    if not slopes:
        raise ValueError("a slope needs two points")
    return median(slopes)


def sixths(values: Sequence[float]) -> tuple[float, float, float]:
    """The medians of the first, a middle and the last sixth."""
    width = max(1, len(values) // 6)
    middle = len(values) // 2
    parts = (values[:width], values[middle : middle + width], values[-width:])
    first, centre, last = (median(part) for part in parts)
    return first, centre, last


def grows(entries: Sequence[int]) -> bool:
    """Whether a table is still growing at the end."""
    first, centre, last = sixths(entries)
    return all(last - before > max(ENTRIES, SHARE * last) for before in (first, centre))


def growing(looks: Sequence[Look]) -> dict[str, tuple[int, int]]:
    """The tables that grow -> entries at the first and the last look."""
    names = {name for look in looks for name in look.tables}
    entries = {name: [look.tables.get(name, 0) for look in looks] for name in sorted(names)}
    return {
        name: (seen[0], seen[-1])
        for name, seen in entries.items()
        if grows(seen) and seen[-1] > BOUNDED.get(name, 0)
    }


def _hourly(looks: Sequence[Look]) -> float:
    return 3600 * slope([(look.seconds, look.private) for look in looks])


def _gained(looks: Sequence[Look], count: str) -> float:
    first, _, last = sixths([getattr(look, count) for look in looks])
    return last - first


def _measured(after: Looks) -> Mapping[str, float | None]:
    knocked, *others = after.values()
    every = [knocked, *others]
    return {
        "knocked at: MB an hour": _hourly(knocked),
        "the others: MB an hour, the worst": max(map(_hourly, others)),
        **{
            f"{count.replace('_', ' ')} gained, the worst": max(_gained(d, count) for d in every)
            for count in COUNTS
        },
        "tables that grow": float(len({name for looks in every for name in growing(looks)})),
    }


def _text(after: Looks, minutes: float, knocked: Mapping[str, int]) -> str:
    rows = []
    for name, looks in after.items():
        first, last = looks[0], looks[-1]
        counts = [f"{getattr(first, c)} - {getattr(last, c)}" for c in COUNTS]
        rows.append(
            (
                name,
                f"{first.private:.1f} - {last.private:.1f}",
                f"{_hourly(looks):+.1f}",
                *counts,
                f"{first.objects} - {last.objects}",
                f"{first.round} - {last.round}",
            )
        )
    head = ("daemon", ">private MB", ">MB an hour", *(f">{c.replace('_', ' ')}" for c in COUNTS))
    tables = [
        f"  {daemon}  {name}: {first} - {last}"
        for daemon, looks in after.items()
        for name, (first, last) in growing(looks).items()
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in knocked.items())
    return "\n".join(
        [
            f"{len(after)} daemons, {minutes:g} minutes, of which what follows the first third; n0 "
            f"was knocked at: {kinds}",
            "",
            table((*head, ">objects", ">round"), rows),
            "",
            "tables that grow:" if tables else "no table grows",
            *tables,
        ]
    )


def _figure(looks: Looks, minutes: float) -> Figure:
    figure = Figure(figsize=(8, 6), layout="constrained")
    memory, objects = figure.subplots(2, 1, sharex=True)
    for number, (name, seen) in enumerate(looks.items()):
        times = [look.seconds / 60 for look in seen]
        style = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": "-" if number == 0 else "--",
            "label": f"{name}, knocked at" if number == 0 else name,
        }
        memory.plot(times, [look.private for look in seen], **style)
        objects.plot(times, [look.objects / 1000 for look in seen], **style)
    for place, unit in ((memory, "private MB"), (objects, "objects, thousands")):
        place.axvspan(WARM_UP * minutes, (WARM_UP + KNOCKING) * minutes, color="0.9")
        place.set_ylabel(unit)
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
    objects.set_xlabel("minutes; strangers come in the grey part")
    memory.legend()
    return figure


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"default {MINUTES:g}")
    parser.add_argument(
        "--connects", type=int, default=CONNECTS, metavar="N", help=f"default {CONNECTS}"
    )


if __name__ == "__main__":
    sys.exit(main("soak", "Whether a daemon stays as small as it was.", measure, _options))
