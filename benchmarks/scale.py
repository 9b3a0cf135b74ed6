"""What the protocol costs with 100, 1,000 and 10,000 nodes: time, memory, messages and bytes.

The daemon's own core, runtime, wire and signatures in the simulator, in sampled rounds with ten
trainers; the learner is a stub, so that nothing but the protocol is measured. Every node is told of
eight others, chosen by chance; whom it meets from there on is the swarm's own doing. Machines and
links are the simulator's defaults (a good home network), the settings those that ship but for the
sample. What a daemon saves for its next life is left out, and Python's garbage collector is off.

Forming ends when the median node has heard of a round. What comes after is counted per node and
round: a swarm that forms once learns together for long. Each size has a process of its own; all of
it runs on one thread.
"""

import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from random import Random
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.config import Config, RoundsConfig
from gossipd.options import options_of
from gossipd.simulation.node import Machine, SimNode
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation, SimulationError
from gossipd_cli.output import table

SAMPLE = 10
"""Trainers in a round: the paper's (arXiv 2302.13837)."""
CONTACTS = 8
CONFIG = Config(mode="rounds", rounds=RoundsConfig(sample=SAMPLE))
LOOK = 0.1
"""Virtual seconds between two looks at the swarm: a quarter of a round."""
PATIENCE = 120.0
"""Virtual seconds for one more round, after which something is broken."""
CPU_BUDGET = 3000.0
"""CPU seconds for one size, and..."""
MEMORY_BUDGET = 18e9
"""... bytes: a size that needs more is given up, and shown as far as it came."""
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Size:
    nodes: int
    rounds: int


SIZES = (Size(100, 100), Size(1_000, 100), Size(10_000, 20))
QUICK_SIZES = (Size(12, 4), Size(24, 4), Size(36, 2))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message, per node and round."""

    messages: float
    bytes: float
    swarm_bytes: float
    """Those of them about who is in the swarm and whose steps a model holds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size costs."""

    nodes: int
    rounds: int
    complete: bool
    """False when it was given up before all rounds were done."""
    cpu_seconds: float
    wall_seconds: float
    forming_cpu_seconds: float
    memory_megabytes: float
    """The process's at its largest, interpreter and libraries included."""
    virtual_seconds: float
    forming_virtual_seconds: float
    forming_bytes: float
    """Per node."""
    counted_rounds: int
    """Those after forming."""
    known: float
    """Peers whose record the median node has in the end."""
    connections: float
    behind: float
    """Rounds that the median node is behind the foremost in the end."""
    authors: int
    """Entries of the longest lineage that a node stands on."""
    kinds: Mapping[str, Kind]

    @property
    def messages(self) -> float:
        return sum(kind.messages for kind in self.kinds.values())

    @property
    def other_bytes(self) -> float:
        """All that is not about the swarm."""
        return sum(kind.bytes - kind.swarm_bytes for kind in self.kinds.values())

    @property
    def swarm_bytes(self) -> float:
        return sum(kind.swarm_bytes for kind in self.kinds.values())


def measure(options: Options) -> Report:
    """One size after the other."""
    sizes = QUICK_SIZES if options.quick else SIZES
    # A process for each, so that each has its own memory's peak.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        found = [pool.submit(run, size, options.seeds[0]).result() for size in sizes]
    small, middle, large = found
    return Report(
        dataset="",
        text=_text(found),
        data={"sample": SAMPLE, "contacts": CONTACTS, "rows": [asdict(one) for one in found]},
        measured={
            "1,000 nodes, 100 rounds: CPU seconds on one core": _if(middle, middle.cpu_seconds),
            "1,000 nodes, 100 rounds: memory, MB": _if(middle, middle.memory_megabytes),
            "1,000 against 100 nodes: messages per node and round, times": _if(
                middle, middle.messages / small.messages
            ),
            "1,000 against 100 nodes: bytes per node and round but view and lineage, times": _if(
                middle, middle.other_bytes / small.other_bytes
            ),
            "10,000 nodes: rounds": large.rounds,
        },
        figures={"bytes": _figure(found)},
    )


def run(size: Size, seed: int) -> Measured:
    """Let a swarm form, and then go through its rounds."""
    gc.disable()
    wall, cpu = time.monotonic(), time.process_time()
    with Simulation(seed) as sim:
        populate(sim, size.nodes, seed, CONFIG)
        nodes = list(sim.nodes.values())
        formed = _until(sim, lambda: median(rounds_of(nodes)) >= 1)
        formed_cpu, formed_at = time.process_time(), sim.now
        first, before = max(rounds_of(nodes)), _traffic(nodes)
        reached = first
        complete = formed
        while complete and (reached < size.rounds or reached == first):
            complete = _until(sim, lambda: max(rounds_of(nodes)) > reached)  # noqa: B023
            reached = max(rounds_of(nodes))
        counted = reached - first
        cores = [node.live.node for node in nodes]
        return Measured(
            nodes=size.nodes,
            rounds=reached,
            complete=complete,
            cpu_seconds=time.process_time() - cpu,
            wall_seconds=time.monotonic() - wall,
            forming_cpu_seconds=formed_cpu - cpu,
            memory_megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE,
            virtual_seconds=sim.now,
            forming_virtual_seconds=formed_at,
            forming_bytes=sum(kind.bytes for kind in before.values()) / size.nodes,
            counted_rounds=counted,
            known=median(sum(1 for _ in core.view.records()) for core in cores),
            connections=median(len(core.peers.admitted()) for core in cores),
            behind=reached - median(rounds_of(nodes)),
            authors=max(len(core.mode.lineage) for core in cores),
            kinds=_each(before, _traffic(nodes), max(counted, 1) * size.nodes),
        )


def _until(sim: Simulation, holds: Callable[[], bool]) -> bool:
    """Let time pass until it is so. False when it does not come, or would cost too much."""
    try:
        sim.run_until(lambda: holds() or _spent(), PATIENCE, every=LOOK)
    except SimulationError:
        return False
    return holds()


def _spent() -> bool:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    return cpu > CPU_BUDGET or usage.ru_maxrss * 1024 > MEMORY_BUDGET


def _if(one: Measured, value: float) -> float | None:
    return value if one.complete else None


def populate(sim: Simulation, count: int, seed: int, config: Config) -> None:
    """So many nodes with a stub to learn with, each told of eight others, all started."""
    machine = Machine(upkeep_seconds=None)
    names = [f"n{number}" for number in range(count)]
    for number, name in enumerate(names):
        learner = StubLearner(number)
        sim.add(name, learner, options_of(config, swarm=None), machine)
    chance = Random(f"{seed}/contacts")
    for name in names:
        sim.tell(name, *chance.sample(names, min(CONTACTS, count)))
    sim.start(*names)


def rounds_of(nodes: Sequence[SimNode]) -> list[int]:
    """The highest round that each can prove."""
    proven = []
    for node in nodes:
        rounds = node.live.node.rounds
        assert rounds is not None, "the mode is rounds"
        proven.append(rounds.clock.proven)
    return proven


def _traffic(nodes: Sequence[SimNode]) -> dict[str, Kind]:
    """What all of them together have sent until now."""
    messages: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    swarm: Counter[str] = Counter()
    for node in nodes:
        messages.update(node.traffic.messages)
        sent.update(node.traffic.sent)
        swarm.update(node.traffic.swarm)
    return {kind: Kind(messages[kind], sent[kind], swarm[kind]) for kind in sorted(messages)}


def _each(before: Mapping[str, Kind], after: Mapping[str, Kind], each: int) -> dict[str, Kind]:
    none = Kind(0, 0, 0)
    return {
        kind: Kind(
            (now.messages - before.get(kind, none).messages) / each,
            (now.bytes - before.get(kind, none).bytes) / each,
            (now.swarm_bytes - before.get(kind, none).swarm_bytes) / each,
        )
        for kind, now in after.items()
    }


# --- showing --------------------------------------------------------------------------------------


def _text(found: Sequence[Measured]) -> str:
    costs = [
        (
            f"{one.nodes:,}",
            f"{one.rounds}{'' if one.complete else ', given up'}",
            f"{one.cpu_seconds:.1f}",
            f"{one.forming_cpu_seconds:.1f}",
            f"{one.wall_seconds:.1f}",
            f"{one.memory_megabytes:.0f}",
            f"{one.virtual_seconds:.1f}",
            f"{one.forming_virtual_seconds:.1f}",
            f"{one.forming_bytes / 1000:.0f}",
            f"{one.known:.0f}",
            f"{one.connections:.0f}",
            str(one.authors),
            f"{one.behind:.0f}",
        )
        for one in found
    ]
    headings = (
        ">nodes",
        ">rounds",
        ">CPU s",
        ">forming",
        ">wall s",
        ">MB",
        ">virtual s",
        ">forming",
        ">forming kB/node",
        ">known",
        ">connections",
        ">authors",
        ">behind",
    )
    kinds = sorted({kind for one in found for kind in one.kinds})
    kinds.sort(key=lambda kind: -max(_of(one, kind).bytes for one in found))
    rows = [
        (
            kind,
            *(f"{_of(one, kind).messages:.3f}" for one in found),
            *(f"{_of(one, kind).bytes - _of(one, kind).swarm_bytes:.1f}" for one in found),
            *(f"{_of(one, kind).swarm_bytes:.1f}" for one in found),
        )
        for kind in kinds
    ]
    rows.append(
        (
            "all",
            *(f"{one.messages:.3f}" for one in found),
            *(f"{one.other_bytes:.1f}" for one in found),
            *(f"{one.swarm_bytes:.1f}" for one in found),
        )
    )
    sizes = [f">{one.nodes:,}" for one in found]
    return (
        f"Sampled rounds, {SAMPLE} trainers, stub learner; every node is told of {CONTACTS}\n\n"
        + table(headings, costs)
        + "\n\nPer node and round after forming: messages, bytes, bytes of view and lineage\n\n"
        + table(("kind", *sizes, *sizes, *sizes), rows)
    )


def _of(one: Measured, kind: str) -> Kind:
    return one.kinds.get(kind, Kind(0, 0, 0))


def _figure(found: Sequence[Measured]) -> Figure:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    place = figure.subplots()
    nodes = [one.nodes for one in found]
    lines = (
        ("view and lineage", [one.swarm_bytes for one in found]),
        ("all else", [one.other_bytes for one in found]),
    )
    for (name, values), colour, style in zip(lines, COLOURS, ("o-", "s--"), strict=False):
        place.loglog(nodes, values, style, color=colour, label=name)
    place.set_xlabel("nodes")
    place.set_ylabel("bytes per node and round")
    place.legend()
    place.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main("scale", "What the protocol costs as a swarm grows.", measure))
