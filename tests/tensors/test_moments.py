"""Mean and variance hold at any scale, for constants, and across the blocks they are made of."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from gossipd.tensors.layout import Vector
from gossipd.tensors.moments import BLOCK, moments
from support.properties import properties
from support.vectors import finite, flat, normal


def exact(values: Vector) -> tuple[float, float]:
    """Mean and variance without any rounding on the way."""
    numbers = [Fraction(float(value)) for value in values]
    mean = sum(numbers) / len(numbers)
    return float(mean), float(sum((x - mean) ** 2 for x in numbers) / len(numbers))


@properties
@given(finite(7))
def test_they_are_what_exact_arithmetic_says(values: Vector) -> None:
    mean, variance = exact(values)
    largest = float(np.abs(values.astype(np.float64)).max())
    assert moments(values).mean == pytest.approx(mean, abs=1e-15 * largest, rel=1e-12)
    assert moments(values).variance == pytest.approx(variance, abs=1e-28 * largest**2, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e8, 1e30])
def test_scale_does_not_matter(scale: float) -> None:
    values = normal(flat(1000), 3, scale)
    assert moments(values) == pytest.approx(exact(values), rel=1e-12)


def test_a_large_mean_does_not_drown_a_small_spread() -> None:
    values = (np.float32(2**23) + np.arange(4, dtype=np.float32)).repeat(500)
    assert moments(values) == (2**23 + 1.5, 1.25)


@pytest.mark.parametrize("size", [1, 2, BLOCK, BLOCK + 1, 3 * BLOCK - 1])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-8, 3e38])
def test_a_constant_has_exactly_no_variance(size: int, value: float) -> None:
    constant = np.full(size, value, np.float32)
    assert moments(constant) == (float(np.float32(value)), 0.0)


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17])
def test_blocks_make_no_difference(size: int) -> None:
    values = normal(flat(size), 5, scale=0.02, centre=3.0)
    values[: size // 2] -= np.float32(5.0)  # blocks with different means
    wide = values.astype(np.float64)
    assert moments(values) == pytest.approx((wide.mean(), wide.var()), rel=1e-12)
