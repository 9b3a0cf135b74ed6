"""Many nodes' models of one architecture trained at once, by one thread.

A simulation has the models of many nodes in one process, and small ones take less time to multiply
than torch takes to be called. `torch.func.vmap` makes one call of many. What comes out is what the
learners compute one by one, but for the order of sums: within 1e-5.

Ours, measured on one core: CPU milliseconds per model for 18 mini-batches of 20 examples, a
perceptron of these layers, by how many are trained at once:

                 parameters   alone      5     10     25     50    100
    64-32-10          2,410     3.1    3.4    1.7    0.9    0.6    0.4
    64-200-10        15,010     3.6    3.7    2.2    1.3    1.5    1.3
    784-30-10        23,860     4.2    4.4    2.8    1.9    1.8    2.0
    784-100-10       79,510     6.7    6.7    5.0    4.6    4.7    4.0
    784-200-10      159,010     8.9    9.7   10.6   11.4    7.1   11.5

A large model alone stays in the processor's cache for all its mini-batches; many do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from gossipd.learning.learner import TorchLearner, padded
from gossipd.learning.parameters import FlatModule, Vector
from gossipd.learning.task import Task
from gossipd.runtime.ports import Training

FEWEST = 8
"""Models from which on it pays to train them together (measured above)."""
MOST_PARAMETERS = 100_000
"""Of one model, up to which it pays (measured above)."""
AT_ONCE = 50
"""Bounds memory: so many models, their gradients and what lies between, some 10 kB per unit."""


@dataclass(frozen=True, slots=True)
class Job:
    """The arguments of one `TorchLearner.train`."""

    learner: TorchLearner
    vector: Vector
    momentum: Vector | None
    steps: int
    seed: int


class Ensemble:
    """The models of one task. Stateless as the learners are: equal arguments, equal bits."""

    def __init__(self, task: Task) -> None:
        self._task = task
        with torch.random.fork_rng(devices=[]):
            self._flat = FlatModule(task.model(), task.classes)
        self._module = self._flat.module.train()
        self._shapes = [
            (name, piece, parameter.shape)
            for (name, parameter), piece in zip(
                ((n, p) for n, p in self._module.named_parameters() if p.requires_grad),
                self._flat.layout.slices,
                strict=False,
            )
        ]
        self._gradients = vmap(grad_and_value(self._loss))

    @property
    def pays(self) -> bool:
        """Whether models of this task are worth training together, and can be: what draws chance
        or keeps statistics during training is left to the learners."""
        return self._is_plain() and self._flat.layout.parameters <= MOST_PARAMETERS

    def _is_plain(self) -> bool:
        trained = self._flat.trained == self._flat.layout.parameters
        buffers = any(True for _ in self._module.buffers())
        chance = any(isinstance(m, nn.modules.dropout._DropoutNd) for m in self._module.modules())
        return trained and not buffers and not chance

    def train(self, jobs: Sequence[Job]) -> list[Training]:
        """What each job's learner would return, in the jobs' order.

        Trained together are those with equal steps, mini-batches and optimisers; where fewer than
        FEWEST are alike, or where it does not pay, each is trained by its own learner.
        """
        alike: dict[object, list[int]] = {}
        for number, job in enumerate(jobs):
            alike.setdefault((job.learner.descent, job.steps), []).append(number)
        done: dict[int, Training] = {}
        for numbers in alike.values():
            for start in range(0, len(numbers), AT_ONCE):
                chosen = numbers[start : start + AT_ONCE]
                done.update(zip(chosen, self._train([jobs[n] for n in chosen]), strict=True))
        return [done[number] for number in range(len(jobs))]

    def _train(self, jobs: Sequence[Job]) -> list[Training]:
        first = jobs[0]
        empty = not first.learner.descent.batch_size or not first.steps
        if not self.pays or len(jobs) < FEWEST or empty:
            return [j.learner.train(j.vector, j.momentum, j.steps, j.seed) for j in jobs]
        return self.together(jobs)

    def together(self, jobs: Sequence[Job]) -> list[Training]:
        """Train jobs that are alike as one, whether or not it pays."""
        first = jobs[0]
        first.learner.use_threads()
        how = first.learner.descent
        weights = torch.from_numpy(np.stack([job.vector for job in jobs]))
        carried = [job.learner.velocity(job.momentum) for job in jobs]
        velocity = torch.stack([v for v in carried if v is not None]) if how.momentum else None
        models, moving = self._views(weights), velocity is not None and self._views(velocity)
        total = torch.zeros(len(jobs))
        streams = [job.learner.mini_batches(job.seed, job.steps) for job in jobs]
        for batches in zip(*streams, strict=True):
            inputs, targets = (torch.stack(list(part)) for part in zip(*batches, strict=True))
            gradients, losses = self._gradients(models, inputs, targets)
            for name, step in gradients.items():
                # As `FlatModule.descend`.
                if how.weight_decay:
                    step.add_(models[name], alpha=how.weight_decay)
                if moving:
                    step = moving[name].mul_(how.momentum).add_(step)
                models[name].add_(step, alpha=-how.lr)
            total += losses
        vectors = weights.numpy()
        return [
            Training(
                vector.copy(),
                None if velocity is None else padded(velocity[number], vector.size),
                job.steps,
                float(total[number]) / job.steps,
            )
            for number, (job, vector) in enumerate(zip(jobs, vectors, strict=True))
        ]

    def _views(self, rows: Tensor) -> dict[str, Tensor]:
        """[N, P] as parameters: views of shape [N, ...]."""
        return {name: rows[:, piece].view(len(rows), *shape) for name, piece, shape in self._shapes}

    def _call(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        output: Tensor = functional_call(self._module, parameters, (inputs,))
        return output

    def _loss(self, parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return self._task.loss(self._call(parameters, inputs), targets)
