"""A module's parameters and buffers as one flat vector, without copies.

Every parameter is made a view into one float32 tensor and every gradient a view into a second one,
so reading or setting a model is one memory copy and an optimiser step is a few operations on
whole vectors. `torch.optim` is not used: its first use imports torch._dynamo, which costs every
forked daemon a second of CPU and 100 MB (measured: ten daemons were up in .15 s with 38 MB each,
against 10.1 s and 139 MB).

In the vector come first the trained parameters, in the module's order, then what is not trained:
frozen parameters and floating-point buffers (the running statistics of batch normalisation).
Integer buffers only count batches; they stay at home and start anew with each `load`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gossipd.learning.errors import TaskError
from gossipd.tensors.layout import Kind, Layout, TensorSpec

Vector = NDArray[np.float32]

EVALUATION_BATCH = 1024
"""Examples that pass the model at once when it is judged: bounds memory."""


class FlatModule:
    """`module` on top of one vector. TaskError when it holds what cannot travel as float32."""

    def __init__(self, module: nn.Module, classes: int | None) -> None:
        self.module = module
        trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        frozen = [(n, p) for n, p in module.named_parameters() if not p.requires_grad]
        kept = module.state_dict().keys()
        buffers = [(n, b) for n, b in module.named_buffers() if n in kept]
        carried = [(n, b) for n, b in buffers if b.is_floating_point()]
        self._counters = [(b, b.clone()) for _, b in buffers if not b.is_floating_point()]
        rest = [*frozen, *carried]
        _check(trained, rest)

        self.layout = Layout(
            tensors=tuple(
                [TensorSpec(n, tuple(t.shape), _kind(t)) for n, t in trained]
                + [TensorSpec(n, tuple(t.shape), "buffer") for n, t in rest]
            ),
            output=_output_layer(module, classes),
        )
        self.trained = sum(p.numel() for _, p in trained)
        """The first so many numbers of the vector are moved by training."""
        self.flat = torch.cat([t.detach().reshape(-1) for _, t in [*trained, *rest]])
        self.gradient = torch.zeros(self.trained)
        self._numpy: Vector = self.flat.numpy()
        for (_, tensor), piece in zip([*trained, *rest], self.layout.slices, strict=True):
            tensor.data = self.flat[piece].view(tensor.shape)
            if tensor.requires_grad:
                tensor.grad = self.gradient[piece].view(tensor.shape)
        self._carried = [(n, self.flat[self._slice(n)].view(b.shape)) for n, b in carried]

    def load(self, vector: Vector) -> None:
        """Set the module to float32 [P] `vector`, which is copied, and forget any gradient."""
        if vector.shape != self._numpy.shape or vector.dtype != np.float32:
            raise ValueError(
                f"a model of this task is float32 {self._numpy.shape}, "
                f"not {vector.dtype} {vector.shape}"
            )
        np.copyto(self._numpy, vector)
        self.gradient.zero_()
        for counter, start in self._counters:
            counter.copy_(start)

    def answer(self, vector: Vector, inputs: Tensor) -> Tensor:
        """What the model `vector` makes of inputs [N, ...]: [N, ...]. Nothing is trained."""
        self.load(vector)
        module = self.module.eval()
        with torch.inference_mode():
            return torch.cat([module(part) for part in torch.split(inputs, EVALUATION_BATCH)])

    def vector(self) -> Vector:
        """A copy of what the module holds now, float32 [P]."""
        for name, view in self._carried:
            buffer = self.module.get_buffer(name)
            if buffer.data_ptr() != view.data_ptr():
                # A forward that assigns its buffer instead of writing into it.
                view.copy_(buffer)
                buffer.data = view
        return self._numpy.copy()

    def descend(self, velocity: Tensor | None, lr: float, momentum: float, decay: float) -> None:
        """One step of SGD by the accumulated gradient, which is zero afterwards.

        As torch.optim.SGD without dampening: g += decay * w; v = momentum * v + g; w -= lr * v.
        `velocity`, float32 [trained], is v and is updated; None is plain SGD.
        """
        weights, step = self.flat[: self.trained], self.gradient
        if decay:
            step.add_(weights, alpha=decay)
        if velocity is not None:
            step = velocity.mul_(momentum).add_(step)
        weights.add_(step, alpha=-lr)
        self.gradient.zero_()

    def _slice(self, name: str) -> slice:
        names = [spec.name for spec in self.layout.tensors]
        return self.layout.slices[names.index(name)]


def _check(trained: Sequence[tuple[str, Tensor]], rest: Sequence[tuple[str, Tensor]]) -> None:
    if not trained:
        raise TaskError("the model has no parameter to train", "set requires_grad on some")
    for name, tensor in [*trained, *rest]:
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise TaskError(
                f"{name} is {tensor.dtype} on {tensor.device}",
                "model() must return a float32 model on the CPU",
            )


def _kind(parameter: Tensor) -> Kind:
    """Whose spread averaging corrects: matrices and kernels; not biases, scales, single numbers."""
    return "weight" if parameter.dim() >= 2 and parameter.numel() > 1 else "bias"


def _output_layer(module: nn.Module, classes: int | None) -> tuple[str, ...]:
    """Names of the last linear layer's tensors when it has one row per class, else nothing."""
    linear = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Linear)]
    if classes is None or not linear or linear[-1][1].out_features != classes:
        return ()
    prefix = linear[-1][0]
    names = (f"{prefix}.{name}" if prefix else name for name in ("weight", "bias"))
    own = {name for name, _ in module.named_parameters()}
    return tuple(name for name in names if name in own)


def fan_in(shape: Sequence[int]) -> int:
    """Inputs of one unit of a linear [out, in] or convolutional [out, in, ...] weight."""
    return math.prod(shape[1:])
