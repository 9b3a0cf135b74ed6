"""The average of one round's models: what is rare counts for more, what nobody trained stays."""

import numpy as np
import pytest

from gossipd.averaging.concurrent import Side
from gossipd.averaging.group import RAREST, average_group
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
    expected = mean([ONE, TWO], (90 / 90 + 10 / 40, 30 / 40 + 270 / 270))
    merged = average_group(PERCEPTRON, sides, START, "mean")
    assert same_bits(merged[HIDDEN], expected[HIDDEN])
    assert np.array_equal(rows(merged)[[0, 1, 3]], rows(expected)[[0, 1, 3]])
    assert np.array_equal(rows(merged)[2], rows(START)[2])
    corrected = average_group(PERCEPTRON, sides, START)
    assert np.array_equal(rows(corrected)[2], rows(START)[2])


def test_each_class_of_a_sample_counts_for_as_much_as_any_other() -> None:
    sides = [
        Side(ONE, 400, (200, 200, 0, 0)),
        Side(TWO, 400, (200, 200, 0, 0)),
        Side(START, 200, (0, 0, 100, 100)),
    ]
    merged = average_group(PERCEPTRON, sides, START, "mean")
    assert np.allclose(merged, mean([ONE, TWO, START], (1, 1, 2)), atol=1e-6)


def test_a_handful_of_examples_counts_for_no_more_than_five_times_as_many() -> None:
    sides = [Side(ONE, 999, (333, 333, 333, 0)), Side(TWO, 1, (0, 0, 0, 1))]
    weights = (3.0, 1 / (1000 / 4 / RAREST))
    merged = average_group(PERCEPTRON, sides, START, "mean")
    assert np.allclose(merged, mean([ONE, TWO], weights), atol=1e-6)


def test_what_a_profile_boasts_beyond_the_examples_that_count_has_no_effect() -> None:
    honest = [Side(ONE, 100, (50, 50, 0, 0)), Side(TWO, 100, (0, 0, 50, 50))]
    boasting = [honest[0], Side(TWO, 100, (0, 0, 10**9, 10**9))]
    merged = [average_group(PERCEPTRON, sides, START, "mean") for sides in (honest, boasting)]
    assert same_bits(*merged)


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
