"""The compute worker in virtual time: work is done at once, and then takes as long as it would."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from gossipd.runtime.ports import Evaluation, Learner, Training, Vector
from gossipd.tensors.layout import Layout

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Costs:
    """Virtual seconds that work takes on one node's machine.

    The defaults are a guess after the digits task on one core; a benchmark sets its own.
    """

    step: float = 0.0005
    """One mini-batch of training."""
    evaluation: float = 0.001
    """Judging one model on held-out or test examples."""
    megabyte: float = 0.01
    """Hashing, encoding, decoding, averaging: per job and megabyte of the model as float32."""
    job: float = 0.0002
    """Every job, whatever it is."""


class SimCompute:
    """Implements `gossipd.runtime.ports.Compute`: one job after the other, as the one worker does.

    A job reads and changes the node's models when it begins; its result is there when it ends.
    """

    def __init__(self, learner: Learner, costs: Costs) -> None:
        self.learner: Learner = _Metered(learner, self)
        """The learner to give to the node: what is asked of it is charged here."""
        self._costs = costs
        self._each = costs.job + costs.megabyte * learner.layout.parameters * 4e-6
        self._charged = 0.0
        self._worker = asyncio.Lock()

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        async with self._worker:
            self._charged = self._each
            try:
                result = fn(*args, **kwargs)
            except Exception:
                await asyncio.sleep(self._charged)
                raise
            await asyncio.sleep(self._charged)
            return result

    def charge_steps(self, steps: int) -> None:
        self._charged += steps * self._costs.step

    def charge_evaluation(self) -> None:
        self._charged += self._costs.evaluation


class _Metered:
    """A learner whose work is charged to a worker."""

    def __init__(self, learner: Learner, worker: SimCompute) -> None:
        self._learner = learner
        self._worker = worker

    @property
    def task(self) -> str:
        return self._learner.task

    @property
    def layout(self) -> Layout:
        return self._learner.layout

    @property
    def examples(self) -> int:
        return self._learner.examples

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        return self._learner.class_counts

    @property
    def guess(self) -> float:
        return self._learner.guess

    def genesis(self) -> Vector:
        return self._learner.genesis()

    def own_start(self) -> Vector:
        return self._learner.own_start()

    def train(self, vector: Vector, momentum: Vector | None, steps: int, seed: int) -> Training:
        self._worker.charge_steps(steps)
        return self._learner.train(vector, momentum, steps, seed)

    def held_out(self, vector: Vector) -> Evaluation:
        self._worker.charge_evaluation()
        return self._learner.held_out(vector)

    def test(self, vector: Vector) -> Evaluation:
        self._worker.charge_evaluation()
        return self._learner.test(vector)
