"""The most central nodes of a scale-free graph vanish for good: what is left of learning.

The scenario `quake` (arXiv 2310.02986) in the simulator: 50 nodes, Barabási-Albert with two links
each, gossip; the x % with the highest betweenness vanish at 30 of 80 seconds. Case 1: they held no
data; 2: data like the others; 3: four times as much. Survivors against the same nodes in a run
where nothing happens, those that are still connected and the isolated ones apart. Built-in digits.

The paper finds that lost connectivity costs more accuracy than lost data, that the network stays
robust, and that an isolated node keeps much of what it knew.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, PROCESSES, Options, Report, in_processes, main
from gossipd_cli.output import table
from gossipd_scenarios import library
from gossipd_scenarios.document import Changes
from gossipd_scenarios.engine import Engine
from gossipd_scenarios.history import History
from gossipd_scenarios.live import Blank
from gossipd_scenarios.plan import Plan, plan
from gossipd_scenarios.sim.backend import SimBackend
from gossipd_scenarios.topology import connected_among

CASES = (1, 2, 3)
SHARES = (10, 30, 50)
SEEDS = (1, 2, 3, 4, 5)
QUICK = {"seconds": "10", "timeline.0.at": "5", "read_every": "5"}


@dataclass(frozen=True, slots=True)
class Job:
    """One run and the one without the quake."""

    case: int
    x: int
    seed: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracy of the median node in the end; None where there is no such node."""

    case: int
    x: int
    seed: int
    calm: float
    connected: float | None
    isolated: float | None
    alone: int
    """How many are isolated."""


def measure(options: Options) -> Report:
    seeds = SEEDS[:1] if options.quick else SEEDS
    shares = (30,) if options.quick else SHARES
    jobs = [Job(case, x, seed, options.quick) for case in CASES for x in shares for seed in seeds]
    outcomes = in_processes(run, jobs, 1 if options.quick else PROCESSES)
    measured: dict[str, float | None] = {
        f"case {case}, {SHARES[-1]} %: share of undisturbed, connected survivors": _kept(
            [o for o in outcomes if o.case == case and o.x == shares[-1]]
        )
        for case in CASES
    }
    return Report(
        dataset="digits",
        text=_text(outcomes),
        data={"rows": [asdict(outcome) for outcome in outcomes]},
        measured=measured,
        figures={"survivors": _figure(outcomes, shares)},
    )


def run(job: Job) -> Outcome:
    values = {"case": str(job.case), "x": str(job.x), **(QUICK if job.quick else {})}
    planned = plan(library.find("quake", Changes(20 if job.quick else None, job.seed, values)))
    history, calm = _played(planned), _played(planned, calm=True)
    last = history.snapshots[-1]
    linked = connected_among(planned.cast.graph, sorted(last.running))
    alone = last.running - linked
    return Outcome(
        job.case,
        job.x,
        job.seed,
        _median(calm, calm.snapshots[-1].running) or 0.0,
        _median(history, linked),
        _median(history, alone),
        len(alone),
    )


def _played(planned: Plan, *, calm: bool = False) -> History:
    backend = SimBackend(planned.scenario.seed)
    engine = Engine(planned, backend, Blank(), timeline=() if calm else None)
    return backend.drive(engine.run())


def _median(history: History, names: frozenset[str]) -> float | None:
    readings = history.snapshots[-1].readings
    known = [readings[name].accuracy or 0.0 for name in sorted(names) if name in readings]
    return median(known) if known else None


def _kept(outcomes: Sequence[Outcome]) -> float | None:
    shares = [o.connected / o.calm for o in outcomes if o.connected is not None and o.calm]
    return median(shares) if shares else None


def _text(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for case, x in sorted({(o.case, o.x) for o in outcomes}):
        these = [o for o in outcomes if (o.case, o.x) == (case, x)]
        rows.append(
            (
                str(case),
                f"{x} %",
                _cell([o.calm for o in these]),
                _cell([o.connected for o in these]),
                _cell([o.isolated for o in these]),
                f"{median(o.alone for o in these):g}",
            )
        )
    heads = ("case", ">gone", ">undisturbed", ">connected", ">isolated", ">how many isolated")
    return "Accuracy of the median node in the end, medians over the seeds:\n" + table(heads, rows)


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.3f}" if known else "-"


def _points(
    outcomes: Sequence[Outcome], kind: str, shares: Sequence[int]
) -> list[tuple[int, float]]:
    """(x, median over the seeds) where there is any such node."""
    found = []
    for x in shares:
        known = [v for o in outcomes if o.x == x and (v := getattr(o, kind)) is not None]
        if known:
            found.append((x, median(known)))
    return found


LINES = {"calm": "--", "connected": "-", "isolated": ":"}
"""Of `Outcome`, and how each is drawn."""


def _figure(outcomes: Sequence[Outcome], shares: Sequence[int]) -> Figure:
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, len(CASES), sharey=True)
    for place, case in zip(axes, CASES, strict=True):
        for (kind, style), colour in zip(LINES.items(), COLOURS, strict=False):
            points = _points([o for o in outcomes if o.case == case], kind, shares)
            if points:
                x, y = zip(*points, strict=True)
                place.plot(x, y, style, color=colour, marker="o", label=kind)
        place.set(title=f"case {case}", xlabel="% of the most central gone", ylim=(0, 1))
        place.grid(alpha=0.3)
    axes[0].set(ylabel="accuracy in the end, median node")
    axes[0].legend(loc="lower left")
    return figure


if __name__ == "__main__":
    sys.exit(main("quake", "What is left when the most central nodes vanish.", measure))
