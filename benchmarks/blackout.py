"""Four of five nodes die at once in mid-round: how soon do the others go on, and how well?

The daemon's own code in the simulator, in sampled rounds with the settings that ship (but for the
window of activity), on IID data over home networks. In the middle of a round, while its sample
trains, 80 of 100 nodes end: by SIGKILL, when their hosts close all connections, or silently, as
when the power fails. The others go on to the end of the course and are compared with a run in which
nobody died; then the dead return.

    next round     virtual seconds until a survivor can prove a higher round, over what is allowed:
                   three times (ping time-out + median round) as the survivors had measured them
    accuracy       median of the survivors' serving models at the end, less the undisturbed swarm's
    return         rounds until whoever aggregates has everybody in the view and in ORDER
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import median
from typing import Literal

from matplotlib.figure import Figure

from benchmarks.course import COSTS, LINK, UPLINK, Judge, Swarm, nodes_of
from benchmarks.harness import COLOURS, PROCESSES, Options, Report, in_processes, main
from benchmarks.workload import source
from gossipd.config import Config, RoundsConfig
from gossipd.options import options_of
from gossipd.protocol.rounds import Rounds
from gossipd.protocol.trainer import Phase
from gossipd.simulation.node import Machine, SimNode
from gossipd.simulation.world import Simulation
from gossipd_cli.output import table

DATASET = "mnist-10k"
DEAD = 0.8
"""Of all nodes: the requirement's."""
LOOK = 0.02
"""Virtual seconds between two looks at the swarm: a hundredth of what is allowed."""
PATIENCE = 120.0
"""Virtual seconds for one more round, after which something is broken."""
CONFIG = Config(rounds=RoundsConfig(activity_window=25))
"""Half the window that ships, so that at the end those who are away are no candidates any more."""
End = Literal["none", "killed", "silent"]
ENDS: Sequence[End] = ("none", "killed", "silent")


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    swarm: Swarm
    seed: int
    end: End
    blackout: int
    """After so many rounds."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of it."""

    end: End
    seed: int
    accuracy: float
    in_sample: int = 0
    """Survivors in the sample that trained when the others died."""
    seconds: float = 0.0
    """Until the next round."""
    allowed: float = 0.0
    returned: int = 0
    """Rounds until all were in the order again."""

    @property
    def share(self) -> float:
        return self.seconds / self.allowed


def run(case: Case) -> Row:
    learners = nodes_of(case.swarm, case.seed)
    with Simulation(case.seed, link=LINK) as sim:
        machine = Machine(costs=COSTS, uplink=UPLINK, upkeep_seconds=None)
        for number, learner in enumerate(learners):
            sim.add(f"n{number}", learner, options_of(CONFIG, swarm=None), machine)
        sim.introduce(*sim.nodes)
        sim.start(*sim.nodes)
        judge = Judge(learners[0])
        if case.end == "none":
            _reach(sim, case.swarm.rounds)
            return Row(case.end, case.seed, _accuracy(sim, judge))
        return _blackout(sim, case, judge)


def _blackout(sim: Simulation, case: Case, judge: Judge) -> Row:
    _reach(sim, case.blackout)
    names = sorted(sim.nodes)
    dead = Random(case.seed).sample(names, int(DEAD * len(names)))
    alive = [sim.nodes[name] for name in names if name not in dead]
    training = next(s for s in map(_sample_in_training, _until_training(sim)) if s)
    pace = [_rounds(node).pace for node in alive]
    allowed = 3.0 * (
        median(p.ping_seconds for p in pace) + median(p.median_round or 0.0 for p in pace)
    )
    before = _proven(sim.running)
    sim.kill(*dead, silently=case.end == "silent")
    seconds = sim.run_until(lambda: _proven(alive) > before, PATIENCE, every=LOOK)
    _reach(sim, case.swarm.rounds)
    accuracy = _accuracy(sim, judge)
    in_sample = sum(node.peer_id in training for node in alive)
    returned = _return(sim, dead)
    return Row(case.end, case.seed, accuracy, in_sample, seconds, allowed, returned)


def _until_training(sim: Simulation) -> list[SimNode]:
    sim.run_until(lambda: any(map(_sample_in_training, sim.running)), PATIENCE, every=LOOK / 2)
    return sim.running


def _sample_in_training(node: SimNode) -> tuple[str, ...]:
    """The sample that a node is training in."""
    rounds = _rounds(node)
    return rounds.sample if rounds.trainer.phase is Phase.TRAINING else ()


def _return(sim: Simulation, dead: Sequence[str]) -> int:
    """The dead start again on what their disks have."""
    began = _proven(sim.running)
    seen = len(sim.log.of("aggregated"))
    everybody = {node.peer_id for node in sim.nodes.values()}
    sim.start(*dead)

    def complete() -> bool:
        nonlocal seen
        made = sim.log.of("aggregated")[seen:]
        seen += len(made)
        orders = (_rounds(sim.nodes[entry.node]) for entry in made)
        return any(everybody <= set(r.activity.order(r.clock.next)) for r in orders)

    sim.run_until(complete, PATIENCE, every=LOOK)
    return _proven(sim.running) - began


def _reach(sim: Simulation, rounds: int) -> None:
    while _proven(sim.running) < rounds:
        before = _proven(sim.running)
        sim.run_until(lambda: _proven(sim.running) > before, PATIENCE)  # noqa: B023


def _rounds(node: SimNode) -> Rounds:
    rounds = node.live.node.rounds
    assert rounds is not None, "a node of this swarm works in rounds"
    return rounds


def _proven(nodes: Sequence[SimNode]) -> int:
    return max(_rounds(node).clock.proven for node in nodes)


def _accuracy(sim: Simulation, judge: Judge) -> float:
    models = [node.live.models for node in sim.running]
    return median(judge.by_hash(m.pointers.serving, m.get(m.pointers.serving)) for m in models)


def measure(options: Options) -> Report:
    images = source(options.data, DATASET)
    nodes, rounds, blackout = (25, 14, 6) if options.quick else (100, 60, 20)
    swarm = Swarm(images, nodes, CONFIG.rounds.sample, None, None, rounds)
    cases = [Case(swarm, seed, end, blackout) for seed in options.seeds for end in ENDS]
    rows = in_processes(run, cases, 1 if options.quick else PROCESSES)
    undisturbed = {row.seed: row.accuracy for row in rows if row.end == "none"}
    hit = [row for row in rows if row.end != "none"]
    lost = [abs(undisturbed[row.seed] - row.accuracy) for row in hit]
    measured: dict[str, float | None] = {
        f"{end}: next round, share of what is allowed, worst seed": max(
            row.share for row in hit if row.end == end
        )
        for end in ENDS[1:]
    }
    measured["accuracy against the undisturbed swarm, worst seed"] = max(lost)
    measured["return: rounds until all are in the order, worst seed"] = max(
        row.returned for row in hit
    )
    return Report(
        images.name,
        _text(nodes, rows, undisturbed),
        {"nodes": nodes, "rows": [asdict(row) for row in rows]},
        measured,
        {"next-round": _figure(hit)},
    )


def _text(nodes: int, rows: Sequence[Row], undisturbed: dict[int, float]) -> str:
    lines = [
        (
            row.end,
            str(row.seed),
            str(row.in_sample),
            f"{row.seconds:.2f}",
            f"{row.allowed:.2f}",
            f"{row.accuracy:.4f}",
            f"{row.accuracy - undisturbed[row.seed]:+.4f}",
            str(row.returned),
        )
        for row in rows
        if row.end != "none"
    ]
    heads = ("end", "seed", ">in sample", ">seconds", ">allowed", ">accuracy", ">change")
    head = f"{int(DEAD * nodes)} of {nodes} nodes die in mid-round; in virtual seconds"
    return head + "\n\n" + table((*heads, ">return"), lines)


def _figure(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for end, colour, marker in zip(ENDS[1:], COLOURS, "os", strict=False):
        chosen = [row for row in rows if row.end == end]
        axes.plot(
            [row.in_sample for row in chosen],
            [row.share for row in chosen],
            marker,
            color=colour,
            label=end,
        )
    axes.axhline(1.0, color=COLOURS[-1], linestyle="--", label="allowed")
    axes.set_xlabel("survivors in the sample that trained")
    axes.set_ylabel("time to the next round / allowed")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main("blackout", (__doc__ or "").partition("\n")[0], measure))
