"""Learners for many nodes in one process: one copy of the data, equal models measured once."""

import numpy as np
from numpy.typing import NDArray

from gossipd.config import Config
from gossipd.learning.build import learner_from_config, task_from_config
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task
from gossipd.runtime.ports import Learner, Vector
from gossipd.simulation.stub import StubLearner
from gossipd_scenarios.hostile import Mislabelled
from gossipd_scenarios.measure import forward

STUB_EXAMPLES = 100
"""That a node of the stub holds if it holds any."""
REMEMBERED = 4096
"""Measured models whose results are kept: nodes stand on few different ones."""


class SharedTask(Task):
    """A task whose data are read once, however many nodes cut their shards from it."""

    def __init__(self, task: Task) -> None:
        self.name, self.classes, self.seed = task.name, task.classes, task.seed
        self.portable_genesis = task.portable_genesis
        self._task = task
        self._train = task.train_data(Shard())
        self._test = task.test_data()

    def model(self):  # type: ignore[no-untyped-def]  # torch's types belong to the room learning
        return self._task.model()

    def train_data(self, shard: Shard) -> Examples:
        inputs, targets = self._train
        rows = shard.pick(len(targets), targets.numpy())
        return inputs[rows], targets[rows]

    def test_data(self) -> Examples:
        return self._test


class Workshop:
    """Makes the learners of one simulation and measures their models."""

    def __init__(self, training: str) -> None:
        """`training`: "real", or "stub" for models that learn nothing of use."""
        self._stub = training == "stub"
        self._tasks: dict[tuple[str, str, int, bool], SharedTask] = {}
        self._measured: dict[bytes, tuple[float, tuple[float, ...] | None]] = {}

    def learner(self, config: Config, seed: int, *, wrong: bool = False) -> Learner:
        """For a node with this configuration; `seed` shuffles its mini-batches. `wrong`: it takes
        each label for the next one."""
        if self._stub:
            return StubLearner(seed, examples=STUB_EXAMPLES if config.task.parts else 0)
        task = config.task
        key = task.name, task.data, task.seed, wrong
        if key not in self._tasks:
            made = task_from_config(task)
            self._tasks[key] = SharedTask(Mislabelled(made) if wrong else made)
        return learner_from_config(task, config.learning, seed=seed, given=self._tasks[key])

    def measure(
        self, learner: Learner, model: bytes, vector: Vector
    ) -> tuple[float, tuple[float, ...] | None]:
        """(accuracy, recall of each class) of a model on the whole test set. Equal hashes are
        measured once; no recalls for the stub."""
        known = self._measured.get(model)
        if known is None:
            if len(self._measured) >= REMEMBERED:
                self._measured.clear()
            known = self._measured[model] = self._judged(learner, vector)
        return known

    def _judged(self, learner: Learner, vector: Vector) -> tuple[float, tuple[float, ...] | None]:
        if not isinstance(learner, TorchLearner):
            return learner.test(vector).accuracy or 0.0, None
        inputs, targets = next(iter(self._tasks.values())).test_data()
        layout = learner.layout
        named = dict(zip((t.name for t in layout.tensors), layout.views(vector), strict=True))
        guesses = forward(named, inputs.numpy()).argmax(axis=1)
        return _shares(guesses == targets.numpy(), targets.numpy())


def _shares(right: NDArray[np.bool_], labels: NDArray[np.int64]) -> tuple[float, tuple[float, ...]]:
    by_class = np.bincount(labels, weights=right) / np.maximum(np.bincount(labels), 1)
    return float(right.mean()), tuple(map(float, by_class))
