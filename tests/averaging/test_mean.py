"""The mean is taken in float64, keeps the bits of equal models, and refuses what has no mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.averaging.mean import BLOCK, mean, shares
from gossipd.tensors.layout import Vector
from support import reference_averaging as reference
from support.properties import properties
from support.vectors import finite, flat, normal, same_bits

weights_of = st.lists(st.floats(0, 1e300), min_size=1, max_size=9).filter(any)


@properties
@given(finite(4), weights_of)
def test_equal_models_keep_every_bit_whatever_the_weights(
    model: Vector, weights: list[float]
) -> None:
    assert same_bits(mean([model] * len(weights), weights), model)
    assert same_bits(mean([model] * len(weights)), model)


@properties
@given(st.lists(finite(4), min_size=1, max_size=6), st.data())
def test_it_is_the_float64_mean_rounded_once(models: list[Vector], data: st.DataObject) -> None:
    weights = data.draw(
        st.lists(st.floats(0.01, 100), min_size=len(models), max_size=len(models)) | st.none()
    )
    expected = reference.mean(models, weights)
    largest = np.abs(np.stack(models).astype(np.float64)).max(axis=0)
    off = np.abs(mean(models, weights).astype(np.float64) - expected)
    assert (off <= np.abs(expected) * 2.0**-24 + largest * 1e-14 + 2.0**-150).all()


@pytest.mark.parametrize("count", [1, 2, 1000])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_thousand_models_lose_nothing(count: int, scale: float) -> None:
    models = [normal(flat(50), seed, scale) for seed in range(count)]
    expected = reference.mean(models).astype(np.float32)
    assert np.allclose(mean(models), expected, rtol=2.0**-23, atol=scale * 1e-14)


def test_it_does_not_depend_on_where_blocks_end() -> None:
    layout = flat(2 * BLOCK + 3)
    models = [normal(layout, seed) for seed in range(3)]
    pieces = [mean([m[i : i + 1000] for m in models]) for i in range(0, layout.parameters, 1000)]
    assert same_bits(mean(models), np.concatenate(pieces))


def test_weights_count_by_proportion() -> None:
    one, four = np.array([1.0], np.float32), np.array([4.0], np.float32)
    assert mean([one, four], [1, 2]).tolist() == [3.0]
    assert mean([one, four], [100, 200]).tolist() == [3.0]
    assert mean([one, four], [0, 5]).tolist() == [4.0]


def test_the_inputs_stay_as_they_are() -> None:
    models = [normal(flat(9), seed) for seed in range(2)]
    before = [model.copy() for model in models]
    mean(models)[:] = 0
    mean(models[:1])[:] = 0
    assert all(same_bits(a, b) for a, b in zip(models, before, strict=True))


def test_no_model_and_models_of_two_sizes_have_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        mean([])
    with pytest.raises(ValueError, match="one size"):
        mean([np.zeros(3, np.float32), np.zeros(4, np.float32)])


@pytest.mark.parametrize(
    "weights",
    [
        [1.0],
        [1.0, 1.0, 1.0],
        [0.0, 0.0],
        [2.0, -1.0],
        [1.0, float("nan")],
        [1.0, float("inf")],
        [1.7e308, 1.7e308],
    ],
)
def test_unusable_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        shares(weights, 2)
