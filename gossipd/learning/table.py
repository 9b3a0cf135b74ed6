"""The built-in task for tables: rows as the task description says, by a multilayer perceptron."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gossipd.learning import encode
from gossipd.learning.description import Classes, Table, digest
from gossipd.learning.given import Given, likelihoods, spread_explained
from gossipd.learning.partition import Shard
from gossipd.learning.sheet import Sheet
from gossipd.learning.table_files import read_table
from gossipd.learning.task import Examples, Task, multilayer_perceptron


class TableTask(Task):
    """`data`: this node's own rows; None on a node that only carries what others learn."""

    portable_genesis = True

    def __init__(self, description: Table, data: Path | None) -> None:
        self.description = description
        self.name = description.title
        self.weight_decay = description.weight_decay
        target = description.target
        self.classes = len(target.values) if isinstance(target, Classes) else None
        self._data = data

    @property
    def identity(self) -> str:
        return f"table/{digest(self.description)}"

    def model(self) -> nn.Module:
        return multilayer_perceptron(*self.description.sizes)

    def files(self) -> Sequence[Path]:
        return () if self._data is None else (self._data,)

    def train_data(self, shard: Shard) -> Examples:
        if self._data is None:
            return self.test_data()
        sheet = read_table(self._data)
        rows, targets = encode.targets(self.description, sheet)
        labels = None if self.classes is None else targets.astype(np.int64)
        mine = shard.pick(len(rows), labels)
        inputs = encode.inputs(self.description, sheet)[rows[mine]]
        return torch.from_numpy(inputs), torch.from_numpy(targets[mine])

    def test_data(self) -> Examples:
        """None: all of a device's rows are its own. `eval FILE` measures on others."""
        kind = torch.float32 if self.classes is None else torch.int64
        return torch.empty(0, self.description.sizes[0]), torch.empty(0, dtype=kind)

    def metrics(self, output: Tensor, target: Tensor) -> Mapping[str, float]:
        goal = self.description.target
        if isinstance(goal, Classes):
            return super().metrics(output, target)
        return spread_explained(output.reshape(target.shape), target, unit=goal.deviation)

    def read(self, path: Path, *, targets: bool) -> Given:
        sheet = read_table(path)
        inputs = torch.from_numpy(encode.inputs(self.description, sheet))
        shown = _shown(sheet)
        if not targets:
            return Given(inputs, shown=shown)
        rows, right = encode.targets(self.description, sheet)
        return Given(inputs, rows.tolist(), torch.from_numpy(right), shown)

    def answers(self, output: Tensor) -> Mapping[str, Sequence[str]]:
        goal = self.description.target
        if isinstance(goal, Classes):
            return likelihoods(output, goal.values)
        amounts = output.reshape(len(output)).double() * goal.deviation + goal.mean
        return {"prediction": [f"{amount:.6g}" for amount in amounts.tolist()]}


def _shown(sheet: Sheet) -> Mapping[str, Sequence[str]]:
    """The table as it came."""
    return {
        name: [column.shown(row) for row in range(sheet.rows)]
        for name, column in sheet.columns.items()
    }
