"""A task of your own: a model and your data. Check it with: gossipd task check my_task.py:MyTask

What must be the same on every device: `name`, `classes`, `seed`, and what `model` builds. Hand this
file to whoever joins. The data stay where they are: let every device read its own.
"""

import torch
from torch import Tensor, nn

from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task

FEATURES = 4


class MyTask(Task):
    """Three clouds of points in space: replace `_read` by what reads your data."""

    name = "my-task"
    classes = 3  # None for a regression: then targets are float32 numbers

    def model(self) -> nn.Module:
        """Any module of torch, float32, on the CPU; for classes it ends in one logit for each."""
        return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 3))

    def train_data(self, shard: Shard) -> Examples:
        """This device's examples: inputs [N, ...] and targets [N].

        `shard` divides one data set among the nodes of an experiment; a device ignores it.
        """
        return _read(300, seed=1)

    def test_data(self) -> Examples:
        """Examples that nobody trains on, for `gossipd eval`; may be empty."""
        return _read(100, seed=2)


def _read(count: int, seed: int) -> Examples:
    random = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    centres = torch.eye(3, FEATURES) * 3
    inputs: Tensor = centres[targets] + torch.randn(count, FEATURES, generator=random)
    return inputs, targets
