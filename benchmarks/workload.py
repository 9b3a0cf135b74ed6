"""Data sets as tasks, dealt out to many nodes of one process.

Images are standardised by the mean and deviation of all training images. That is ours: chosen of
four scales because it gives the rounds that an earlier loop counted (README.md). A node trains on
all examples of its shard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gossipd.errors import ExitCode, OperatorError
from gossipd.learning.digits import Digits
from gossipd.learning.idx import IdxImages
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.split import hold_out
from gossipd.learning.task import Examples, Task, multilayer_perceptron

HIDDEN = 200
"""Units of each hidden layer, for every data set, unless a benchmark has its own."""
DIGITS = "digits"


@dataclass(frozen=True, slots=True)
class Source:
    """Where images come from; small, so that it can be handed to another process."""

    name: str
    folder: Path | None = None
    """IDX files; None: the built-in digits."""


def source(data: Path | None, name: str) -> Source:
    """The data set `name` in the folder `data`, or the digits without one."""
    if data is None:
        return Source(DIGITS)
    if not (data / name).is_dir():
        raise OperatorError(
            "no-data", f"{data} has no folder {name}", "give another --data", ExitCode.USAGE
        )
    return Source(name, data / name)


class Images(Task):
    """A perceptron on standardised images. Every node's shard is cut from one copy in memory."""

    classes = 10
    portable_genesis = True

    def __init__(self, source: Source, hidden_layers: int = 1, hidden: int = HIDDEN) -> None:
        self.name = source.name
        self._train, self._test = _loaded(source)
        self._sizes = (self._train[0].shape[1], *[hidden] * hidden_layers, self.classes)

    def model(self) -> nn.Module:
        return multilayer_perceptron(*self._sizes)

    def train_data(self, shard: Shard) -> Examples:
        inputs, labels = self._train
        rows = shard.pick(len(labels), labels.numpy())
        return self._with_spares(inputs[rows], labels[rows])

    def test_data(self) -> Examples:
        return self._test

    def _with_spares(self, inputs: torch.Tensor, labels: torch.Tensor) -> Examples:
        """The same examples and copies of some, placed where the learner takes what it holds back.

        It judges models by a share of its examples. No number of a benchmark comes from them, and
        the comparison is with loops that train on everything.
        """
        counts = np.bincount(labels.numpy(), minlength=self.classes)
        stocked = np.repeat(np.arange(self.classes), [self._stock(count) for count in counts])
        training, held = hold_out(len(stocked), stocked, self.seed)
        by_class = np.argsort(labels.numpy(), kind="stable")
        rows = np.empty(len(stocked), np.int64)
        rows[training] = by_class
        firsts = np.cumsum(counts) - counts
        rows[held] = by_class[firsts[stocked[held]]]
        return inputs[rows], labels[rows]

    def _stock(self, count: int) -> int:
        """How many examples of a class leave `count` after some are held back."""
        total = count
        while total - len(hold_out(total, np.zeros(total, np.int64), self.seed)[1]) < count:
            total += 1
        return total


def learners(
    task: Task, shards: Sequence[Shard], *, lr: float, batch_size: int, seed: int
) -> list[TorchLearner]:
    """A learner for each shard, each with mini-batches and an own start of its own."""
    return [
        TorchLearner(task, shard, lr=lr, batch_size=batch_size, seed=seed * len(shards) + node)
        for node, shard in enumerate(shards)
    ]


@lru_cache(maxsize=1)
def _loaded(source: Source) -> tuple[Examples, Examples]:
    task = Digits() if source.folder is None else IdxImages(source.folder)
    (train, labels), (test, test_labels) = task.train_data(Shard()), task.test_data()
    mean, deviation = train.mean(), train.std()
    return ((train - mean) / deviation, labels), ((test - mean) / deviation, test_labels)
