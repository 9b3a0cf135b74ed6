"""Rows cover a vector once, in order, and no piece of work is larger than a block."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.layout import Layout, TensorSpec
from gossipd.tensors.rows import BLOCK, SHORTEST, of_length
from support.properties import properties
from support.vectors import any_layout, normal


def widths(*shape: int) -> list[int]:
    layout = Layout((TensorSpec("t", shape, "weight"),))
    edges = [*layout.rows.starts.tolist(), layout.parameters]
    return [stop - start for start, stop in pairwise(edges)]


def test_a_row_is_an_index_of_the_leading_dimension() -> None:
    assert widths(3, 784) == [784] * 3
    assert widths(4, 16, 3, 3) == [144] * 4


def test_a_vector_and_a_number_are_one_row() -> None:
    assert widths(1000) == [1000]
    assert widths() == [1]
    assert widths(3) == [3]


def test_short_rows_are_joined_until_a_scale_costs_little() -> None:
    assert widths(10, 8) == [64, 16]
    assert widths(100, 1, 3, 3) == [72] * 12 + [36]
    assert widths(5, 63) == [126, 126, 63]
    assert widths(5, SHORTEST) == [SHORTEST] * 5


@properties
@given(any_layout())
def test_rows_never_reach_into_the_next_tensor(layout: Layout) -> None:
    starts = set(layout.rows.starts.tolist())
    assert {piece.start for piece in layout.slices} <= starts
    assert layout.rows.count == len(starts)


@properties
@given(st.integers(1, 5 * BLOCK), st.integers(1, 3 * BLOCK))
def test_pieces_are_the_whole_in_order(size: int, width: int) -> None:
    rows = of_length(size, width)
    edges = [piece.start for piece in rows.pieces] + [rows.pieces[-1].stop]
    assert edges[0] == 0
    assert edges[-1] == size
    assert [piece.stop for piece in rows.pieces] == edges[1:]
    for piece in rows.pieces:
        assert 1 <= piece.stop - piece.start <= BLOCK
        assert piece.shape[0] * piece.shape[1] == piece.stop - piece.start
        for offset in range(piece.rows):
            first = piece.start + offset * piece.shape[1]
            assert first // width == piece.row + offset
            assert (first + piece.shape[1] - 1) // width == piece.row + offset


@pytest.mark.parametrize("width", [1, 7, 100, BLOCK + 3])
def test_the_largest_magnitude_of_each_row_is_found(width: int) -> None:
    layout = Layout((TensorSpec("t", (2 * BLOCK,), "weight"),))
    vector = normal(layout, 1)
    expected = [np.abs(vector[i : i + width]).max() for i in range(0, vector.size, width)]
    assert of_length(vector.size, width).largest(vector).tolist() == expected
