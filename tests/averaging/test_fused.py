"""Large tensors are averaged in one pass in float32: within what is said of it, whatever comes."""

from collections.abc import Sequence

import numpy as np
import pytest

from gossipd.averaging.fused import LARGE, ROW, mean_and_moments
from gossipd.averaging.mean import shares
from gossipd.averaging.variance import variance_corrected
from gossipd.tensors.layout import Vector
from support import reference_averaging as reference
from support.vectors import flat, normal, same_bits

SIZES = [LARGE, LARGE + 1, LARGE + ROW - 1, 11 * ROW + 17]


def tensors(size: int, count: int, scale: float = 0.05, centre: float = 0.0) -> list[Vector]:
    return [normal(flat(size), seed, scale, centre) for seed in range(count)]


def check(models: Sequence[Vector], weights: Sequence[float], variance: float = 1e-6) -> None:
    """Hold what is made of `models` against the bounds that are stated, and exact variances."""
    out = np.empty_like(models[0])
    spreads = mean_and_moments(models, weights, out)
    wide = np.stack([model.astype(np.float64) for model in models])
    bound = (len(models) + 1) * 2.0**-24 * np.abs(wide * np.array(weights)[:, None]).sum(axis=0)
    assert (np.abs(out - reference.mean(models, weights)) <= bound).all()
    found = [*spreads.inputs, spreads.mean]
    for moments, values in zip(found, [*wide, out.astype(np.float64)], strict=True):
        assert moments.variance == pytest.approx(values.var(), rel=variance, abs=1e-300)
        assert moments.mean == pytest.approx(values.mean(), abs=1e-6 * np.abs(values).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [2, 3, 10])
def test_means_and_variances_are_the_exact_ones(size: int, count: int) -> None:
    check(tensors(size, count), shares([1 + n % 3 for n in range(count)], count))


def test_many_models_pass_through_a_cache_of_one_size() -> None:
    check(tensors(LARGE, 100), [0.01] * 100)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-8, 1.0, 1e8, 1e18, 1e30])
def test_no_scale_is_too_small_or_too_large(scale: float) -> None:
    check(tensors(LARGE + 5, 3, scale), [0.5, 0.25, 0.25])


@pytest.mark.parametrize("centre", [0.05, 1.0, 1000.0])
def test_a_mean_that_drowns_the_spread_is_no_matter(centre: float) -> None:
    check(tensors(LARGE + 5, 3, 0.05, centre), [0.5, 0.25, 0.25])


def test_a_constant_among_the_models_has_no_variance() -> None:
    models = [*tensors(LARGE, 2), np.full(LARGE, 0.1, np.float32), np.zeros(LARGE, np.float32)]
    spreads = mean_and_moments(models, [0.25] * 4, np.empty_like(models[0]))
    assert [moments.variance for moments in spreads.inputs[2:]] == [0.0, 0.0]
    check(models, [0.25] * 4)


def test_models_that_cancel_leave_nothing() -> None:
    model = tensors(LARGE, 1)[0]
    check([model, -model], [0.5, 0.5])


def test_few_large_numbers_among_small_ones_count() -> None:
    models = tensors(LARGE, 3, 1e-4)
    models[1][::1000] = 10.0
    models[2][-1] = 1e15
    check(models, [0.25, 0.25, 0.5], variance=1e-5)


def test_a_mean_within_float32_is_finite_where_its_squares_are_not() -> None:
    large = np.full(LARGE, 3e38, np.float32)
    out = np.empty_like(large)
    mean_and_moments([large, -large, large, -large], [0.25] * 4, out)
    assert not out.any()
    mean_and_moments([large, large, -large], [0.5, 0.25, 0.25], out)
    assert np.isfinite(out).all()


def test_what_is_not_finite_is_seen_by_the_gate() -> None:
    models = tensors(LARGE, 3)
    models[1][7] = np.nan
    assert np.isnan(variance_corrected(flat(LARGE), None, models)).any()


@pytest.mark.parametrize("value", [0.1, -0.0, 3e38])
def test_equal_models_keep_every_bit_whatever_the_weights(value: float) -> None:
    model = tensors(LARGE + 9, 1)[0]
    model[::2] = value
    models = [model, model.copy(), model.copy()]
    weights = [0.7, 0.1, 2.3]
    assert same_bits(variance_corrected(flat(LARGE + 9), None, models, weights=weights), model)
    assert same_bits(variance_corrected(flat(LARGE + 9), model.copy(), models), model)


@pytest.mark.parametrize("own", [True, False])
def test_the_rule_holds_for_large_tensors(own: bool) -> None:
    layout = flat(LARGE + ROW + 3)
    received = [normal(layout, seed, 0.05, 0.02) for seed in range(9)]
    mine = normal(layout, 20, 0.1) if own else None
    merged = variance_corrected(layout, mine, received)
    expected = reference.variance_corrected(layout, mine, received, 0.5)
    assert np.allclose(merged, expected, rtol=0, atol=1e-6 * float(np.abs(expected).max()))


def test_the_same_models_make_the_same_bits_again() -> None:
    models = tensors(2 * LARGE + 3, 4)
    first, second = (variance_corrected(flat(2 * LARGE + 3), None, models) for _ in range(2))
    assert same_bits(first, second)


def test_the_spread_does_not_drift() -> None:
    """As `test_drift`, for the arithmetic of large tensors: a bias of one merge would add up."""
    layout = flat(LARGE)
    start = normal(layout, 1)
    nodes = [np.roll(start, 1000 * n) for n in range(4)]
    for turn in range(400):
        me, first, second = (nodes[(turn + n) % 4] for n in range(3))
        merged = variance_corrected(layout, me, [first, second])
        nodes[turn % 4] = np.roll(merged, 17)
    ratios = [layout.variances(node)[0] / layout.variances(start)[0] for node in nodes]
    assert ratios == pytest.approx([1.0] * 4, abs=2e-6)
