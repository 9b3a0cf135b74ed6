"""Sampled rounds in one process, with everything encoded as it would travel.

Each round a random sample trains from the round's model and sends what changed; one aggregator
averages what it decodes, by the daemon's own averaging, and hands on what its own encoding decodes
to. No network, no clock, no failures: what is left is what codecs do to learning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.workload import Images, Source, learners
from gossipd.averaging.variance import variance_corrected
from gossipd.config import Config
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.tensors import codecs
from gossipd.tensors.feedback import Estimate, Residual, nothing
from gossipd.tensors.layout import Vector

LR = 0.1
DECAY = Config().gossip.serving_decay
ENTROPY = "+deflate"

Feedback = Literal["", "EF21", "residual"]
"""Nothing is remembered; trainer and aggregator share an estimate of the trainer's deltas; the
trainer remembers what it left out."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a round's models travel."""

    up: str
    """A trainer's delta against the round's model."""
    down: str
    """The next round's model."""
    against: Literal["genesis", "previous"] = "genesis"
    """What that is a delta to."""
    feedback: Feedback = ""
    """Of `up`."""
    declared: bool = True
    """Whether averaging corrects the spread to what the authors declare they had before encoding,
    or to what their decoded models have."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Who learns what."""

    source: Source
    nodes: int
    sample: int
    """Nodes that train in a round."""
    hidden: int
    """Units of the one hidden layer."""
    batch: int
    steps: int | None
    """Mini-batches of a round; None: one epoch."""
    rounds: int
    alpha: float | None
    """Label skew by Dirichlet; None: IID."""


@dataclass(frozen=True, slots=True)
class Run:
    """One repetition: partition, samples, mini-batches and rounding by `seed`."""

    setting: Setting
    way: Way
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    model: float
    """Test accuracy of the last round's model."""
    serving: float
    """Of the moving average of the rounds' models."""
    norm: float
    """The last model's."""
    up: float
    """Mean length of a body in bytes."""
    down: float
    up_deflated: float
    """The same with the entropy stage, where the codec has one."""
    down_deflated: float


def run(this: Run) -> Outcome:
    """Go through all rounds."""
    loop = _Loop(this)
    for number in range(1, this.setting.rounds + 1):
        loop.round(number)
    return Outcome(
        loop.accuracy(loop.model),
        loop.accuracy(loop.serving),
        float(np.linalg.norm(loop.model.astype(np.float64))),
        *(float(np.mean(loop.lengths[key])) for key in ("up", "down", "up+", "down+")),
    )


def first_delta(setting: Setting, seed: int) -> tuple[TorchLearner, Vector]:
    """A node, and what its first round of training changes."""
    node = _trainers(setting, seed)[0]
    steps = setting.steps or math.ceil(node.examples / setting.batch)
    return node, node.train(node.genesis(), None, steps, 0).vector - node.genesis()


def _trainers(setting: Setting, seed: int) -> list[TorchLearner]:
    shards = [
        Shard(
            "iid" if setting.alpha is None else "dirichlet",
            node,
            setting.nodes,
            alpha=setting.alpha or 1.0,
            seed=seed,
        )
        for node in range(setting.nodes)
    ]
    task = Images(setting.source, hidden=setting.hidden)
    nodes = learners(task, shards, lr=LR, batch_size=setting.batch, seed=seed)
    return [node for node in nodes if node.examples]


class _Loop:
    def __init__(self, this: Run) -> None:
        self._setting, self._way, self._seed = this.setting, this.way, this.seed
        self._trainers = _trainers(this.setting, this.seed)
        self._layout = self._trainers[0].layout
        self._chance = np.random.default_rng(this.seed)
        self._genesis = self._trainers[0].genesis()
        self._taken = [0] * len(self._trainers)
        self._estimates = [Estimate(nothing(self._layout)) for _ in self._trainers]
        self._residuals = [Residual(nothing(self._layout)) for _ in self._trainers]
        self.model = self.serving = self._genesis
        self.lengths: dict[str, list[int]] = {"up": [], "down": [], "up+": [], "down+": []}

    def round(self, number: int) -> None:
        there = len(self._trainers)
        sample = self._chance.choice(there, min(self._setting.sample, there), replace=False)
        trained = {int(node): self._trained(int(node)) for node in sample}
        average = variance_corrected(
            self._layout,
            None,
            [self.model + self._up(node, after, number) for node, after in trained.items()],
            weights=[self._trainers[node].examples for node in trained],
            declared=[self._layout.variances(after) for after in trained.values()]
            if self._way.declared
            else None,
        )
        reference = self._genesis if self._way.against == "genesis" else self.model
        self.model = reference + self._coded("down", self._way.down, average - reference, number)
        if number == 1:
            self.serving = self.model
        else:
            moved = DECAY * self.serving.astype(np.float64) + (1 - DECAY) * self.model
            self.serving = moved.astype(np.float32)

    def accuracy(self, vector: Vector) -> float:
        return self._trainers[0].test(vector).accuracy or 0.0

    def _trained(self, node: int) -> Vector:
        trainer = self._trainers[node]
        steps = self._setting.steps or math.ceil(trainer.examples / self._setting.batch)
        vector = trainer.train(self.model, None, steps, self._taken[node]).vector
        self._taken[node] += steps
        return vector

    def _up(self, node: int, trained: Vector, number: int) -> Vector:
        """What the aggregator takes a trainer's delta for."""
        name, delta, seed = self._way.up, trained - self.model, self._drawn(number, node)
        match self._way.feedback:
            case "EF21":
                body, after = self._estimates[node].send(name, delta, self._layout, seed)
                self._estimates[node] = after
                self._count("up", len(body), len(body))
                return after.vector
            case "residual":
                body, left = self._residuals[node].send(name, delta, self._layout, seed)
                self._residuals[node] = left
                self._count("up", len(body), len(body))
                return codecs.decode(name, body, self._layout)
        return self._coded("up", name, delta, seed)

    def _coded(self, way: str, name: str, delta: Vector, seed: int) -> Vector:
        body = codecs.encode(name, delta, self._layout, seed)
        staged = len(body)
        if name + ENTROPY in codecs.names():
            staged = len(codecs.encode(name + ENTROPY, delta, self._layout, seed))
        self._count(way, len(body), staged)
        return codecs.decode(name, body, self._layout)

    def _count(self, way: str, plain: int, staged: int) -> None:
        self.lengths[way].append(plain)
        self.lengths[f"{way}+"].append(staged)

    def _drawn(self, number: int, node: int) -> int:
        return (self._seed * 10_000 + number) * 1_000 + node


def mean_of(outcomes: Sequence[Outcome], field: str) -> float:
    """Of one field over the repetitions."""
    return float(np.mean([getattr(outcome, field) for outcome in outcomes]))
