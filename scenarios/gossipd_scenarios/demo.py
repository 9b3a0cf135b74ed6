"""`gossipd demo`: daemons that each know two digits teach each other all ten.

Five real daemons on this machine, each with the examples of two classes only. First each is alone,
and recognises what it has seen. Then they are told of each other and learn together; in the middle
of it one is killed and comes back with its last committed model. How good each is, is measured by
another process on models that the daemons export.
"""

import asyncio
import json
import math
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossipd.errors import ExitCode, OperatorError
from gossipd_scenarios import plot
from gossipd_scenarios.fleet import LOOPBACK, Fleet, FleetError, Member
from gossipd_scenarios.judge import Judge
from gossipd_scenarios.screen import Screen, screen_for
from gossipd_scenarios.track import Track

Document = dict[str, Any]

CLASSES = 10
CLASSES_PER_NODE = 2
ALONE_SECONDS = 6.0
"""Enough to learn two digits by heart."""
MEASURE_SECONDS = 1.0
ENOUGH_MEAN, ENOUGH_WORST = 0.92, 0.88
"""The demo ends when these hold for ENOUGH_TIMES measurements of all nodes."""
ENOUGH_TIMES = 2
KILL_AT_MEAN = 0.7
"""There is something to lose by then. At a third of the time at the latest."""
DOWN_SECONDS = 3.0
PLOT_NAME = "gossipd-demo.png"


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` takes, as a dictionary."""

    nodes: int = 5
    mode: str = "rounds"
    seconds: float = 90.0
    """Longest time that they learn together."""
    exchange: bool = True
    averaging: str = "variance_corrected"
    output: Path | None = None
    """A directory, or a name that ends in .png. None: PLOT_NAME in the current directory."""
    keep: bool = False
    """Leave the daemons' homes and logs in place."""
    quiet: bool = False

    @property
    def classes_per_node(self) -> int:
        """Two, or more where it takes more for them to hold all classes together."""
        return max(CLASSES_PER_NODE, math.ceil(CLASSES / self.nodes))

    @property
    def image(self) -> Path:
        if self.output is None:
            return Path(PLOT_NAME)
        return self.output if self.output.suffix == ".png" else self.output / PLOT_NAME


def run(options: Document) -> Document:
    """Run the demo and return what came of it; `options` as the fields of `Options`.

    {names, classes: [[label]], alone: [accuracy], together: [accuracy], mean, worst, reached,
    seconds, phases: {alone | together: [from, to]}, killed, bytes_per_node: [{sent, received}],
    updates: {kind: count}, mode, rounds, ablations: {exchange, averaging},
    history: {name: {times, accuracies}}, plot, homes, summary}.
    Accuracies are 0..1, lists in the order of `names`, times in seconds. Whatever
    happens, no process is left, and without `keep` no file of the daemons.
    """
    chosen = Options(**options)
    _check_output(chosen.image.parent)
    home = Path(tempfile.mkdtemp(prefix="gossipd-demo-"))
    try:
        result = asyncio.run(_run(chosen, home))
    finally:
        if not chosen.keep:
            shutil.rmtree(home)
    result["homes"] = str(home) if chosen.keep else None
    result["plot"] = str(chosen.image.absolute()) if plot.draw(result, chosen.image) else None
    if chosen.output is not None:
        chosen.image.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    result["summary"] = _summary(result)
    return result


def _check_output(directory: Path) -> None:
    """Better now than when all is done."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise OperatorError(
            "not-writable",
            f"cannot write into {directory}",
            "choose another directory with --output",
            ExitCode.USAGE,
        )


async def _run(options: Options, home: Path) -> Document:
    if threading.current_thread() is threading.main_thread():
        # Ended by the system or with its terminal: clean up as on Ctrl-C.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(
                number, os.kill, os.getpid(), signal.SIGINT
            )
    with screen_for(options.quiet) as screen:
        screen.phase("loading torch and libp2p once for all daemons", 0.0)
        begun = time.monotonic()
        async with (
            Judge(home) as judge,
            Fleet(home, {**LOOPBACK, **_settings(options)}, temporary=not options.keep) as fleet,
        ):
            return await Demo(options, fleet, judge, screen, begun).run()


def _settings(options: Options) -> Document:
    return {
        "mode": options.mode,
        "task.name": "digits",
        "task.partition": "classes",
        "task.classes_per_node": options.classes_per_node,
        "task.nodes": options.nodes,
        "gossip.exchange": options.exchange,
        "gossip.averaging": options.averaging,
    }


class Demo:
    """The demo's course, over a fleet that is up."""

    def __init__(
        self, options: Options, fleet: Fleet, judge: Judge, screen: Screen, begun: float
    ) -> None:
        self._options = options
        self._fleet = fleet
        self._judge = judge
        self._screen = screen
        self._begun = begun
        self._members: list[Member] = []
        self._tracks = {name: Track(name) for name in self._names()}
        self._killed: Document | None = None

    def _names(self) -> list[str]:
        width = len(str(self._options.nodes))
        return [f"n{number:0{width}}" for number in range(1, self._options.nodes + 1)]

    def _now(self) -> float:
        return time.monotonic() - self._begun

    async def run(self) -> Document:
        self._screen.phase("starting", self._now())
        starts = [self._fleet.start(n, {"task.node": i}) for i, n in enumerate(self._tracks)]
        self._members = await asyncio.gather(*starts)
        for track in self._tracks.values():
            track.state = "learning"

        begin = self._now()
        self._screen.phase("alone", begin)
        await self._alone()
        meeting = self._now()
        self._screen.phase("together" if self._options.exchange else "no exchange", meeting)
        await self._introduce()
        reached = await self._together()
        return self._result(begin, meeting, reached)

    # --- the two phases --------------------------------------------------------------------------

    async def _alone(self) -> None:
        end = self._now() + min(ALONE_SECONDS, self._options.seconds / 4)
        while self._now() < end:
            await asyncio.sleep(min(MEASURE_SECONDS, max(0.0, end - self._now())))
            await self._measure()
        for track in self._tracks.values():
            track.alone = track.now

    async def _introduce(self) -> None:
        """Tell each of the next one: a ring. They find the others through each other."""
        for member, other in zip(
            self._members, [*self._members[1:], self._members[0]], strict=True
        ):
            if member is not other:
                await member.add_peer(other.addresses[0])

    async def _together(self) -> bool:
        """Until they are good enough, or the time is over. Whether they are."""
        begin = self._now()
        seconds = self._options.seconds
        accident: asyncio.Task[Document] | None = None
        enough = 0
        try:
            while True:
                await asyncio.sleep(MEASURE_SECONDS)
                await self._measure()
                mean, worst = self._standing()
                over = self._now() - begin >= seconds
                if accident is None:
                    if mean >= KILL_AT_MEAN or self._now() - begin >= seconds / 3:
                        accident = asyncio.create_task(self._accident(self._members[-1]))
                elif accident.done():
                    self._killed = accident.result()
                    good = mean >= ENOUGH_MEAN and worst >= ENOUGH_WORST
                    enough = enough + 1 if good else 0
                    if enough >= ENOUGH_TIMES or over:
                        return enough >= ENOUGH_TIMES
        finally:
            if accident is not None:
                accident.cancel()
                await asyncio.gather(accident, return_exceptions=True)

    async def _accident(self, victim: Member) -> Document:
        """Kill a daemon without warning, and start it again."""
        track = self._tracks[victim.name]
        accuracy, exported = await self._judge.accuracy(victim)
        before = await victim.status()
        await victim.kill()
        killed_at = self._now()
        track.saw(killed_at, before, accuracy)
        track.ended()
        self._screen.note(f"{victim.name} killed (SIGKILL) at {accuracy:.3f}", killed_at)

        await asyncio.sleep(min(DOWN_SECONDS, self._options.seconds / 10))
        await self._fleet.restart(victim)
        back_at = self._now()
        # What it came back with, not what the others have taught it since.
        events = (await victim.events())["events"]
        restored = next((e["serving"] for e in events if e["kind"] == "restored"), "serving")
        accuracy_after, _ = await self._judge.accuracy(victim, restored)
        after = await victim.status()
        remembered = {row["hash"] for row in await victim.models()}
        track.state = "learning"
        track.saw(self._now(), after, accuracy_after)
        self._screen.note(f"{victim.name} is back at {accuracy_after:.3f}", back_at)
        return {
            "name": victim.name,
            "at": killed_at,
            "back_at": back_at,
            "accuracy_before": accuracy,
            "accuracy_after": accuracy_after,
            "same_model": exported == restored,
            "remembered": before["models"]["head"]["hash"] in remembered,
            "steps_before": before["training"]["steps"],
            "steps_after": after["training"]["steps"],
        }

    # --- looking ---------------------------------------------------------------------------------

    async def _measure(self) -> None:
        """Look at all that run. One that has just been killed is left out, one that died is not."""
        self._fleet.check()
        await asyncio.gather(*map(self._look_at, self._members))
        self._screen.show(list(self._tracks.values()), self._now())

    async def _look_at(self, member: Member) -> None:
        track, life = self._tracks[member.name], member.lives
        if track.state != "learning":
            return
        try:
            accuracy, _ = await self._judge.accuracy(member)
            status = await member.status()
        except FleetError:
            if member.expected_to_end:
                return
            raise
        if member.running and member.lives == life:
            track.saw(self._now(), status, accuracy)

    def _standing(self) -> tuple[float, float]:
        """Mean and worst accuracy now."""
        accuracies = [track.now or 0.0 for track in self._tracks.values()]
        return sum(accuracies) / len(accuracies), min(accuracies)

    # --- what came of it -------------------------------------------------------------------------

    def _result(self, begin: float, meeting: float, reached: bool) -> Document:
        tracks = list(self._tracks.values())
        mean, worst = self._standing()
        updates: Counter[str] = Counter()
        for track in tracks:
            updates.update(track.counters)
        sent = [track.counters["bytes_out"] for track in tracks]
        received = [track.counters["bytes_in"] for track in tracks]
        cycles = [track.counters["cycles"] for track in tracks]
        for other in ("bytes_in", "bytes_out", "cycles"):
            del updates[other]
        return {
            "names": [track.name for track in tracks],
            "classes": [list(track.classes) for track in tracks],
            "alone": [track.alone for track in tracks],
            "together": [track.now for track in tracks],
            "mean": mean,
            "worst": worst,
            "reached": reached,
            "seconds": self._now(),
            "phases": {"alone": [begin, meeting], "together": [meeting, self._now()]},
            "killed": self._killed,
            "bytes_per_node": [
                {"sent": out, "received": into} for out, into in zip(sent, received, strict=True)
            ],
            "cycles_per_node": cycles,
            "updates": dict(updates),
            "mode": self._options.mode,
            "rounds": max((track.round or 0 for track in tracks), default=0),
            "ablations": {
                "exchange": self._options.exchange,
                "averaging": self._options.averaging,
            },
            "history": {t.name: {"times": t.times, "accuracies": t.accuracies} for t in tracks},
        }


def _summary(result: Document) -> str:
    exchange = result["ablations"]["exchange"]
    alone = result["alone"]
    sent = sum(row["sent"] for row in result["bytes_per_node"]) / len(alone)
    lines = [
        f"{len(alone)} daemons, each with the examples of {len(result['classes'][0])} digits, "
        f"{result['seconds']:.0f} s",
        f"alone         mean {sum(alone) / len(alone):.3f}  best {max(alone):.3f}",
        f"{'together' if exchange else 'no exchange':13} "
        f"mean {result['mean']:.3f}  worst {result['worst']:.3f}"
        + ("" if result["reached"] or not exchange else f"  (short of {ENOUGH_MEAN})"),
        f"sent          {sent / 1e6:.2f} MB by each",
    ]
    killed = result["killed"]
    if killed:
        lines.append(
            f"{killed['name']} killed   at {killed['accuracy_before']:.3f}, "
            f"step {killed['steps_before']}; {killed['back_at'] - killed['at']:.1f} s later "
            f"back at {killed['accuracy_after']:.3f}, step {killed['steps_after']}"
        )
    if result["plot"]:
        lines.append(f"plot          {result['plot']}")
    if result["homes"]:
        lines.append(f"homes         {result['homes']}")
    return "\n".join(lines)
