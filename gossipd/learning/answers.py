"""A learnt model in use: what it answers, and how well. No training data are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gossipd.learning.errors import DataError
from gossipd.learning.given import Given
from gossipd.learning.parameters import FlatModule, Vector
from gossipd.learning.task import Task
from gossipd.tensors.layout import Layout


class Answers:
    """The model of a task, without numbers of its own. TaskError when there can be none."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._model = FlatModule(task.model(), task.classes)

    @property
    def layout(self) -> Layout:
        return self._model.layout

    def of(self, vector: Vector, inputs: Tensor, path: Path) -> Mapping[str, Sequence[str]]:
        """What the model `vector` says of inputs [N, ...]: columns of N cells. DataError, which
        names `path`, when they do not fit it."""
        return self.task.answers(self._output(vector, inputs, path))

    def measured(
        self, vector: Vector, given: Given, path: Path
    ) -> Mapping[str, float | int | None]:
        """{loss, accuracy, examples, and the task's other metrics} on examples with targets."""
        if given.targets is None or not len(given.rows):
            raise DataError(path, "no example in it says what is right", "give some that do")
        inputs = given.inputs[torch.as_tensor(given.rows)]
        output = self._output(vector, inputs, path)
        metrics = dict(self.task.metrics(output, given.targets))
        return {
            "loss": float(self.task.loss(output, given.targets)),
            "accuracy": metrics.pop("accuracy", None),
            **metrics,
            "examples": len(given.rows),
        }

    def _output(self, vector: Vector, inputs: Tensor, path: Path) -> Tensor:
        if not len(inputs):
            raise DataError(path, "holds no example", "give at least one")
        try:
            return self._model.answer(vector, inputs)
        except RuntimeError as error:
            # How torch says that shapes do not go together.
            shape = list(inputs.shape[1:])
            raise DataError(
                path, f"the model takes no inputs of shape {shape}: {error}", "give what it takes"
            ) from error
