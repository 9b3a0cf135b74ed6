"""One model as one flat float32 vector: which tensors, in which order, and what each of them is.

Everything that travels, is stored or averaged is such a vector; only learning knows modules.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gossipd.tensors.moments import Moments as Moments
from gossipd.tensors.moments import moments as moments
from gossipd.tensors.rows import Rows, of_tensors

Vector = NDArray[np.float32]
"""float32 [P], contiguous."""
Kind = Literal["weight", "bias", "buffer"]

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a model; ValueError unless every dimension is at least 1."""

    name: str
    shape: tuple[int, ...]
    """() for a single number."""
    kind: Kind
    """"weight": averaging corrects its variance. It does so neither for a "bias" (norm scales and
    other single numbers per channel too) nor for a "buffer" (running statistics)."""

    def __post_init__(self) -> None:
        if any(dimension < 1 for dimension in self.shape):
            raise ValueError(f"tensor {self.name!r} of shape {self.shape} is empty")

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The tensors of a model, in vector order; ValueError when they make no sense together."""

    tensors: tuple[TensorSpec, ...]
    output: tuple[str, ...] = ()
    """Names of the tensors of a classifier's output layer: their leading dimension is the classes.
    Empty for a regression."""

    def __post_init__(self) -> None:
        specs = {spec.name: spec for spec in self.tensors}
        if not specs:
            raise ValueError("a layout has at least one tensor")
        if len(specs) < len(self.tensors):
            raise ValueError("two tensors of one name")
        if missing := set(self.output) - specs.keys():
            raise ValueError(f"no tensors of the output layer's names {sorted(missing)}")
        rows = {specs[name].shape[:1] for name in self.output}
        if len(rows) > 1 or () in rows:
            raise ValueError(f"the output layer's tensors have no common number of rows: {rows}")

    @cached_property
    def parameters(self) -> int:
        """P: how many numbers a model has."""
        return sum(spec.size for spec in self.tensors)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each tensor lies in the vector."""
        ends = np.cumsum([spec.size for spec in self.tensors]).tolist()
        return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))

    @cached_property
    def rows(self) -> Rows:
        """What codecs give a scale of its own."""
        return of_tensors(spec.shape for spec in self.tensors)

    @cached_property
    def classes(self) -> int | None:
        """Rows of the output layer; None without one."""
        specs = {spec.name: spec for spec in self.tensors}
        return specs[self.output[0]].shape[0] if self.output else None

    @cached_property
    def hash(self) -> bytes:
        """BLAKE2b-256 of names, shapes, kinds, order and output layer. Equal: vectors fit."""
        fields = [[[spec.name, spec.shape, spec.kind] for spec in self.tensors], self.output]
        canonical = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=HASH_BYTES).digest()

    def check(self, vector: Vector) -> None:
        """ValueError unless `vector` is contiguous float32 [P]."""
        if vector.dtype != np.float32 or vector.shape != (self.parameters,):
            raise ValueError(
                f"a vector of this layout is float32 ({self.parameters},), "
                f"not {vector.dtype} {vector.shape}"
            )
        if not vector.flags.c_contiguous:
            raise ValueError("a vector is contiguous")

    def views(self, vector: Vector) -> list[Vector]:
        """The tensors of a vector in layout order, shaped, sharing its memory."""
        self.check(vector)
        return [
            vector[piece].reshape(spec.shape)
            for piece, spec in zip(self.slices, self.tensors, strict=True)
        ]

    def moments(self, vector: Vector) -> tuple[Moments, ...]:
        """Mean and population variance of each tensor, in layout order."""
        self.check(vector)
        return tuple(moments(vector[piece]) for piece in self.slices)

    def variances(self, vector: Vector) -> tuple[float, ...]:
        """Population variance of each tensor, in layout order, in float64."""
        return tuple(tensor.variance for tensor in self.moments(vector))


def content_hash(vector: Vector) -> bytes:
    """BLAKE2b-256 of the vector's float32 little-endian bytes: the name of a model."""
    little_endian = np.ascontiguousarray(vector, dtype="<f4")
    return hashlib.blake2b(little_endian.data, digest_size=HASH_BYTES).digest()
