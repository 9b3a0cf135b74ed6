"""Only the largest numbers, by where they are: for links that remember (`feedback`)."""

import numpy as np

from gossipd.tensors.codec import Body, Sizes
from gossipd.tensors.layout import Layout, Vector
from gossipd.tensors.packing import Packed, Positions, SortedPositions
from gossipd.tensors.quantised import SCALE_BYTES, quantise, restore
from gossipd.tensors.rows import Rows, of_length

LEVELS = 127
VALUES_PER_SCALE = 256
"""Ours, a guess: neighbours among the kept numbers are of about one size."""
SAMPLE = 65_536
"""Numbers looked at to guess how large the kept ones are."""


class TopK:
    """Of each `one_in` numbers one, ceil(P / one_in) in all: the largest magnitudes, the others 0.

        body = positions (`SortedPositions`), then scales and multiples of the kept numbers in their
               order, eight bits each, rounded to the nearest, a scale for each 256 of them

    Error bound of each number x: if kept, max |kept numbers that share its scale| / 127, and it
    does not become 0; if not, |x|, at most the smallest kept one. In norm, a contraction but for
    that rounding: |error|^2 <= (1 - 1 / one_in) |delta|^2 + |rounding|^2. Biased: what is never
    among the largest never arrives, unless `feedback` remembers it. Of equals the first are kept.
    """

    def __init__(self, one_in: int) -> None:
        self._one_in = one_in

    def sizes(self, layout: Layout) -> Sizes:
        kept, rows, positions = self._parts(layout)
        size = positions.size + SCALE_BYTES * rows.count + kept
        return Sizes(size, size)

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        kept, rows, positions = self._parts(layout)
        where = largest(delta, kept)
        values = delta[where]
        scales, codes = quantise(values, rows, LEVELS, dither=None)
        # A kept number stays one, so that decoding and encoding again keeps the same.
        codes += np.where(codes == 0, np.sign(values), 0).astype(np.int8)
        return b"".join((positions.pack(where), scales.astype("<f4", copy=False).data, codes.data))

    def decode(self, body: Body, layout: Layout) -> Vector:
        kept, rows, positions = self._parts(layout)
        whole = memoryview(body)
        where = positions.unpack(whole[: positions.size])
        cut = positions.size + SCALE_BYTES * rows.count
        scales = np.frombuffer(whole[positions.size : cut], "<f4").astype(np.float32)
        delta = np.zeros(layout.parameters, np.float32)
        delta[where] = restore(scales, Packed(whole[cut:], 8, kept), rows, LEVELS)
        return delta

    def _parts(self, layout: Layout) -> tuple[int, Rows, SortedPositions]:
        kept = -(-layout.parameters // self._one_in)
        rows = of_length(kept, VALUES_PER_SCALE)
        return kept, rows, SortedPositions(kept, layout.parameters)


def largest(vector: Vector, count: int) -> Positions:
    """int64 [count], rising: where the `count` numbers of largest magnitude are; of equals the
    first."""
    magnitudes = np.abs(vector)
    candidates = _candidates(magnitudes, count)
    sizes = magnitudes[candidates]
    smallest = np.partition(sizes, sizes.size - count)[sizes.size - count]
    kept = sizes > smallest
    equals = np.flatnonzero(sizes == smallest)
    kept[equals[: count - np.count_nonzero(kept)]] = True
    chosen: Positions = candidates[kept]
    return chosen


def _candidates(magnitudes: Vector, count: int) -> Positions:
    """Some more positions than `count`, the largest numbers' among them: to sort all is slow."""
    stride = magnitudes.size // SAMPLE
    if stride > 1:
        sample = magnitudes[::stride]
        # Half as many again: that the sample shows too few of them is rare, and costs but time.
        rank = sample.size * count * 3 // (2 * magnitudes.size) + 64
        if rank < sample.size:
            floor = np.partition(sample, sample.size - rank)[sample.size - rank]
            found = np.flatnonzero(magnitudes >= floor)
            if found.size >= count:
                return found
    return np.arange(magnitudes.size)
