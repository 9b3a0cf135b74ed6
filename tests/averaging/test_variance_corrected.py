"""The merged model has the spread of its inputs: exactly, at any scale, and in weights only."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.averaging.mean import BLOCK, mean
from gossipd.averaging.variance import variance_corrected
from gossipd.tensors.layout import Layout, TensorSpec, Vector
from support import reference_averaging as reference
from support.properties import properties
from support.vectors import PERCEPTRON, finite, flat, normal, same_bits

SMALL = Layout((TensorSpec("weight", (3, 2), "weight"), TensorSpec("bias", (2,), "bias")))
HIDDEN, HIDDEN_BIAS, BUFFER, OUT, OUT_BIAS = range(5)


def models(count: int, scale: float = 1.0, centre: float = 0.0) -> list[Vector]:
    return [normal(PERCEPTRON, seed, scale, centre) for seed in range(count)]


def assert_close(
    got: Vector, expected: reference.Wide, inputs: Sequence[Vector], factor: float = 1.0
) -> None:
    """Within some float32 roundings of the largest number, which the correction magnifies."""
    largest = max(float(np.abs(model).max()) for model in inputs)
    assert np.abs(got - expected).max() <= 4 * 2.0**-24 * largest * max(factor, 1.0)


# --- against the reference -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("count", [1, 2, 8, 30])
@pytest.mark.parametrize("with_own", [True, False])
def test_it_follows_the_rule(scale: float, count: int, with_own: bool) -> None:
    received = models(count, scale, centre=scale / 10)
    own = normal(PERCEPTRON, 99, 2 * scale) if with_own else None
    expected = reference.variance_corrected(PERCEPTRON, own, received, 0.5)
    got = variance_corrected(PERCEPTRON, own, received)
    assert_close(got, expected, [*received, own] if own is not None else received, count**0.5)


def test_a_thousand_models_are_no_different() -> None:
    received = models(1000)
    expected = reference.variance_corrected(PERCEPTRON, None, received, 0.5)
    assert_close(variance_corrected(PERCEPTRON, None, received), expected, received, 1000**0.5)


@properties
@given(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.floats(0, 1),
    st.booleans(),
    st.data(),
)
def test_weights_and_declared_variances_follow_the_rule(
    seed: int, count: int, beta: float, with_own: bool, data: st.DataObject
) -> None:
    received = [normal(PERCEPTRON, seed + i) for i in range(count)]
    own = normal(PERCEPTRON, seed + count) if with_own else None
    weights = data.draw(st.lists(st.floats(0.1, 9), min_size=count, max_size=count))
    claim = st.lists(st.floats(0, 3), min_size=5, max_size=5)
    declared = data.draw(st.lists(claim, min_size=count, max_size=count))
    expected = reference.variance_corrected(PERCEPTRON, own, received, beta, weights, declared)
    got = variance_corrected(
        PERCEPTRON, own, received, self_weight=beta, weights=weights, declared=declared
    )
    assert_close(got, expected, [*received, *([own] if own is not None else [])], 10.0)


def test_a_tensor_of_several_blocks_is_one_tensor() -> None:
    layout = flat(2 * BLOCK + 5)
    received = [normal(layout, seed, 0.05, centre=0.01) for seed in range(3)]
    expected = reference.variance_corrected(layout, None, received, 0.5)
    assert_close(variance_corrected(layout, None, received), expected, received, 2.0)


# --- what must be exact --------------------------------------------------------------------------


@properties
@given(
    finite(SMALL.parameters) | st.integers(0, 99).map(lambda seed: normal(SMALL, seed)),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=7).filter(any),
    st.floats(0, 1),
    st.booleans(),
)
def test_equal_inputs_keep_every_bit(
    model: Vector, weights: list[float], beta: float, with_own: bool
) -> None:
    own = model.copy() if with_own else None
    received = [model] * len(weights)
    merged = variance_corrected(SMALL, own, received, self_weight=beta, weights=weights)
    assert same_bits(merged, model)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 100, 1000])
def test_any_number_of_equal_inputs_keeps_every_bit(count: int) -> None:
    model = normal(PERCEPTRON, 1, 0.1)
    assert same_bits(variance_corrected(PERCEPTRON, None, [model] * count), model)
    assert same_bits(variance_corrected(PERCEPTRON, model, [model] * count), model)


@properties
@given(finite(SMALL.parameters))
def test_one_input_keeps_every_bit(model: Vector) -> None:
    assert same_bits(variance_corrected(SMALL, None, [model]), model)


@pytest.mark.parametrize("power", [-27, 27])
def test_a_scale_of_a_hundred_million_changes_no_bit_but_the_exponent(power: int) -> None:
    """With an absolute epsilon a small layer would be corrected less than a large one."""
    scale = np.float32(2.0**power)
    received, own = models(4), normal(PERCEPTRON, 9)
    merged = variance_corrected(PERCEPTRON, own, received)
    scaled = variance_corrected(PERCEPTRON, own * scale, [model * scale for model in received])
    assert same_bits(scaled, merged * scale)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e8])
def test_constant_tensors_stay_constant(value: float) -> None:
    layout = flat(1001)
    received = [np.full(1001, value * factor, np.float32) for factor in (1, 2, 6)]
    merged = variance_corrected(layout, received[0], received)
    assert (
        same_bits(merged, np.full(1001, np.float32(value * 2), np.float32)) or np.ptp(merged) == 0
    )
    assert merged[0] == pytest.approx(value * 2, rel=1e-6)


def test_models_that_cancel_out_are_left_at_nothing() -> None:
    model = normal(PERCEPTRON, 1)
    assert not variance_corrected(PERCEPTRON, model, [-model]).any()


def test_a_small_layer_is_fully_corrected() -> None:
    """The authors' port reaches .84 of this target, because it adds 1e-4."""
    layout = flat(500)
    received = [normal(layout, seed, scale=0.00125**0.5) for seed in range(8)]
    wanted = np.mean([layout.variances(model) for model in received])
    merged = variance_corrected(layout, normal(layout, 8, scale=0.00125**0.5), received)
    assert layout.variances(merged)[0] == pytest.approx(wanted, rel=1e-6)


# --- what is corrected, and to what --------------------------------------------------------------


def test_the_spread_comes_back_and_the_mean_stays() -> None:
    received, own = models(8, scale=0.3, centre=0.1), normal(PERCEPTRON, 50, 0.3)
    plain = mean([own, *received], [0.5] + [0.5 / 8] * 8)
    merged = variance_corrected(PERCEPTRON, own, received)
    before, after = PERCEPTRON.moments(plain), PERCEPTRON.moments(merged)
    for tensor in (HIDDEN, OUT):
        wanted = np.mean([PERCEPTRON.variances(model)[tensor] for model in received])
        assert before[tensor].variance < 0.5 * wanted
        assert after[tensor].variance == pytest.approx(wanted, rel=1e-6)
        assert after[tensor].mean == pytest.approx(before[tensor].mean, abs=1e-7)


def test_only_weights_are_corrected() -> None:
    received = models(8)
    plain, merged = mean(received), variance_corrected(PERCEPTRON, None, received)
    for tensor in (HIDDEN_BIAS, BUFFER, OUT_BIAS):
        assert same_bits(merged[PERCEPTRON.slices[tensor]], plain[PERCEPTRON.slices[tensor]])
    for tensor in (HIDDEN, OUT):
        assert not same_bits(merged[PERCEPTRON.slices[tensor]], plain[PERCEPTRON.slices[tensor]])


def test_a_weight_of_one_number_is_only_averaged() -> None:
    layout = Layout((TensorSpec("scale", (1, 1), "weight"),))
    one, three = np.array([1], np.float32), np.array([3], np.float32)
    assert variance_corrected(layout, one, [three]).tolist() == [2.0]


def test_the_own_models_spread_is_not_the_target() -> None:
    layout = flat(400)
    received = [normal(layout, seed, 0.1) for seed in range(4)]
    merged = variance_corrected(layout, normal(layout, 9, scale=50.0), received)
    wanted = np.mean([layout.variances(model) for model in received])
    assert layout.variances(merged)[0] == pytest.approx(wanted, rel=1e-5)


def test_weights_count_in_the_target_too() -> None:
    layout = flat(400)
    small, large = normal(layout, 1, 0.1), normal(layout, 2, 1.0)
    merged = variance_corrected(layout, None, [small, large], weights=[3, 1])
    wanted = 0.75 * layout.variances(small)[0] + 0.25 * layout.variances(large)[0]
    assert layout.variances(merged)[0] == pytest.approx(wanted, rel=1e-6)


# --- declared variances --------------------------------------------------------------------------

NOISY = [normal(flat(400), seed) for seed in (1, 2)]


def spread(declared: Sequence[Sequence[float] | None] | None) -> float:
    return flat(400).variances(variance_corrected(flat(400), None, NOISY, declared=declared))[0]


def test_the_variance_before_encoding_is_the_target() -> None:
    assert spread([[0.25], [0.75]]) == pytest.approx(0.5, rel=1e-6)


def test_what_is_declared_never_inflates() -> None:
    assert spread([[1e30], [1e30]]) == spread(None)


def test_who_declares_nothing_counts_as_decoded() -> None:
    decoded = flat(400).variances(NOISY[1])[0]
    for nothing in (None, (), (0.1, 0.1)):
        assert spread([[0.25], nothing]) == pytest.approx((0.25 + decoded) / 2, rel=1e-6)


def test_a_negative_variance_is_none_at_all() -> None:
    assert spread([[-1e30], [0.5]]) == pytest.approx(0.25, rel=1e-6)
    assert spread([[-1e30], [-1e30]]) == pytest.approx(0.0, abs=1e-12)


# --- misuse --------------------------------------------------------------------------------------


def test_what_overflows_is_infinite_for_the_gate_to_see() -> None:
    """A huge spread put onto an average that has it in few places only."""
    layout = flat(1000)
    received = [np.zeros(1000, np.float32) for _ in range(2)]
    received[0][:500], received[1][500:] = 3e38, 3e38
    received[0][0] = received[1][0] = -3e38
    assert np.isinf(variance_corrected(layout, None, received)).any()


def test_merging_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no received"):
        variance_corrected(PERCEPTRON, normal(PERCEPTRON, 1), [])


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_a_self_weight_is_a_share(beta: float) -> None:
    with pytest.raises(ValueError, match="self weight"):
        variance_corrected(PERCEPTRON, normal(PERCEPTRON, 1), models(1), self_weight=beta)


def test_vectors_must_fit_the_layout_and_declarations_the_models() -> None:
    with pytest.raises(ValueError, match="vector"):
        variance_corrected(PERCEPTRON, None, [np.zeros(3, np.float32)])
    with pytest.raises(ValueError, match="vector"):
        variance_corrected(PERCEPTRON, np.zeros(3, np.float32), models(1))
    with pytest.raises(ValueError, match="declarations"):
        variance_corrected(PERCEPTRON, None, models(2), declared=[None])
