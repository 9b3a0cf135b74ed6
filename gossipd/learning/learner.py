"""A task's model and data behind the runtime's port: flat vectors in, flat vectors out.

Everything here is a function of its arguments: no call but `refresh` leaves anything behind that
another would notice. Two calls with equal arguments return equal bits on one machine with one
number of threads.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gossipd.learning.batches import BatchStream
from gossipd.learning.errors import LearningError, TaskError
from gossipd.learning.genesis import portable_genesis
from gossipd.learning.parameters import FlatModule, Vector
from gossipd.learning.partition import Shard
from gossipd.learning.split import hold_out
from gossipd.learning.task import Examples, Task
from gossipd.learning.watch import Watch
from gossipd.runtime.ports import Evaluation, Training
from gossipd.tensors.layout import Layout


@dataclass(frozen=True, slots=True)
class Descent:
    """How a learner steps: what `FlatModule.descend` takes, and the examples of a mini-batch."""

    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    """0 on a node without examples."""


class TorchLearner:
    """Implements `gossipd.runtime.ports.Learner`. Lives in the compute worker's thread.

    `seed` makes this node's mini-batches: nodes with the same data must not shuffle alike, else
    they do the same work. It is stable over restarts. LearningError (TaskError, DataError) when the
    task's model and data do not fit together or cannot be read.
    """

    def __init__(
        self,
        task: Task,
        shard: Shard,
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        batch_size: int = 20,
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        self._task = task
        self._shard = shard
        self._threads = threads
        self._seed = seed
        self.use_threads()

        self._asked = Descent(lr, momentum, weight_decay, batch_size)
        self._files = Watch(task.files())
        self._stream: BatchStream | None = None
        testing = self._load()

        self._model = self._draw(task.seed)
        self._genesis = (
            portable_genesis(self.layout, task.identity, task.seed)
            if task.portable_genesis
            else self._model.vector()
        )
        self._try_model((self._training, testing))

    def _load(self) -> Examples:
        """Read the data; the test set is returned. LearningError leaves everything as it was."""
        task = self._task
        inputs, targets = _checked(task, task.train_data(self._shard))
        if self._stream is not None and not len(targets):
            raise TaskError("the data files hold no example any more", "the last good ones stay")
        testing = self._testing()
        labels = None if task.classes is None else targets.numpy()
        training, held = hold_out(len(targets), labels, task.seed)
        self._tests: Examples | None = None if len(testing[1]) else testing
        self._training = inputs[training], targets[training]
        self._held_out = inputs[held], targets[held]
        asked = self._asked.batch_size
        self._stream = BatchStream(len(training), asked, self._seed) if len(training) else None
        size = 0 if self._stream is None else self._stream.batch_size
        self.descent = replace(self._asked, batch_size=size)
        self._epochs: tuple[int, int] | None = None
        self._known = self._known_classes()
        self._guess_loss = self._guess()
        return testing

    def refresh(self) -> bool | LearningError:
        """Read the data again if its files have changed and an epoch has ended since they were
        read; whether that was so. Data that cannot be read leaves the last good ones in place, and
        the error is the answer, once."""
        first, last = self._epochs or (0, 0)
        if self._stream is not None and first == last:
            return False
        if not self._files.changed():
            return False
        try:
            self._load()
        except LearningError as error:
            return error
        return True

    @property
    def task(self) -> str:
        return self._task.name

    @property
    def layout(self) -> Layout:
        return self._model.layout

    @property
    def examples(self) -> int:
        """Local training examples; 0 on a node that only carries what others learn."""
        return len(self._training[1])

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        if self._task.classes is None:
            return None
        counts = torch.bincount(self._training[1], minlength=self._task.classes)
        return tuple(int(count) for count in counts)

    @property
    def guess(self) -> float:
        """A uniform guess among the K classes that this node trains on: ln K for cross-entropy. For
        a regression: the loss of always answering the training targets' mean.
        """
        return self._guess_loss

    def genesis(self) -> Vector:
        return self._genesis.copy()

    def own_start(self) -> Vector:
        """What the task's own initialisation draws with this node's seed."""
        return self._draw(self._noise_seed(-1)).vector()

    def train(self, vector: Vector, momentum: Vector | None, steps: int, seed: int) -> Training:
        """`steps` mini-batches of SGD from `vector`; neither argument is changed.

        `seed` is the number of the first mini-batch in this node's endless stream of shuffled
        epochs. Given the steps made so far, training goes on through the data where it stopped:
        10 steps from 0 are, bit for bit, 5 from 0 and then 5 from 5 with the returned momentum.
        Any other number (a hash) is as reproducible, and starts somewhere inside an epoch.
        `momentum` is float32 [P], None for a fresh start; None is returned where none is used.
        A node without examples returns 0 steps.
        """
        self.use_threads()
        model, how = self._model, self.descent
        model.load(vector)
        velocity = self.velocity(momentum)
        if self._stream is None:
            return Training(model.vector(), padded(velocity, vector.size), 0, 0.0)
        model.module.train()
        self._note_epochs(seed, seed + steps)
        total = torch.zeros(())
        for number, (inputs, targets) in enumerate(self.mini_batches(seed, steps), start=seed):
            torch.default_generator.manual_seed(self._noise_seed(number))
            loss = self._task.loss(model.module(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            model.descend(velocity, how.lr, how.momentum, how.weight_decay)
            total += loss.detach()
        mean = float(total) / steps if steps else 0.0
        return Training(model.vector(), padded(velocity, vector.size), steps, mean)

    def _note_epochs(self, first: int, end: int) -> None:
        """Which epochs of these data have been trained on: the first, and the one now."""
        if self._stream is not None:
            first, end = self._stream.epoch(first), self._stream.epoch(end)
            self._epochs = (self._epochs or (first,))[0], end

    def mini_batches(self, first: int, count: int) -> Iterator[Examples]:
        """Number `first` and following of this node's stream; none without examples."""
        inputs, targets = self._training
        for rows in () if self._stream is None else self._stream.take(first, count):
            chosen = torch.from_numpy(rows)
            yield inputs[chosen], targets[chosen]

    def held_out(self, vector: Vector) -> Evaluation:
        """On the held-out examples. Where there are none, nothing speaks for or against a model:
        its loss is that of a guess, on 0 examples."""
        inputs, targets = self._held_out
        if not len(targets):
            return Evaluation(self._guess_loss, None, 0, self._guess_loss)
        output = self._output(vector, inputs)
        return replace(self._judge(output, targets), known_loss=self._known_loss(output, targets))

    def test(self, vector: Vector) -> Evaluation:
        """On the test set. DataError when it cannot be read any more."""
        inputs, targets = self._test_set()
        if not len(targets):
            return Evaluation(self._guess_loss, None, 0)
        return self._judge(self._output(vector, inputs), targets)

    def metrics(self, vector: Vector) -> dict[str, float]:
        """All of the task's metrics on the test set; empty where there is none."""
        return dict(self.test(vector).metrics)

    def _test_set(self) -> Examples:
        """Read, and checked, with the other data, and kept from its first use on: most nodes never
        use it, and of ten thousand images it takes 31 MB."""
        if self._tests is None:
            self._tests = self._testing()
        return self._tests

    def _testing(self) -> Examples:
        return _checked(self._task, self._task.test_data())

    def _draw(self, seed: int) -> FlatModule:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return FlatModule(self._task.model(), self._task.classes)

    def _output(self, vector: Vector, inputs: Tensor) -> Tensor:
        self.use_threads()
        return self._model.answer(vector, inputs)

    def _judge(self, output: Tensor, targets: Tensor) -> Evaluation:
        with torch.inference_mode():
            metrics = self._task.metrics(output, targets)
            return Evaluation(
                loss=float(self._task.loss(output, targets)),
                accuracy=metrics.get("accuracy"),
                examples=len(targets),
                metrics=dict(metrics),
            )

    def _known_classes(self) -> Tensor | None:
        """The classes among the training examples; None for a regression or without any."""
        if self._task.classes is None or not len(self._training[1]):
            return None
        known: Tensor = torch.unique(self._training[1])
        return known

    def _known_loss(self, output: Tensor, targets: Tensor) -> float:
        with torch.inference_mode():
            if self._known is None:
                return float(self._task.loss(output, targets))
            places = torch.searchsorted(self._known, targets)
            return float(self._task.loss(output[:, self._known], places))

    def _guess(self) -> float:
        targets = self._held_out[1]
        if self._task.classes is None:
            if not len(targets):
                return 0.0
            mean = self._training[1].mean(dim=0).expand_as(targets)
            return float(self._task.loss(mean, targets))
        count = self._task.classes if self._known is None else len(self._known)
        return float(self._task.loss(torch.zeros(count, count), torch.arange(count)))

    def _try_model(self, data: Sequence[Examples]) -> None:
        """The model takes the inputs and, for a classification, returns one logit per class."""
        sample = next((x[:2] for x, y in data if len(y)), None)
        if sample is None or self._task.classes is None:
            return
        shape = tuple(self._output(self._genesis, sample).shape)
        if shape != (len(sample), self._task.classes):
            raise TaskError(
                f"for {len(sample)} inputs the model returns {shape}",
                f"it must return [{len(sample)}, {self._task.classes}]: one logit per class",
            )

    def velocity(self, momentum: Vector | None) -> Tensor | None:
        """The trained part of a momentum, float32 [trained], a copy; None where none is used."""
        if not self.descent.momentum:
            return None
        if momentum is None:
            return torch.zeros(self._model.trained)
        if momentum.shape != self._genesis.shape or momentum.dtype != np.float32:
            raise ValueError(f"momentum must be float32 {self._genesis.shape}, like the model")
        return torch.tensor(momentum[: self._model.trained])

    def _noise_seed(self, number: int) -> int:
        """For dropout and its like, by mini-batch: a resumed run draws what a whole one would."""
        digest = hashlib.blake2b(f"{self._seed}/{number}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big")

    def use_threads(self) -> None:
        """Let torch use as many threads here as this learner may."""
        # OpenMP keeps the number per thread, and who calls is not known when this is built.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


def _checked(task: Task, data: Examples) -> Examples:
    """The task's examples, or TaskError that says what is wrong with them."""
    inputs, targets = data
    if len(inputs) != len(targets):
        raise TaskError(f"{len(inputs)} inputs and {len(targets)} targets", "one target per input")
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        raise TaskError("an input is not a finite number", "fill or drop missing values")
    if task.classes is None:
        if not bool(torch.isfinite(targets).all()):
            raise TaskError("a target is not a finite number", "drop such examples")
        return inputs, targets.to(torch.float32)
    if targets.dtype != torch.int64 or targets.dim() != 1:
        raise TaskError(
            f"labels are {targets.dtype} {tuple(targets.shape)}", "give int64 of shape [N]"
        )
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < task.classes:
        raise TaskError(
            f"labels go from {int(targets.min())} to {int(targets.max())}",
            f"they must be 0 .. {task.classes - 1}: the task has {task.classes} classes",
        )
    return inputs, targets


def padded(velocity: Tensor | None, size: int) -> Vector | None:
    """Momentum in the model's own shape: zero where nothing is trained."""
    if velocity is None:
        return None
    padded = np.zeros(size, dtype=np.float32)
    padded[: velocity.numel()] = velocity.numpy()
    return padded
