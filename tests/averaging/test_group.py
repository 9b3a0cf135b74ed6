"""The average of one round's models: by examples, and what nobody trained stays."""

import numpy as np
import pytest

from gossipd.averaging.concurrent import Side
from gossipd.averaging.group import average_group
from gossipd.averaging.mean import mean
from gossipd.averaging.variance import variance_corrected
from gossipd.tensors.layout import Vector
from support.vectors import PERCEPTRON, normal, same_bits

HIDDEN, _, _, OUT, OUT_BIAS = PERCEPTRON.slices
ONE, TWO, START = (normal(PERCEPTRON, seed) for seed in (1, 2, 3))


def rows(vector: Vector) -> np.ndarray:
    """The output layer, weights and bias, by class."""
    return np.hstack([vector[OUT].reshape(4, -1), vector[OUT_BIAS].reshape(4, 1)])


@pytest.mark.parametrize("counts", [None, (25, 25, 25, 25)])
def test_models_of_one_round_are_averaged_by_examples(counts: tuple[int, ...] | None) -> None:
    sides = [Side(ONE, 100, counts), Side(TWO, 300, counts), Side(START, 0, counts)]
    expected = variance_corrected(PERCEPTRON, None, [ONE, TWO, START], weights=(100, 300, 0))
    assert same_bits(average_group(PERCEPTRON, sides, START), expected)


def test_the_row_of_a_class_that_nobody_has_stays_as_it_was() -> None:
    sides = [Side(ONE, 100, (90, 10, 0, 0)), Side(TWO, 300, (0, 30, 0, 270))]
    expected = mean([ONE, TWO], (100, 300))
    merged = average_group(PERCEPTRON, sides, START, "mean")
    assert same_bits(merged[HIDDEN], expected[HIDDEN])
    assert np.array_equal(rows(merged)[[0, 1, 3]], rows(expected)[[0, 1, 3]])
    assert np.array_equal(rows(merged)[2], rows(START)[2])
    corrected = average_group(PERCEPTRON, sides, START)
    assert np.array_equal(rows(corrected)[2], rows(START)[2])


def test_what_somebody_does_not_say_is_not_taken_for_nothing() -> None:
    sides = [Side(ONE, 100, (100, 0, 0, 0)), Side(TWO, 100, None)]
    merged = average_group(PERCEPTRON, sides, START, "mean")
    assert same_bits(merged, mean([ONE, TWO]))


def test_one_model_and_equal_ones_stay_as_they_are() -> None:
    assert same_bits(average_group(PERCEPTRON, [Side(ONE, 5, (1, 2, 3, 4))], TWO), ONE)
    sides = [Side(ONE.copy(), n, (n, 1, 1, 1)) for n in (1, 2, 7)]
    assert same_bits(average_group(PERCEPTRON, sides, TWO), ONE)
    with pytest.raises(ValueError, match="no model"):
        average_group(PERCEPTRON, [])
