"""W1 with real daemons: what a round of ten nodes costs in seconds, CPU, bytes and memory.

Ten daemons, forked by one parent that has imported everything, share 6,000 images of Fashion-MNIST
IID and learn in rounds: a perceptron 784-200-10, 19 mini-batches of 32 a round, SGD lr .1. As root
all of it runs in a network namespace of its own, whose loopback counts every byte, acknowledgements
and headers too; elsewhere the daemons count what they send themselves. The models of the first
twenty rounds are exported and tested when all is over, so nothing is measured that slows a round.

With --hivemind-python the same work is also done by hivemind 1.1.12, in the environment that this
Python belongs to (hivemind_w1.py).
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil
from matplotlib.figure import Figure

from benchmarks import hivemind_w1
from benchmarks.harness import COLOURS, Options, Report, main, median_or_none
from gossipd.config import LearningConfig, TaskConfig
from gossipd.learning.build import learner_from_config
from gossipd_cli.output import table
from gossipd_scenarios.fleet import LOOPBACK, Fleet, Member, Setting
from gossipd_scenarios.measure import read_safetensors

NODES, QUICK_NODES = 10, 4
SAMPLES = (10, 5)
CODECS = ("auto", "dense")
ROUNDS, QUICK_ROUNDS = 20, 3
STEPS = 19
"""One epoch of 600 examples; a daemon holds 60 of them back, so it is a little more."""
TARGET = 0.8
SECONDS = 120.0
"""Longest that one run's rounds may take."""
LOOK_SECONDS = 0.2
"""Between two looks at the clocks and counters: what happens within is told by the daemons' events,
which carry their own time."""
HIVEMIND = "(hivemind)"
HIVEMIND_RUNS = 1
ISOLATED = "GOSSIPD_W1_ISOLATED"
"""Set in the process that runs in a namespace of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run."""

    codec: str
    sample: int
    seed: int
    launch: float
    """Seconds until all were up and each was connected with all others."""
    rounds: int
    """That were measured."""
    seconds: float
    """Of a round, on average."""
    cpu: float
    """CPU seconds of a round, all nodes."""
    kilobytes: float
    """Per node and round."""
    memory: float
    """Megabytes that a node has for itself, the mean over them."""
    accuracy: Sequence[float | None]
    """Of each round's model, from the first one on; None where nobody has made it."""
    to_target: tuple[float, float] | None
    """Seconds, and kilobytes per node, until a round's model had TARGET; None if none had."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the counters said at a time."""

    time: float
    cpu: float
    sent: float
    """Bytes, all nodes."""


def measure(options: Options) -> Report:
    """Every codec with every size of sample."""
    counted = "on lo" if os.environ.get(ISOLATED) else "by the daemons"
    nodes, rounds = (QUICK_NODES, QUICK_ROUNDS) if options.quick else (NODES, ROUNDS)
    samples = (QUICK_NODES,) if options.quick else SAMPLES
    outcomes = [
        asyncio.run(_run(options.data, nodes, sample, rounds, codec, seed))
        for sample in samples
        for codec in CODECS
        for seed in options.seeds
    ]
    rows = {
        (sample, codec): [o for o in outcomes if (o.sample, o.codec) == (sample, codec)]
        for sample in samples
        for codec in CODECS
    }
    name = "digits" if options.data is None else "fashion-8k"
    python = options.own["hivemind_python"]
    if python is not None and options.data is not None:
        rows[nodes, HIVEMIND] = [
            asyncio.run(_hivemind(python, options.data, nodes, rounds, seed))
            for seed in options.seeds[:HIVEMIND_RUNS]
        ]
        outcomes += rows[nodes, HIVEMIND]
    return Report(
        dataset=name,
        text=_text(rows, nodes, rounds, name, counted),
        data={"bytes_counted": counted, "rows": [asdict(outcome) for outcome in outcomes]},
        # The bounds are made for these images and this perceptron.
        measured=_measured({} if options.data is None else rows),
        figures={"accuracy": _figure(rows, name)},
    )


# --- one run --------------------------------------------------------------------------------------


async def _run(
    data: Path | None, nodes: int, sample: int, rounds: int, codec: str, seed: int
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="gossipd-w1-") as directory:
        async with Fleet(Path(directory), temporary=True) as fleet:
            began = time.monotonic()
            members = await _launch(fleet, _settings(data, nodes, sample, codec, seed), nodes)
            launch = time.monotonic() - began
            looks = await _watch(members, rounds)
            for member in members:
                await member.pause()
            memory = [psutil.Process(m.pid).memory_full_info().uss for m in members]
            made = await _made(members)
            exported = await _export(made, Path(directory), rounds)
            accuracy = _tested(exported, data, seed, rounds)
    times = {number: at for number, (at, _, _) in made.items()}
    first, last = min(times), min(max(times), rounds)
    from_, to = _at(looks, times[first]), _at(looks, times[last])
    done = last - first
    reached = next((k for k, a in enumerate(accuracy, 1) if a is not None and a >= TARGET), None)
    return Outcome(
        codec,
        sample,
        seed,
        launch,
        done,
        (times[last] - times[first]) / done,
        (to.cpu - from_.cpu) / done,
        (to.sent - from_.sent) / done / nodes / 1000,
        sum(memory) / len(memory) / 1e6,
        accuracy,
        None
        if reached is None
        else (
            times[reached] - looks[0].time,
            (_at(looks, times[reached]).sent - looks[0].sent) / nodes / 1000,
        ),
    )


async def _hivemind(python: Path, data: Path, nodes: int, rounds: int, seed: int) -> Outcome:
    images = data / "fashion-8k"
    task = TaskConfig(name="idx", data=str(images), seed=seed)
    judge = learner_from_config(task, LearningConfig())
    run = await hivemind_w1.run(python, images, nodes, rounds, STEPS, seed, judge)
    reached = next((k for k, a in enumerate(run.accuracy, 1) if a >= TARGET), None)
    kilobytes = run.sent / rounds / nodes / 1000
    return Outcome(
        HIVEMIND,
        nodes,
        seed,
        run.launch,
        rounds,
        (run.ends[-1] - run.ends[0]) / rounds,
        run.cpu / rounds,
        kilobytes,
        run.memory / 1e6,
        run.accuracy,
        None if reached is None else (run.ends[reached] - run.ends[0], kilobytes * reached),
    )


def _settings(
    data: Path | None, nodes: int, sample: int, codec: str, seed: int
) -> Mapping[str, Setting]:
    task: dict[str, Setting] = (
        {"task.name": "digits"}
        if data is None
        else {"task.name": "idx", "task.data": str((data / "fashion-8k").resolve())}
    )
    return {
        **LOOPBACK,
        **task,
        "task.partition": "iid",
        "task.nodes": nodes,
        "task.seed": seed,
        "learning.lr": 0.1,
        "learning.batch_size": 32,
        "gossip.codec": codec,
        "rounds.sample": sample,
        "rounds.local_steps": STEPS,
        "rounds.round_seconds": 0.0,
    }


async def _launch(fleet: Fleet, settings: Mapping[str, Setting], nodes: int) -> list[Member]:
    """All up, and each connected with all others. The first round opens some two seconds later."""
    first = await fleet.start("n0", {**settings, "task.node": 0})
    others = [
        fleet.start(f"n{n}", {**settings, "task.node": n, "network.peers": first.addresses})
        for n in range(1, nodes)
    ]
    members = [first, *await asyncio.gather(*others)]
    for member in members:
        await member.until(
            lambda s: bool(s["network"]["connected"] >= nodes - 1), SECONDS, "all others"
        )
    return members


async def _watch(members: Sequence[Member], rounds: int) -> list[_Look]:
    """Read the counters until enough rounds are over. The rounds' own times are in the events."""
    processes = [psutil.Process(m.pid) for m in members]
    looks: list[_Look] = []
    deadline = time.monotonic() + SECONDS
    proven = 0
    since, run = 0, ""
    while proven <= rounds + 1 and time.monotonic() < deadline:
        looks.append(await _look(processes, members))
        told = await members[0].events(since, run=run)
        since, run = told["next"], told["run"]
        reached = [e["round"] for e in told["events"] if "round" in e]
        proven = max([proven, *reached])
        await asyncio.sleep(LOOK_SECONDS)
    looks.append(await _look(processes, members))
    return looks


async def _look(processes: Sequence[psutil.Process], members: Sequence[Member]) -> _Look:
    used = [process.cpu_times() for process in processes]
    if os.environ.get(ISOLATED):
        sent = float(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)
    else:
        sent = float(sum([(await m.status())["network"]["bytes_out"] for m in members]))
    return _Look(time.time(), sum(u.user + u.system for u in used), sent)


def _at(looks: Sequence[_Look], moment: float) -> _Look:
    """The counters at a time between two looks, by interpolation."""
    after = next((n for n, look in enumerate(looks) if look.time >= moment), len(looks) - 1)
    a, b = looks[max(after - 1, 0)], looks[after]
    share = 0.0 if b.time == a.time else min(max((moment - a.time) / (b.time - a.time), 0.0), 1.0)
    return _Look(moment, a.cpu + share * (b.cpu - a.cpu), a.sent + share * (b.sent - a.sent))


async def _made(members: Sequence[Member]) -> dict[int, tuple[float, str, Member]]:
    """What was trained k times -> (since when, Unix seconds; the model's hash; who made it). The
    first round hands out the initial model, so a round's number is one higher."""
    made: dict[int, tuple[float, str, Member]] = {}
    for member in members:
        told = await member.events()
        for event in told["events"]:
            if event["kind"] != "aggregated":
                continue
            trained = event["round"] - 1
            known = made.get(trained)
            if known is None or event["time"] < known[0]:
                made[trained] = (event["time"], event["base"], member)
    return made


async def _export(
    made: Mapping[int, tuple[float, str, Member]], folder: Path, rounds: int
) -> dict[int, Path]:
    paths = {}
    for number in range(1, rounds + 1):
        if number in made:
            _, model, member = made[number]
            paths[number] = folder / f"round-{number}.safetensors"
            await member.export(model, paths[number])
    return paths


def _tested(
    exported: Mapping[int, Path], data: Path | None, seed: int, rounds: int
) -> list[float | None]:
    task = TaskConfig(seed=seed)
    if data is not None:
        task = TaskConfig(name="idx", data=str(data / "fashion-8k"), seed=seed)
    learner = learner_from_config(task, LearningConfig())
    accuracies: list[float | None] = []
    for number in range(1, rounds + 1):
        path = exported.get(number)
        if path is None:
            accuracies.append(None)
            continue
        tensors = read_safetensors(path)
        vector = learner.genesis().copy()
        for spec, piece in zip(learner.layout.tensors, learner.layout.slices, strict=True):
            vector[piece] = tensors[spec.name].ravel()
        accuracies.append(learner.test(vector).accuracy)
    return accuracies


# --- what is shown --------------------------------------------------------------------------------

Rows = Mapping[tuple[int, str], Sequence[Outcome]]
"""(sample, codec) -> repetitions."""


def _final(outcomes: Sequence[Outcome]) -> float | None:
    """Accuracy after the last round that was asked for; the mean over the repetitions."""
    last = [outcome.accuracy[-1] for outcome in outcomes]
    there = [accuracy for accuracy in last if accuracy is not None]
    return sum(there) / len(there) if len(there) == len(last) else None


def _median(outcomes: Sequence[Outcome], field: str) -> float:
    return float(median(getattr(outcome, field) for outcome in outcomes))


def _until(outcomes: Sequence[Outcome], index: int) -> float | None:
    return median_or_none([o.to_target and o.to_target[index] for o in outcomes])


def _measured(rows: Rows) -> Mapping[str, float | None]:
    """A value for each bound; None where no run was for it."""
    measured: dict[str, float | None] = {}
    for sample in SAMPLES:
        here = rows.get((sample, "auto"), ())
        exact = rows.get((sample, "dense"), ())
        ours, theirs = (_final(runs) if runs else None for runs in (here, exact))
        measured |= {
            f"s = {sample}: CPU seconds a round, all nodes": _median(here, "cpu") if here else None,
            f"s = {sample}: seconds a round": _median(here, "seconds") if here else None,
            f"s = {sample}: seconds to 80 %": _until(here, 0) if here else None,
            f"s = {sample}: kB a node and round": _median(here, "kilobytes") if here else None,
            f"s = {sample}: kB a node until 80 %": _until(here, 1) if here else None,
            f"s = {sample}: accuracy lost to float32 at round {ROUNDS}": None
            if ours is None or theirs is None
            else theirs - ours,
        }
    every = [o for (_, codec), outcomes in rows.items() if codec != HIVEMIND for o in outcomes]
    measured["MB a node, forked, its own"] = _median(every, "memory") if every else None
    measured["seconds until all are up and meshed"] = _median(every, "launch") if every else None
    return measured


def _text(rows: Rows, nodes: int, rounds: int, name: str, counted: str) -> str:
    def shown(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    drawn = table(
        (
            "sample",
            "codec",
            ">CPU s a round",
            ">s a round",
            ">s to 80 %",
            ">kB a node and round",
            ">kB to 80 %",
            f">accuracy at {rounds}",
            ">MB a node",
            ">s to launch",
        ),
        [
            (
                str(sample),
                codec,
                shown(_median(outcomes, "cpu"), 3),
                shown(_median(outcomes, "seconds"), 3),
                shown(_until(outcomes, 0), 1),
                shown(_median(outcomes, "kilobytes"), 1),
                shown(_until(outcomes, 1), 0),
                shown(_final(outcomes), 4),
                shown(_median(outcomes, "memory"), 1),
                shown(_median(outcomes, "launch"), 2),
            )
            for (sample, codec), outcomes in rows.items()
        ],
    )
    return (
        f"{nodes} daemons, {rounds} rounds, {name}; medians over the seeds, accuracy the mean; "
        f"bytes counted {counted}\n\n{drawn}"
    )


def _figure(rows: Rows, name: str) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    place = figure.subplots()
    for number, ((sample, codec), outcomes) in enumerate(rows.items()):
        for outcome in outcomes:
            there = [(k, a) for k, a in enumerate(outcome.accuracy, 1) if a is not None]
            place.plot(
                [number_of for number_of, _ in there],
                [accuracy for _, accuracy in there],
                color=COLOURS[number % len(COLOURS)],
                linestyle="-" if codec == "auto" else "--",
                linewidth=1.0,
                label=f"{sample} in a round, {codec}" if outcome is outcomes[0] else None,
            )
    place.set_xlabel("round")
    place.set_ylabel("test accuracy of the round's model")
    place.set_title(name)
    place.grid(alpha=0.3)
    place.legend()
    return figure


def _isolated() -> int | None:
    """The exit code of this benchmark in a network namespace of its own; None where none can be
    had, and then it runs here."""
    if os.environ.get(ISOLATED) or os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    inside = 'ip link set lo up && exec "$@"'
    whole = ["unshare", "--net", "sh", "-c", inside, "sh"]
    if subprocess.run([*whole, "true"], capture_output=True, check=False).returncode:
        return None
    command = [sys.executable, "-m", "benchmarks.w1", *sys.argv[1:]]
    return subprocess.run(
        [*whole, *command], env={**os.environ, ISOLATED: "1"}, check=False
    ).returncode


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hivemind-python",
        type=Path,
        metavar="PYTHON",
        help="of an environment with hivemind 1.1.12: measure that, too",
    )


if __name__ == "__main__":
    code = _isolated()
    summary = "What W1's rounds cost with real daemons."
    sys.exit(main("w1", summary, measure, _arguments) if code is None else code)
