"""A thousand nodes come back in the same instant: are all in the order soon, does anything stall?

The daemon's own core in the simulator, as in `scale`: sampled rounds with ten trainers, a stub
learner, every node told of eight others. When the swarm has formed all nodes but fifty are killed
at once; the fifty go on until the others are no candidates any more (the window of activity is 25
rounds here, half of what ships), and then all of them are started at the same moment.

    return     rounds until whoever aggregates has everybody in the view and in ORDER
    gap        the longest time from one proven round to the next meanwhile, in the median rounds
               that the fifty had measured before
"""

import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from benchmarks.scale import CONTACTS, SAMPLE, populate, rounds_of
from gossipd.config import Config, RoundsConfig
from gossipd.simulation.world import Simulation
from gossipd_cli.output import table

CONFIG = Config(mode="rounds", rounds=RoundsConfig(sample=SAMPLE, activity_window=25))
LOOK = 0.02
"""Virtual seconds between two looks at the swarm."""
PATIENCE = 120.0
"""Virtual seconds for one more round, after which something is broken."""


@dataclass(frozen=True, slots=True)
class Row:
    """One seed."""

    seed: int
    stayed: int
    returned: int
    rounds: int
    """Until all were in the order."""
    seconds: float
    """The same, virtual."""
    gap: float
    """The longest time between two rounds, in median rounds."""
    cpu_seconds: float


def run(stay: int, come: int, seed: int) -> Row:
    gc.disable()
    cpu = time.process_time()
    with Simulation(seed) as sim:
        populate(sim, stay + come, seed, CONFIG)
        names = list(sim.nodes)
        staying = [sim.nodes[name] for name in names[:stay]]
        everybody = {node.peer_id for node in sim.nodes.values()}
        sim.run_until(lambda: median(rounds_of(staying)) >= 1, PATIENCE)
        sim.kill(*names[stay:])
        gone = max(rounds_of(staying))
        while max(rounds_of(staying)) <= gone + CONFIG.rounds.activity_window:
            before = max(rounds_of(staying))
            sim.run_until(lambda: max(rounds_of(staying)) > before, PATIENCE)  # noqa: B023
        usual = median(r.pace.median_round or 0.0 for n in staying if (r := n.live.node.rounds))
        began, at, seen = max(rounds_of(staying)), sim.now, len(sim.log.of("aggregated"))
        proven, since, gap = began, sim.now, 0.0
        sim.start(*names[stay:])

        def complete() -> bool:
            nonlocal seen, proven, since, gap
            highest = max(rounds_of(sim.running))
            gap = max(gap, sim.now - since)
            if highest > proven:
                proven, since = highest, sim.now
            made = sim.log.of("aggregated")[seen:]
            seen += len(made)
            orders = (sim.nodes[entry.node].live.node.rounds for entry in made)
            return any(r and everybody <= set(r.activity.order(r.clock.next)) for r in orders)

        sim.run_until(complete, PATIENCE, every=LOOK)
        rounds, seconds = max(rounds_of(sim.running)) - began, sim.now - at
    return Row(seed, stay, come, rounds, seconds, gap / usual, time.process_time() - cpu)


def measure(options: Options) -> Report:
    stay, come = (12, 24) if options.quick else (50, 1_000)
    rows = [run(stay, come, seed) for seed in options.seeds[: 1 if options.quick else None]]
    return Report(
        dataset="",
        text=_text(rows),
        data={"sample": SAMPLE, "contacts": CONTACTS, "rows": [asdict(row) for row in rows]},
        measured={
            "rounds until all are in the order, worst seed": max(row.rounds for row in rows),
            "longest gap between rounds, in median rounds, worst seed": max(r.gap for r in rows),
        },
        figures={"returning": _figure(rows)},
    )


def _text(rows: Sequence[Row]) -> str:
    lines = [
        (
            str(row.seed),
            str(row.stayed),
            f"{row.returned:,}",
            str(row.rounds),
            f"{row.seconds:.2f}",
            f"{row.gap:.1f}",
            f"{row.cpu_seconds:.0f}",
        )
        for row in rows
    ]
    heads = (">seed", ">stayed", ">returned", ">rounds", ">virtual s", ">gap", ">CPU s")
    return "Until all are in the order of whoever aggregates\n\n" + table(heads, lines)


def _figure(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([str(row.seed) for row in rows], [row.rounds for row in rows], color=COLOURS[0])
    axes.set_xlabel("seed")
    axes.set_ylabel("rounds until all are in the order")
    return figure


if __name__ == "__main__":
    sys.exit(main("returning", (__doc__ or "").partition("\n")[0], measure))
