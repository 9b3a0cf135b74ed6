"""Sampled rounds as the daemon runs them, in virtual time: its code, its wire, its signatures.

Counted is every payload that any node sends, from the first greeting on: models of all roles,
views, records, lineages, offers, proofs, pings. The tracks:

    model            M_k, what round k begins with
    average          E_k, the chain of serving models, as the aggregator of k has it
    nodes median, worst
                     over all nodes, what each predicts with at that moment
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.course import (
    COSTS,
    LINK,
    UPLINK,
    Course,
    Judge,
    Point,
    Swarm,
    is_over,
    nodes_of,
    spread,
)
from gossipd.config import Config
from gossipd.learning.learner import TorchLearner
from gossipd.options import options_of
from gossipd.protocol.activity import rank
from gossipd.runtime.assembly import Options
from gossipd.simulation.log import Entry
from gossipd.simulation.node import Machine, SimNode
from gossipd.simulation.world import Simulation
from gossipd.wire.identifiers import digest

SWARM = digest(b"gossipd/benchmark")
"""The swarm's id: known, so that it is known beforehand who will be drawn."""
LOOK = 0.05
"""Virtual seconds between two looks at the swarm: a tenth of the shortest rounds."""
PATIENCE = 60.0
"""Virtual seconds without a new round after which something is broken."""
TRACKS = ("model", "average", "nodes median")
"""Those whose target ends a course; the worst node may take its time."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What came of it."""

    course: Course
    traffic: Mapping[str, tuple[int, int]]
    """Kind of message -> how many were sent, and their bytes, until the end."""


def run(swarm: Swarm, codec: str, seed: int) -> Sampled:
    """Start all nodes at once, all told of each other, and let rounds go on."""
    learners = nodes_of(swarm, seed)
    with Simulation(seed, link=LINK) as sim:
        populate(sim, swarm, codec, learners)
        sim.start(*sim.nodes)
        watch = _Watch(sim, Judge(learners[0]))
        while not is_over(swarm, watch.course, TRACKS):
            before = len(watch.course)
            sim.run_until(lambda: watch.look() > before, PATIENCE, every=LOOK)  # noqa: B023
        return Sampled(watch.course, _traffic(sim))


class _Watch:
    """Looks at a running swarm and writes its course down."""

    def __init__(self, sim: Simulation, judge: Judge) -> None:
        self.course: list[Point] = []
        self._sim = sim
        self._judge = judge
        self._seen = 0

    def look(self) -> int:
        """Points so far: one more for each newer round that was aggregated since the last look."""
        made = self._sim.log.of("aggregated")[self._seen :]
        # Until the next look it has adopted what it has made.
        made = [entry for entry in made if entry.time <= self._sim.now - LOOK]
        self._seen += len(made)
        rounds: dict[int, dict[str, float]] = {}
        for entry in made:
            # Of what a race makes twice the worse one counts.
            number, tracks = int(entry.fields["round"]) - 1, self._made(entry)
            both = rounds.setdefault(number, tracks)
            rounds[number] = {name: min(both[name], tracks[name]) for name in tracks}
        for number, tracks in sorted(rounds.items()):
            if not self.course or number > self.course[-1].round:
                self.course.append(self._point(number, tracks))
        return len(self.course)

    def _made(self, entry: Entry) -> dict[str, float]:
        """The tracks of an aggregator's two models."""
        node = self._sim.nodes[entry.node]
        base = bytes.fromhex(entry.fields["base"])
        return {
            "model": self._judge.by_hash(base, node.live.models.get(base)),
            "average": self._serving(node),
        }

    def _serving(self, node: SimNode) -> float:
        models = node.live.models
        return self._judge.by_hash(models.pointers.serving, models.get(models.pointers.serving))

    def _point(self, number: int, tracks: Mapping[str, float]) -> Point:
        nodes = self._sim.nodes.values()
        return Point(
            number,
            self._sim.now,
            sum(sum(node.traffic.sent.values()) for node in nodes),
            {**tracks, **spread("nodes", [self._serving(node) for node in nodes])},
        )


def populate(sim: Simulation, swarm: Swarm, codec: str, learners: Sequence[TorchLearner]) -> None:
    """Add all nodes and tell all of each other."""
    config = Config()
    for number, learner in enumerate(learners):
        # What is saved for a restart concerns nobody here.
        machine = Machine(costs=COSTS, uplink=UPLINK, upkeep_seconds=None)
        sim.add(f"n{number}", learner, _options(config, swarm, codec, learner), machine)
    sim.introduce(*sim.nodes)


def draws(sim: Simulation, able: Sequence[int], count: int, round_: int) -> list[int]:
    """The nodes that train in a round when all `able` ones answer: the first in ORDER(round)."""
    peers = [node.peer_id for node in sim.nodes.values()]
    return sorted(able, key=lambda node: rank(SWARM, peers[node], round_))[:count]


def _traffic(sim: Simulation) -> dict[str, tuple[int, int]]:
    messages: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for node in sim.nodes.values():
        messages += node.traffic.messages
        sent += node.traffic.sent
    return {kind: (messages[kind], size) for kind, size in sent.most_common()}


def _options(config: Config, swarm: Swarm, codec: str, learner: TorchLearner) -> Options:
    """The shipped configuration, but that a node may know everybody."""
    shipped = options_of(config, swarm=SWARM)
    assert shipped.rounds is not None, "the shipped mode"
    return replace(
        shipped,
        codec=codec,
        max_connections=max(shipped.max_connections, swarm.nodes),
        rounds=replace(shipped.rounds, sample=swarm.sample),
    )
