"""The rows of a model: stretches of its vector whose numbers are of one size, and share a scale.

A row is one index of a tensor's leading dimension: all that one output of a layer is made of. A
tensor of one dimension or none is one row. Rows shorter than SHORTEST are joined with the next ones
of their tensor until they are not, so that scales cost little beside what they scale; what is left
at a tensor's end is a shorter row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORTEST = 64
"""Numbers (ours): a scale of four bytes is at most a fifth of a body of two bits a number."""
BLOCK = 32_768
"""Numbers worked on at once: what they need on the way stays in the cache (ours, measured)."""


class Piece(NamedTuple):
    """Whole rows of equal width that lie side by side, or a part of one long row."""

    start: int
    stop: int
    """In the vector."""
    row: int
    """The first one."""
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, (self.stop - self.start) // self.rows

    @property
    def scales(self) -> slice:
        """Of its rows among all."""
        return slice(self.row, self.row + self.rows)


@dataclass(frozen=True)
class Rows:
    """How a vector is cut. Runs of (rows, width) in vector order, each at least 1."""

    runs: tuple[tuple[int, int], ...]

    @cached_property
    def count(self) -> int:
        return sum(rows for rows, _ in self.runs)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Where each row begins in the vector."""
        widths = np.concatenate([np.full(rows, width, np.intp) for rows, width in self.runs])
        starts: NDArray[np.intp] = np.cumsum(widths) - widths
        return starts

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The whole vector in order, each piece of at most BLOCK numbers."""
        return tuple(self._pieces())

    def largest(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [count]: each row's largest magnitude in a float32 [P]."""
        above = np.maximum.reduceat(vector, self.starts)
        below = np.minimum.reduceat(vector, self.starts)
        largest: NDArray[np.float32] = np.maximum(above, -below)
        return largest

    def _pieces(self) -> Iterator[Piece]:
        start = row = 0
        for rows, width in self.runs:
            end, last = start + rows * width, row + rows
            while row < last:
                if width <= BLOCK:
                    taken = min(BLOCK // width, last - row)
                    yield Piece(start, start + taken * width, row, taken)
                    start += taken * width
                    row += taken
                else:
                    stop = min(start + BLOCK, end - (last - row - 1) * width)
                    yield Piece(start, stop, row, 1)
                    row += stop == end - (last - row - 1) * width
                    start = stop


def of_tensors(shapes: Iterable[tuple[int, ...]]) -> Rows:
    """The rows of a model's tensors."""
    return Rows(tuple(run for shape in shapes for run in _runs(shape)))


def of_length(size: int, width: int) -> Rows:
    """`size` numbers, every `width` of them a row."""
    return Rows(tuple(_cut(size, width)))


def _runs(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    size = int(np.prod(shape, dtype=np.int64))
    width = size if len(shape) < 2 else size // shape[0]
    return _cut(size, width * -(-SHORTEST // width))


def _cut(size: int, width: int) -> Iterator[tuple[int, int]]:
    rows, rest = divmod(size, width)
    if rows:
        yield rows, width
    if rest:
        yield 1, rest
