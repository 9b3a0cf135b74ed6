"""What a task is: the one class a user implements to train a model of their own with others.

    class Flowers(Task):
        name = "flowers"
        classes = 3

        def model(self) -> nn.Module:
            return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

        def train_data(self, shard: Shard) -> Examples:
            x, y = read_my_files()
            mine = torch.from_numpy(shard.pick(len(y), y))
            return x[mine], y[mine]

        def test_data(self) -> Examples:
            return read_my_test_files()

A device that has only its own data ignores the shard. What must be the same on every device is
`name`, `classes`, `seed` and the model's architecture: they make the swarm's task. Data stay local.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gossipd.learning.given import Given, likelihoods, read_arrays, spread_explained
from gossipd.learning.partition import Shard

Examples = tuple[Tensor, Tensor]
"""Inputs and targets; the leading dimension of both is the number of examples.

Targets are int64 class numbers of shape [N] for a classification, float32 [N] or [N, K] for a
regression. Inputs are what the model's `forward` takes.
"""


class Task(ABC):
    """A model and data. Methods are called in the compute worker, one at a time."""

    name: str
    """Short and stable: it is shown to people and is part of what makes a swarm."""
    classes: int | None = None
    """Number of classes; None for a regression."""
    seed: int = 0
    """Of the initial model, the held-out split, and what else the task draws."""
    weight_decay: float = 0.0
    """Of local training, where this device's settings say nothing else."""
    portable_genesis: bool = False
    """True draws the initial model by `gossipd.learning.genesis`: the same bits on every machine.
    Right for linear and convolutional layers. False takes what `model()` initialises, which may
    differ between versions of torch; a node whose initial model differs fetches the swarm's."""

    @property
    def identity(self) -> str:
        """What a portable initial model is drawn from, beside the seed: tasks that differ in
        anything that nodes must agree on differ here."""
        return self.name

    @abstractmethod
    def model(self) -> nn.Module:
        """A new float32 model, initialised. For a classification it ends in one logit per class.

        torch's global generator is seeded with `seed` when this is called.
        """

    @abstractmethod
    def train_data(self, shard: Shard) -> Examples:
        """The examples of this node. DataError when they cannot be read."""

    @abstractmethod
    def test_data(self) -> Examples:
        """Examples that no node trains on; may be empty. Never used in a decision."""

    def files(self) -> Sequence[Path]:
        """What `train_data` reads: when one of them changes, it is asked again."""
        return ()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean loss, a scalar: cross-entropy, or mean squared error for a regression."""
        if self.classes is None:
            return F.mse_loss(output.reshape(target.shape), target)
        return F.cross_entropy(output, target)

    def metrics(self, output: Tensor, target: Tensor) -> Mapping[str, float]:
        """What people want to know beside the loss: "accuracy", or "rmse" and "r2" of a regression.
        Shown by `status`, `eval` and /metrics."""
        if self.classes is None:
            return spread_explained(output.reshape(target.shape), target)
        return {"accuracy": float((output.argmax(dim=1) == target).double().mean())}

    # --- what others make of the model ------------------------------------------------------------

    def read(self, path: Path, *, targets: bool) -> Given:
        """The examples in somebody's file; `targets`: with what is right. DataError.

        An NPZ file with the inputs as `x` [N, ...] and the targets as `y`.
        """
        return read_arrays(path, targets)

    def answers(self, output: Tensor) -> Mapping[str, Sequence[str]]:
        """The model's output [N, ...] as columns of N cells: `prediction`, and for classes the
        probability of each."""
        if self.classes is None:
            return {
                "prediction": [f"{value:.6g}" for value in output.reshape(len(output)).tolist()]
            }
        return likelihoods(output, [str(number) for number in range(self.classes)])


def multilayer_perceptron(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def as_examples(inputs: ArrayLike, labels: ArrayLike) -> Examples:
    """Arrays of any numeric type as float32 inputs and int64 labels."""
    return (
        torch.from_numpy(np.require(inputs, np.float32, ["C", "W"])),
        torch.from_numpy(np.require(labels, np.int64, ["C", "W"])),
    )
