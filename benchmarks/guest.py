"""What a machine's user notices: a training loop beside ten daemons, on this machine's cores.

The loop is the bare one that the daemons use (`learner.train`, one thread, normal priority); the
daemons are the shipped ones, with the settings that they have unless somebody changes them. They
are stopped (SIGSTOP) and let go in turns of some seconds, and each turn with them is compared with
those before and after it: what else the machine does then falls on both alike.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.config import LearningConfig, TaskConfig
from gossipd.learning.build import learner_from_config
from gossipd.learning.learner import TorchLearner
from gossipd_cli.output import table
from gossipd_scenarios.fleet import LOOPBACK, Fleet, Member, Setting

NODES, QUICK_NODES = 10, 2
TURNS, QUICK_TURNS = 10, 2
TURN_SECONDS = 4.0
"""Shorter than a heartbeat's time-out: nobody is taken for dead."""
SETTLE_SECONDS = 0.5
STEPS = 20
"""Mini-batches between two looks at the clock."""
FORM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Some seconds of the loop."""

    beside: bool
    """Whether the daemons ran."""
    speed: float
    """Mini-batches per second."""


def measure(options: Options) -> Report:
    """One run."""
    nodes, turns = (QUICK_NODES, QUICK_TURNS) if options.quick else (NODES, TURNS)
    seconds = 0.5 if options.quick else TURN_SECONDS
    done, rounds = asyncio.run(_run(options.data, nodes, turns, seconds))
    lost = losses(done)
    alone = median(turn.speed for turn in done if not turn.beside)
    text = table(
        (">daemons", ">alone, batches/s", ">lost beside them", ">least", ">most", ">rounds/s"),
        [
            (
                str(nodes),
                f"{alone:.0f}",
                f"{median(lost):.1%}",
                f"{min(lost):.1%}",
                f"{max(lost):.1%}",
                f"{rounds:.2f}",
            )
        ],
    )
    return Report(
        dataset="digits" if options.data is None else "fashion-8k",
        text=text,
        data={"rows": [asdict(turn) for turn in done], "rounds_per_second": rounds},
        measured={"share of the loop's speed that is lost": median(lost)},
        figures={"speed": _figure(done)},
    )


def losses(turns: Sequence[Turn]) -> list[float]:
    """For each turn beside the daemons: the share that is lost against its neighbours."""
    lost = []
    for number, turn in enumerate(turns):
        if turn.beside:
            near = [t.speed for t in turns[number - 1 : number + 2] if not t.beside]
            lost.append(1 - turn.speed * len(near) / sum(near))
    return lost


async def _run(
    data: Path | None, nodes: int, turns: int, seconds: float
) -> tuple[list[Turn], float]:
    """The turns, and the rounds per second that the daemons made while they ran."""
    task = TaskConfig() if data is None else TaskConfig(name="idx", data=str(data / "fashion-8k"))
    learner = await asyncio.to_thread(learner_from_config, task, LearningConfig(lr=0.1))
    settings: dict[str, Setting] = {
        **LOOPBACK,
        "learning.background": True,  # as shipped
        "task.name": task.name,
        "task.data": str((data / "fashion-8k").resolve()) if data else "",
        "task.partition": "iid",
        "task.nodes": nodes,
    }
    with tempfile.TemporaryDirectory(prefix="gossipd-guest-") as directory:
        async with Fleet(Path(directory), temporary=True) as fleet:
            first = await fleet.start("n0", {**settings, "task.node": 0})
            others = [
                fleet.start(f"n{n}", {**settings, "task.node": n, "network.peers": first.addresses})
                for n in range(1, nodes)
            ]
            members = [first, *await asyncio.gather(*others)]
            await first.until(lambda s: s["round"]["number"] > 2, FORM_SECONDS, "rounds")
            done, before = [], (await first.status())["round"]["number"]
            for number in range(2 * turns + 1):
                await _let(members, run=bool(number % 2))
                speed = await asyncio.to_thread(_speed, learner, seconds)
                done.append(Turn(bool(number % 2), speed))
            await _let(members, run=True)
            after = (await first.status())["round"]["number"]
            return done, (after - before) / (turns * (seconds + SETTLE_SECONDS))


async def _let(members: Sequence[Member], *, run: bool) -> None:
    await asyncio.gather(*(m.resume_process() if run else m.suspend() for m in members))
    await asyncio.sleep(SETTLE_SECONDS)


def _speed(learner: TorchLearner, seconds: float) -> float:
    began, batches = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        learner.train(learner.genesis(), None, STEPS, 0)
        batches += STEPS
    return batches / (time.monotonic() - began)


def _figure(turns: Sequence[Turn]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    place = figure.subplots()
    for beside, label in ((False, "alone"), (True, "beside the daemons")):
        chosen = [(n, t.speed) for n, t in enumerate(turns) if t.beside is beside]
        place.bar(*zip(*chosen, strict=True), color=COLOURS[int(beside)], label=label)
    place.set_xlabel("turn")
    place.set_ylabel("mini-batches per second")
    place.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main("guest", "What a training loop loses beside ten daemons.", measure))
