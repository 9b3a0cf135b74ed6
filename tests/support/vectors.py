"""Layouts and flat vectors for the tests of tensors and averaging."""

from typing import get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gossipd.tensors.layout import Kind, Layout, TensorSpec, Vector

PERCEPTRON = Layout(
    (
        TensorSpec("hidden.weight", (12, 9), "weight"),
        TensorSpec("hidden.bias", (12,), "bias"),
        TensorSpec("norm.running_mean", (12,), "buffer"),
        TensorSpec("out.weight", (4, 12), "weight"),
        TensorSpec("out.bias", (4,), "bias"),
    ),
    output=("out.weight", "out.bias"),
)
"""A small classifier of four classes."""


def flat(size: int) -> Layout:
    """One weight tensor of `size` numbers."""
    return Layout((TensorSpec("weight", (size,), "weight"),))


def normal(layout: Layout, seed: int, scale: float = 1.0, centre: float = 0.0) -> Vector:
    """A vector of normally distributed numbers that depends on the seed alone."""
    generator = np.random.default_rng(seed)
    return (centre + scale * generator.standard_normal(layout.parameters)).astype(np.float32)


def same_bits(a: Vector, b: Vector) -> bool:
    """Equal to the last bit: 0.0 is not -0.0 here."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def finite(
    size: int, largest: float = float(np.finfo(np.float32).max)
) -> st.SearchStrategy[Vector]:
    """Finite float32 vectors of any scale up to `largest`, subnormal numbers and -0.0 included."""
    bound = float(np.float32(largest))
    elements = st.floats(-bound, bound, width=32)
    return hnp.arrays(np.float32, size, elements=elements)


def any_layout() -> st.SearchStrategy[Layout]:
    """Layouts of one to five tensors with up to three dimensions."""
    shapes = st.lists(st.integers(1, 5), max_size=3).map(tuple)
    kinds = st.sampled_from(get_args(Kind))
    tensors = st.lists(st.tuples(shapes, kinds), min_size=1, max_size=5)
    return tensors.map(
        lambda specs: Layout(
            tuple(TensorSpec(f"tensor{i}", shape, kind) for i, (shape, kind) in enumerate(specs))
        )
    )
