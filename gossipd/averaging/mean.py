"""The weighted mean of models."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossipd.tensors.layout import Vector

BLOCK = 131_072
"""Numbers averaged at once: a megabyte of float64 stays in the cache (ours, measured)."""


def mean(models: Sequence[Vector], weights: Sequence[float] | None = None) -> Vector:
    """The weighted mean of at least one model, each float32 [P]: a new float32 [P].

    Accumulated in float64 and rounded once, block by block, so that no float64 copy of a whole
    model is ever made. Equal models give the very same bits. Weights need not sum to 1; without
    any, all count the same.

    Raises ValueError for no model, models of different sizes, and weights as `shares` does.
    """
    if not models or len({model.shape for model in models}) > 1:
        raise ValueError("the mean of at least one model, all of one size")
    parts = shares(weights, len(models))
    size = models[0].size
    result = np.empty(size, np.float32)
    total, term = np.empty(min(BLOCK, size)), np.empty(min(BLOCK, size))
    for start in range(0, size, BLOCK):
        piece = slice(start, min(start + BLOCK, size))
        length = piece.stop - start
        # The first model starts the sum: 0.0 + -0.0 would lose a sign.
        _scaled(models[0][piece], parts[0], total[:length])
        for model, part in zip(models[1:], parts[1:], strict=True):
            total[:length] += _scaled(model[piece], part, term[:length])
        result[piece] = total[:length]
    return result


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """`weights` divided by their sum; equal shares without any.

    Raises ValueError unless there are `count` finite weights, none negative, with a sum above 0.
    """
    if weights is None:
        return [1.0 / count] * count
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} models")
    if any(not weight >= 0 for weight in weights):
        raise ValueError("a weight is negative or not a number")
    try:
        total = math.fsum(weights)
    except OverflowError:
        total = math.inf
    if not 0 < total < math.inf:
        raise ValueError(f"the weights sum to {total}")
    return [weight / total for weight in weights]


def _scaled(values: Vector, factor: float, out: NDArray[np.float64]) -> NDArray[np.float64]:
    np.copyto(out, values)
    out *= factor
    return out
