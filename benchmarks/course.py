"""What a way of learning together is measured by: its course, and the swarm that it runs in.

All ways get the same data, model, mini-batches and local steps, on machines and links of one kind:
what they are measured for is which models travel when, and what that costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.workload import Images, Source, learners
from gossipd.config import Config
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.simulation.compute import Costs
from gossipd.simulation.connection import Link
from gossipd.tensors.layout import Vector

HIDDEN = 100
"""Units: on MNIST 784-100-10, 79,510 parameters, 318 kB as float32."""
DECAY = Config().gossip.serving_decay
STEPS = Config().rounds.local_steps
LEARNING = Config().learning
"""The shipped defaults: 18 mini-batches of 20 examples, SGD lr .1."""
COSTS = Costs()
LINK = Link()
"""The simulator's own: a good home network."""
UPLINK = 12.5e6
"""Bytes per second that a node can send: 100 Mbit/s, a wireless LAN. Nobody's
downlink is ever full."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """Who holds what, and for how long they go on."""

    source: Source
    nodes: int
    sample: int
    """Nodes that train in a round, where not all do."""
    alpha: float | None
    """Label skew by Dirichlet; None: IID."""
    target: float | None
    """Accuracy at which a course may end; None: it takes all its rounds."""
    rounds: int
    """At most."""


@dataclass(frozen=True, slots=True)
class Point:
    """After a round: what it has cost until now, and how good whose models are on the test set."""

    round: int
    """Rounds of training that are in the models."""
    seconds: float
    """Virtual, since the first node was started."""
    bytes: int
    """Payload of everything that all nodes have sent."""
    accuracy: dict[str, float]
    """By the name of a track."""


Course = Sequence[Point]


def reached(course: Course, track: str, target: float) -> Point | None:
    """The first point at which a track is there."""
    return next((point for point in course if point.accuracy.get(track, 0.0) >= target), None)


def is_over(swarm: Swarm, course: Course, tracks: Sequence[str]) -> bool:
    """Whether all of these tracks have reached the target, or the rounds are up."""
    if course and course[-1].round >= swarm.rounds:
        return True
    target = swarm.target
    return target is not None and all(reached(course, track, target) for track in tracks)


def nodes_of(swarm: Swarm, seed: int) -> list[TorchLearner]:
    """A learner for each node; the partition and the mini-batches are made by the seed."""
    shards = [
        Shard(
            "iid" if swarm.alpha is None else "dirichlet",
            node,
            swarm.nodes,
            alpha=swarm.alpha or 1.0,
            seed=seed,
        )
        for node in range(swarm.nodes)
    ]
    return learners(
        task_of(swarm), shards, lr=LEARNING.lr, batch_size=LEARNING.batch_size, seed=seed
    )


def task_of(swarm: Swarm) -> Images:
    return Images(swarm.source, hidden=HIDDEN)


class Judge:
    """Test accuracies; what many nodes hold is judged once."""

    def __init__(self, learner: TorchLearner) -> None:
        self._learner = learner
        self._known: dict[bytes, float] = {}

    def __call__(self, vector: Vector) -> float:
        return self._learner.test(vector).accuracy or 0.0

    def by_hash(self, model: bytes, vector: Vector) -> float:
        if model not in self._known:
            self._known[model] = self(vector)
        return self._known[model]


def spread(prefix: str, accuracies: Sequence[float]) -> dict[str, float]:
    """The tracks of many nodes."""
    return {f"{prefix} median": median(accuracies), f"{prefix} worst": min(accuracies)}
