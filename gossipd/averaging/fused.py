"""The weighted mean of tensors, and the moments of what went in and came out, in one pass.

What averaging large models takes is the time to read them. So every block of every model is read
once: while it is in the cache it is averaged, and its sum and its sum of squares are taken.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossipd.averaging.mean import mean
from gossipd.tensors.layout import Moments, Vector, moments

LARGE = 65_536
"""Tensors of at least as many numbers are averaged in float32. Ours: the others take next to no
time, and keep float64's exactness."""
ROW = 1024
"""Numbers summed in float32 before float64 takes over. Ours, measured: fewer take longer, more lose
digits; and OpenBLAS divides sums of more than 10,000 among threads, who would decide on bits."""
BUFFER = 10 * 65_536
"""Numbers in the cache at once, of all tensors together. Ours, measured: with a quarter as
many, ten models take a seventh longer, since numpy is called more often."""

LEAST_SPREAD = 0.25
"""The least share of the mean square that is variance, for a difference of the two (ours)."""
TINY = 1e-30
"""The least mean square of which no square that matters underflows float32 (ours)."""

_Sums = NDArray[np.float64]


class Spreads(NamedTuple):
    """Moments of the tensors that were averaged, and of their mean."""

    inputs: list[Moments]
    mean: Moments


def mean_and_moments(tensors: Sequence[Vector], weights: Sequence[float], out: Vector) -> Spreads:
    """Write the mean of `tensors`, float32 [n] each, by `weights` that sum to 1, into `out` [n].

    Fewer than LARGE numbers: as `mean` and `moments` do it. More of them in float32: of k tensors
    the error of a number x is at most (k + 1) * 2^-24 * sum_i w_i |x_i|, and a variance is within
    1e-5 of the exact one, relatively (as tested within 1e-6). Equal tensors give the very same
    bits. Where float32 and one pass are not good enough - a mean that drowns the spread, squares
    out of range - mean and moments are taken in float64.

    Deterministic on one machine; the BLAS of another CPU may round another way.
    """
    if out.size < LARGE or len(tensors) < 2:
        out[:] = mean(tensors, weights)
        return spreads_of(tensors, out)
    with np.errstate(over="ignore", invalid="ignore"):
        sums, squares = _one_pass(tensors, weights, out)
        means, mean_squares = sums / out.size, squares / out.size
        variances = mean_squares - means * means
        sound = np.isfinite(mean_squares) & (mean_squares >= TINY)
        sound &= variances >= LEAST_SPREAD * mean_squares
    equal = len(set(squares[:-1].tolist())) == 1 and all(
        np.array_equal(tensors[0], other) for other in tensors[1:]
    )
    if equal or not np.isfinite(mean_squares[-1]):
        out[:] = mean(tensors, weights)
        return spreads_of(tensors, out)
    found = [
        Moments(float(centre), float(variance)) if good else moments(tensor)
        for tensor, centre, variance, good in zip(
            [*tensors, out], means, variances, sound, strict=True
        )
    ]
    return Spreads(found[:-1], found[-1])


def spreads_of(tensors: Sequence[Vector], averaged: Vector) -> Spreads:
    """The moments themselves, each in two passes in float64."""
    return Spreads([moments(tensor) for tensor in tensors], moments(averaged))


def _one_pass(
    tensors: Sequence[Vector], weights: Sequence[float], out: Vector
) -> tuple[_Sums, _Sums]:
    """Fill `out`; sums and sums of squares [k + 1] of the k tensors and, last, of `out`."""
    count, rows = len(tensors), out.size // ROW
    step = max(BUFFER // (count * ROW), 1)
    parts, ones = np.array(weights, np.float32), np.ones(ROW, np.float32)
    buffer = np.empty(count * step * ROW, np.float32)
    sums = np.empty((count, rows), np.float32)
    squares = np.empty((count + 1, rows), np.float32)
    for row in range(0, rows, step):
        last = min(row + step, rows)
        piece = slice(row * ROW, last * ROW)
        together = buffer[: count * (piece.stop - piece.start)]
        np.concatenate([tensor[piece] for tensor in tensors], out=together)
        np.dot(parts, together.reshape(count, -1), out=out[piece])
        blocks, mixed = together.reshape(count, -1, ROW), out[piece].reshape(-1, ROW)
        np.vecdot(blocks, ones, out=sums[:, row:last])
        np.vecdot(blocks, blocks, out=squares[:-1, row:last])
        np.vecdot(mixed, mixed, out=squares[-1, row:last])

    rest = [tensor[rows * ROW :] for tensor in tensors]
    out[rows * ROW :] = mean(rest, weights)
    wide = np.array([*rest, out[rows * ROW :]], np.float64)
    total = sums.sum(axis=1, dtype=np.float64) + wide[:-1].sum(axis=1)
    return (
        np.append(total, np.dot(weights, total)),
        squares.sum(axis=1, dtype=np.float64) + np.square(wide).sum(axis=1),
    )
