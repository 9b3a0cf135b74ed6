"""Few bits a number: a scale for each row, and stochastic rounding to its multiples.

Rounding is random so that the average of many updates keeps what each of them had to round away:
a number between two multiples goes up as often as it is nearer to the upper one. Rounding to the
nearest instead is biased, and small numbers that all nodes agree on would never arrive.
"""

import numpy as np
from numpy.random import SFC64, SeedSequence
from numpy.typing import NDArray

from gossipd.tensors.codec import Body, CodecError, Sizes
from gossipd.tensors.layout import Layout, Vector
from gossipd.tensors.packing import Packed, pack, packed_size
from gossipd.tensors.rows import Rows

FRACTION_BITS = 16
"""Of the random numbers (ours): a quarter of a drawn word each."""
LEAST_SCALE = 2.0**-100
"""Smaller scales are 0: below, float32 runs out of numbers for what is computed with them."""
SCALE_BYTES = 4


class Quantised:
    """Each number as a multiple of its row's scale, -levels .. levels times.

        scale = max |x| / levels, rounded down to so few bits that every multiple of it is exact
        body  = the scales, float32, then the multiples, packed; all of it little-endian

    Error bound of each number: less than one step, max |x of its row| / levels; a row whose scale
    would be below 2**-100 becomes 0. Unbiased to 2**-16 of a step over the draws, and the row's
    largest numbers to 2**-16 of themselves. What is decoded encodes to the same bytes again.
    """

    def __init__(self, levels: int, bits: int) -> None:
        self._levels, self._bits = levels, bits

    def sizes(self, layout: Layout) -> Sizes:
        size = SCALE_BYTES * layout.rows.count + packed_size(layout.parameters, self._bits)
        return Sizes(size, size)

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        dither = Dither(delta, seed)
        scales, codes = quantise(delta, layout.rows, self._levels, dither)
        packed = codes.view(np.uint8)
        packed &= 2**self._bits - 1
        return b"".join((scales.astype("<f4", copy=False).data, pack(packed, self._bits).data))

    def decode(self, body: Body, layout: Layout) -> Vector:
        cut = SCALE_BYTES * layout.rows.count
        whole = memoryview(body)
        scales = np.frombuffer(whole[:cut], "<f4").astype(np.float32)
        codes = Packed(whole[cut:], self._bits, layout.parameters)
        return restore(scales, codes, layout.rows, self._levels)


class Dither:
    """Fractions to round by, each uniform in 0 .. 2**16 - 1, that depend on vector and seed alone.

    The vector is among what they depend on so that two nodes never round alike by having forgotten
    to draw apart: their errors would not average out.
    """

    def __init__(self, vector: Vector, seed: int) -> None:
        words = np.ascontiguousarray(vector, "<f4").view(np.uint32)
        self._generator = SFC64(SeedSequence([seed, int(words.sum(dtype=np.uint64))]))

    def take(self, count: int) -> NDArray[np.uint16]:
        words: NDArray[np.uint64] = self._generator.random_raw(-(-count // 4))
        return words.astype("<u8", copy=False).view("<u2")[:count]


def quantise(
    values: Vector, rows: Rows, levels: int, dither: Dither | None
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Scales, float32 [rows.count], and multiples, int8 [P], of finite values, float32 [P].

    `levels` is 1 to 127. Without `dither` to the nearest multiple.
    """
    scales = _scales(rows.largest(values), levels)
    # A step is 2**16 of these; a power of two, so that multiples of a scale stay exact.
    units = np.where(scales > 0, scales, 1) * np.float32(2.0**-FRACTION_BITS)
    codes = np.empty(values.size, np.int8)
    fixed = np.empty(max(piece.stop - piece.start for piece in rows.pieces), np.int32)
    for piece in rows.pieces:
        here = slice(piece.start, piece.stop)
        points = fixed[: piece.stop - piece.start]
        exact = values[here].reshape(piece.shape)
        each = units[piece.scales, np.newaxis]
        np.divide(exact, each, out=points.reshape(piece.shape), casting="unsafe")
        np.clip(points, -levels << FRACTION_BITS, levels << FRACTION_BITS, out=points)
        points += 2 ** (FRACTION_BITS - 1) if dither is None else dither.take(points.size)
        points >>= FRACTION_BITS
        np.copyto(codes[here], points, casting="unsafe")
    return scales, codes


def restore(scales: NDArray[np.float32], codes: Packed, rows: Rows, levels: int) -> Vector:
    """float32 [P] of what `quantise` returned; infinite where hostile scales overflow.

    CodecError("malformed") for scales and multiples that it does not return.
    """
    _check_scales(scales, levels)
    values = np.empty(rows.pieces[-1].stop, np.float32)
    with np.errstate(over="ignore"):
        for piece in rows.pieces:
            multiples = codes.read(piece.start, piece.stop)
            if multiples.min() < -levels:
                raise CodecError("malformed", "a multiple out of range")
            np.multiply(
                multiples.reshape(piece.shape),
                scales[piece.scales, np.newaxis],
                out=values[piece.start : piece.stop].reshape(piece.shape),
            )
    return values


def _scales(largest: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    quotients = largest.astype(np.float64) / levels
    quotients[quotients < LEAST_SCALE] = 0.0
    # float32 keeps 23 bits of a mantissa's 52 (of 64-bit numbers); a multiple needs the spare ones.
    dropped = 29 + _spare_bits(levels)
    words = quotients.view(np.uint64)
    words &= np.uint64(2**64 - 2**dropped)
    return quotients.astype(np.float32)


def _check_scales(scales: NDArray[np.float32], levels: int) -> None:
    if not np.isfinite(scales).all():
        raise CodecError("not-finite", "a scale")
    used = scales.view(np.uint32) & np.uint32(2 ** _spare_bits(levels) - 1)
    if used.any() or ((scales < LEAST_SCALE) & (scales.view(np.uint32) != 0)).any():
        raise CodecError("malformed", "a scale that is not rounded")


def _spare_bits(levels: int) -> int:
    """Lowest bits of a scale's mantissa that are 0, so that float32 holds all its multiples."""
    return (levels - 1).bit_length()
