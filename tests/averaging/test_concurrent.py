"""When islands meet: who counts how much, which rows come from whom, and always the same bits."""

from itertools import permutations
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.averaging.concurrent import Side, merge_concurrent, overlap
from gossipd.averaging.mean import mean
from gossipd.tensors.layout import Layout, TensorSpec, Vector
from support import reference_averaging as reference
from support.properties import properties
from support.vectors import PERCEPTRON, flat, normal, same_bits

HIDDEN, HIDDEN_BIAS, BUFFER, OUT, OUT_BIAS = PERCEPTRON.slices
ONE, TWO, THREE = (normal(PERCEPTRON, seed) for seed in (1, 2, 3))


def plain(*sides: Side) -> Vector:
    return merge_concurrent(PERCEPTRON, sides, "mean")


def rows(vector: Vector) -> list[list[float]]:
    """The output layer, weights and bias, by class."""
    weight, bias = vector[OUT].reshape(4, -1), vector[OUT_BIAS].reshape(4, 1)
    return [row.tolist() for row in np.hstack([weight, bias])]


# --- overlap -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((5, 5, 0, 0), (0, 0, 1, 9), 0.0),
        ((5, 5, 0, 0), (500, 500, 0, 0), 1.0),
        ((5, 5, 0), (0, 5, 5), 0.5),
        ((1, 0), (1, 3), 0.25),
        (None, (1, 2), 1.0),
        ((1, 2), None, 1.0),
        (None, None, 1.0),
        ((0, 0), (1, 2), 1.0),
        ((), (), 1.0),
        ((1, 2), (1, 2, 0), 1.0),
    ],
)
def test_overlap(
    first: tuple[int, ...] | None, second: tuple[int, ...] | None, expected: float
) -> None:
    assert overlap(first, second) == expected
    assert overlap(second, first) == expected


@properties
@given(st.lists(st.integers(0, 2**53), min_size=3, max_size=3), st.integers(1, 1000))
def test_a_profile_overlaps_wholly_with_itself_at_any_scale(counts: list[int], scale: int) -> None:
    assert overlap(counts, counts) == pytest.approx(1.0)
    assert overlap(counts, [scale * count for count in counts]) == pytest.approx(1.0)
    assert overlap(counts, counts) <= 1.0


# --- whose weight --------------------------------------------------------------------------------


def test_islands_of_the_same_labels_count_by_their_data() -> None:
    merged = plain(Side(ONE, 4000, (1000,) * 4), Side(TWO, 100, (25, 25, 25, 25)))
    assert same_bits(merged, mean([ONE, TWO], [4000, 100]))


def test_without_labels_data_decides() -> None:
    merged = plain(Side(ONE, 30, None), Side(TWO, 10, (9, 1, 0, 0)))
    assert same_bits(merged, mean([ONE, TWO], [30, 10]))


def test_islands_without_a_label_in_common_count_the_same() -> None:
    merged = plain(Side(ONE, 4103, (1, 1, 0, 0)), Side(TWO, 779, (0, 0, 5, 1)))
    assert same_bits(merged[HIDDEN], mean([ONE, TWO])[HIDDEN])
    assert same_bits(merged[BUFFER], mean([ONE, TWO])[BUFFER])


def test_in_between_overlap_decides() -> None:
    merged = plain(Side(ONE, 300, (1, 1, 0, 0)), Side(TWO, 100, (0, 1, 1, 0)))
    assert same_bits(merged[HIDDEN], mean([ONE, TWO], [0.625, 0.375])[HIDDEN])


def test_nobody_with_examples_makes_equal_halves() -> None:
    merged = plain(Side(ONE, 0, None), Side(TWO, 0, None))
    assert same_bits(merged, mean([ONE, TWO]))


def test_of_three_sides_the_mean_over_all_pairs_is_the_overlap() -> None:
    """Two of the three pairs have no label in common, one has all: 1/3 by data."""
    merged = plain(
        Side(ONE, 60, (1, 1, 0, 0)), Side(TWO, 30, (2, 2, 0, 0)), Side(THREE, 0, (0, 0, 1, 0))
    )
    weights = [2 / 9 + share / 90 / 3 for share in (60, 30, 0)]
    expected = mean([ONE, TWO, THREE], weights)
    assert np.allclose(merged[HIDDEN], expected[HIDDEN], rtol=0, atol=1e-6)


# --- the output layer ----------------------------------------------------------------------------


def test_each_class_comes_from_who_knows_it() -> None:
    merged = plain(Side(ONE, 10, (5, 5, 0, 0)), Side(TWO, 1000, (0, 0, 900, 0)))
    assert rows(merged)[:2] == rows(ONE)[:2]
    assert rows(merged)[2] == rows(TWO)[2]


def test_a_class_that_both_know_is_shared_by_their_counts() -> None:
    merged = plain(Side(ONE, 10, (30, 1, 0, 0)), Side(TWO, 10, (10, 1, 0, 0)))
    assert rows(merged)[0] == rows(mean([ONE, TWO], [3, 1]))[0]
    assert rows(merged)[1] == rows(mean([ONE, TWO]))[1]


def test_a_class_that_nobody_knows_follows_the_layers() -> None:
    merged = plain(Side(ONE, 10, (5, 5, 0, 0)), Side(TWO, 1000, (0, 0, 900, 0)))
    assert rows(merged)[3] == rows(mean([ONE, TWO]))[3]


@pytest.mark.parametrize("profile", [None, (), (0, 0, 0, 0), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_with_one_sides_labels_unknown_all_rows_follow_the_layers(
    profile: tuple[int, ...] | None,
) -> None:
    """A profile that is not of this task's classes says nothing; it is no reason to fail."""
    merged = plain(Side(ONE, 30, (5, 5, 0, 0)), Side(TWO, 10, profile))
    assert same_bits(merged, mean([ONE, TWO], [30, 10]))


def test_without_an_output_layer_there_are_no_rows() -> None:
    layout = Layout(PERCEPTRON.tensors)
    sides = [Side(ONE, 1, (1, 0, 0, 0)), Side(TWO, 9, (0, 1, 0, 0))]
    assert same_bits(merge_concurrent(layout, sides, "mean"), mean([ONE, TWO]))


def test_an_output_layer_may_have_more_than_two_dimensions() -> None:
    layout = Layout((TensorSpec("out", (2, 2, 3), "weight"),), output=("out",))
    one, two = normal(layout, 1), normal(layout, 2)
    merged = merge_concurrent(layout, [Side(one, 1, (1, 0)), Side(two, 1, (0, 1))], "mean")
    assert same_bits(merged, np.concatenate([one[:6], two[6:]]))


# --- the spread ----------------------------------------------------------------------------------


def test_hidden_layers_get_the_weighted_mean_of_the_sides_variances() -> None:
    wide = 3 * TWO
    merged = merge_concurrent(PERCEPTRON, [Side(ONE, 30, None), Side(wide, 10, None)])
    of = [PERCEPTRON.variances(vector)[0] for vector in (ONE, wide, merged)]
    assert of[2] == pytest.approx(0.75 * of[0] + 0.25 * of[1], rel=1e-6)


def test_who_has_no_row_has_no_say_in_the_output_layers_spread() -> None:
    tiny = TWO * np.float32(0.001)
    sides = [Side(ONE, 10, (1, 1, 1, 1)), Side(tiny, 10, (0, 0, 0, 1))]
    merged = merge_concurrent(PERCEPTRON, sides)
    of = [PERCEPTRON.variances(vector)[3] for vector in (ONE, tiny, merged)]
    # Three rows are the first side's alone, of the fourth it has one half.
    assert of[2] == pytest.approx(0.875 * of[0] + 0.125 * of[1], rel=1e-6)


def test_declared_variances_are_the_target() -> None:
    layout = flat(500)
    sides = [Side(normal(layout, seed), 1, None, (0.25,)) for seed in (1, 2)]
    assert layout.variances(merge_concurrent(layout, sides))[0] == pytest.approx(0.25, rel=1e-6)


# --- sides that have met before ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "late", "share"),
    [
        (1.0, 0.1, 0.1 / 1.1),
        # Both have learnt as much since they met: neither is late.
        (0.1, 0.1, 0.5),
        # All that a newcomer brings is new, but it is no more than one of two.
        (0.1, 1.0, 0.5),
        (0.0, 0.0, 0.5),
    ],
)
def test_sides_that_have_met_before_weigh_by_what_is_new_and_the_host_has_the_rest(
    host: float, late: float, share: float
) -> None:
    one = Side(ONE, 900, (1, 1, 0, 0), fresh=host)
    two = Side(TWO, 90, (0, 0, 1, 1), fresh=late)
    for merged in (plain(one, two), plain(two, one)):
        expected = (1 - share) * ONE[HIDDEN] + share * TWO[HIDDEN]
        assert np.allclose(merged[HIDDEN], expected, atol=1e-6)


def test_where_labels_overlap_it_is_the_examples_that_count_however_new() -> None:
    counts = (1, 1, 1, 1)
    merged = plain(Side(ONE, 300, counts), Side(TWO, 100, counts, fresh=0.1))
    assert np.allclose(merged[HIDDEN], 0.75 * ONE[HIDDEN] + 0.25 * TWO[HIDDEN], atol=1e-6)


def test_what_both_know_of_a_class_counts_in_its_row_by_the_layers_weights() -> None:
    host = Side(ONE, 900, (100, 100, 0, 0), shared=(0, 0, 80, 0))
    late = Side(TWO, 90, (0, 0, 20, 20), fresh=0.1, shared=(0, 0, 80, 0))
    merged, one, two = (np.array(rows(v)) for v in (plain(host, late), ONE, TWO))
    assert np.allclose(merged[0], one[0])
    part = (20 + 0.1 / 1.1 * 80) / (20 + 80)
    assert np.allclose(merged[2], (1 - part) * one[2] + part * two[2], atol=1e-6)
    assert np.allclose(merged[3], two[3])


# --- exactness -----------------------------------------------------------------------------------

profiles = st.none() | st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any).map(tuple)
some_sides = st.lists(
    st.builds(
        Side,
        st.sampled_from([ONE, TWO, THREE, ONE * 3]),
        st.integers(1, 1000),
        profiles,
    ),
    min_size=2,
    max_size=4,
)
late_sides = st.lists(
    st.builds(
        Side,
        st.sampled_from([ONE, TWO, THREE]),
        st.integers(1, 3),
        profiles,
        fresh=st.sampled_from([0.0, 0.1, 1.0]),
        shared=profiles,
    ),
    min_size=2,
    max_size=4,
)
averages = st.sampled_from(["variance_corrected", "mean"])


@properties
@given(some_sides, averages)
def test_it_follows_the_rule(
    sides: list[Side], average: Literal["variance_corrected", "mean"]
) -> None:
    expected = reference.merge_concurrent(PERCEPTRON, sides, average)
    assert np.allclose(merge_concurrent(PERCEPTRON, sides, average), expected, rtol=0, atol=1e-5)


@properties
@given(some_sides | late_sides, averages)
def test_the_order_of_the_sides_changes_no_bit(
    sides: list[Side], average: Literal["variance_corrected", "mean"]
) -> None:
    """So all nodes at which two islands meet make one and the same model."""
    merged = merge_concurrent(PERCEPTRON, sides, average)
    for order in permutations(sides):
        assert same_bits(merge_concurrent(PERCEPTRON, order, average), merged)


@properties
@given(st.lists(st.tuples(st.integers(0, 99), profiles), min_size=2, max_size=5))
def test_equal_models_keep_every_bit(
    claims: list[tuple[int, tuple[int, ...] | None]],
) -> None:
    sides = [Side(ONE.copy(), examples, counts) for examples, counts in claims]
    assert same_bits(merge_concurrent(PERCEPTRON, sides), ONE)


def test_the_sides_stay_as_they_are() -> None:
    one, two = ONE.copy(), TWO.copy()
    merge_concurrent(PERCEPTRON, [Side(one, 1, (1, 0, 0, 0)), Side(two, 1, (0, 1, 0, 0))])
    assert same_bits(one, ONE)
    assert same_bits(two, TWO)


def test_a_merge_needs_two_sides_of_this_layout() -> None:
    for too_few in ([], [Side(ONE, 1, None)]):
        with pytest.raises(ValueError, match="two sides"):
            merge_concurrent(PERCEPTRON, too_few)
    with pytest.raises(ValueError, match="vector"):
        merge_concurrent(PERCEPTRON, [Side(ONE, 1, None), Side(ONE[:-1], 1, None)])
