"""The built-in task: 1797 handwritten digits of 8 x 8 pixels, ten classes.

UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak): scikit-learn's copy.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gossipd.learning.errors import DataError
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task, as_examples, multilayer_perceptron

CLASSES = 10
PIXELS = 64
BRIGHTEST = 16.0
HIDDEN = 32
"""Ours, measured: with 64 a swarm learns no faster, and every update is twice as large."""
TEST_SHARE = 0.2
SPLIT_SEED = 1797
"""The test set is the same for everybody, whatever the task's seed."""


class Digits(Task):
    """An MLP 64 - hidden - 10; pixels scaled to 0..1; a fixed fifth of the images tests."""

    name = "digits"
    classes = CLASSES
    portable_genesis = True

    def __init__(self, seed: int = 0, hidden: int = HIDDEN) -> None:
        self.seed = seed
        self.hidden = hidden

    def model(self) -> nn.Module:
        return multilayer_perceptron(PIXELS, self.hidden, CLASSES)

    def train_data(self, shard: Shard) -> Examples:
        images, labels, test = _load()
        mine = np.flatnonzero(~test)
        mine = mine[shard.pick(len(mine), labels[mine])]
        return as_examples(images[mine], labels[mine])

    def test_data(self) -> Examples:
        images, labels, test = _load()
        return as_examples(images[test], labels[test])


def _load() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """(images [1797, 64] in 0..1, labels [1797], which are of the test set [1797])."""
    path = _file()
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    except (OSError, ValueError) as error:
        raise DataError(path, str(error), "reinstall scikit-learn") from error
    if table.ndim != 2 or table.shape[1] != PIXELS + 1:
        raise DataError(path, f"a table {table.shape}, not [N, 65]", "reinstall scikit-learn")
    test = np.zeros(len(table), dtype=np.bool_)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    test[order[: round(TEST_SHARE * len(table))]] = True
    return table[:, :PIXELS] / BRIGHTEST, table[:, PIXELS].astype(np.int64), test


def _file() -> Path:
    """scikit-learn's own file. Importing it for this one table would take 1 s and 80 MB."""
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("sklearn", "scikit-learn is not installed", "pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
