"""A learner that learns nothing of use, for runs that are about the protocol and not the models.

Every node has a target of its own, drawn from its seed; training moves the vector towards it. What
all of them want is the mean of the targets, near zero, so a model that many have trained tests well
and one that a single node has trained does not: the numbers move as those of real training do.
"""

import hashlib

import numpy as np

from gossipd.runtime.ports import Evaluation, Training, Vector
from gossipd.tensors.layout import Layout, TensorSpec

RATE = 0.02
"""Of the way to the target that one step goes."""
SPREAD = 1.0
"""Standard deviation of the targets."""


class StubLearner:
    """Implements `gossipd.runtime.ports.Learner` on a vector of (width + 1) * classes numbers.

    Deterministic, without torch, a few microseconds per call. The gate lets everything pass.
    """

    def __init__(
        self, seed: int, *, classes: int = 10, width: int = 4, examples: int = 100
    ) -> None:
        self._layout = Layout(
            (
                TensorSpec("output.weight", (classes, width), "weight"),
                TensorSpec("output.bias", (classes,), "bias"),
            ),
            ("output.weight", "output.bias"),
        )
        self._examples = examples
        self._counts = tuple(examples // classes + (c < examples % classes) for c in range(classes))
        self._genesis = self._draw("genesis") / np.float32(10.0)
        self._target = self._draw(f"target/{seed}")
        self._start = self._draw(f"start/{seed}") / np.float32(10.0)

    def _draw(self, name: str) -> Vector:
        seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        drawn = np.random.default_rng(seed).normal(0.0, SPREAD, self._layout.parameters)
        return drawn.astype(np.float32)

    @property
    def task(self) -> str:
        return "stub"

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def examples(self) -> int:
        return self._examples

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        return self._counts

    @property
    def guess(self) -> float:
        return float("inf")

    def genesis(self) -> Vector:
        return self._genesis.copy()

    def own_start(self) -> Vector:
        return self._start.copy()

    def train(self, vector: Vector, momentum: Vector | None, steps: int, seed: int) -> Training:
        """`steps` steps towards the target; `seed` stirs what is equal otherwise: two trainings
        never make the same model."""
        left = np.float32((1.0 - RATE) ** steps)
        trained = self._target + (vector - self._target) * left
        trained[seed % trained.size] += np.float32(1e-3)
        return Training(trained, None, steps, self._distance(trained, self._target))

    def held_out(self, vector: Vector) -> Evaluation:
        loss = self._distance(vector, self._target)
        return Evaluation(loss, None, self._examples, loss)

    def test(self, vector: Vector) -> Evaluation:
        """The loss is the mean squared distance from what all want; 1 is as good as one node."""
        loss = float(np.square(vector, dtype=np.float64).mean())
        return Evaluation(loss, float(np.exp(-loss)), self._examples)

    @staticmethod
    def _distance(vector: Vector, target: Vector) -> float:
        return float(np.square(vector - target, dtype=np.float64).mean())
