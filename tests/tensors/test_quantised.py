"""Few bits a number: the stated bound holds, rounding is fair, and no other bytes are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.codecs import CodecError, body_sizes, decode, encode
from gossipd.tensors.layout import Layout, TensorSpec, Vector
from gossipd.tensors.rows import BLOCK
from support.properties import properties
from support.vectors import PERCEPTRON, any_layout, finite, flat, normal

LEVELS = {"q8": 127, "q4": 7, "q3+deflate": 3, "q2": 1}
FIVE = flat(5)
DRAWS = 2000
quantiser = pytest.mark.parametrize("name", LEVELS)
packed = pytest.mark.parametrize("name", ["q8", "q4", "q2"])


def rows_of(layout: Layout) -> list[slice]:
    """By the words of `rows`: leading index, short ones joined, a tensor's end by itself."""
    rows, start = [], 0
    for spec in layout.tensors:
        width = spec.size // spec.shape[0] if len(spec.shape) > 1 else spec.size
        joined = width
        while joined < 64:
            joined += width
        for first in range(0, spec.size, joined):
            rows.append(slice(start + first, start + min(first + joined, spec.size)))
        start += spec.size
    return rows


def steps(name: str, delta: Vector, layout: Layout) -> Vector:
    """For each number how far it may be off: one step of its row."""
    bounds = np.empty(delta.size)
    for row in rows_of(layout):
        bounds[row] = np.abs(delta[row].astype(np.float64)).max() / LEVELS[name]
    # Rows whose scale would be below 2**-100 become 0.
    return np.where(bounds < 2.0**-100, bounds * LEVELS[name], bounds)


def refused(name: str, body: bytes, layout: Layout = FIVE) -> str:
    with pytest.raises(CodecError) as error:
        decode(name, body, layout)
    return error.value.reason


# --- there and back -------------------------------------------------------------------------------


@quantiser
@properties
@given(st.data())
def test_no_number_is_off_by_more_than_a_step(name: str, data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    delta = data.draw(finite(layout.parameters))
    decoded = decode(name, encode(name, delta, layout, data.draw(st.integers(0, 2**63))), layout)
    error = np.abs(decoded.astype(np.float64) - delta.astype(np.float64))
    assert (error <= steps(name, delta, layout)).all()


@quantiser
@properties
@given(st.data())
def test_what_was_decoded_is_encoded_to_the_same_bytes(name: str, data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    body = encode(name, data.draw(finite(layout.parameters)), layout)
    assert encode(name, decode(name, body, layout), layout, data.draw(st.integers(0, 9))) == body


@quantiser
@pytest.mark.parametrize("scale", [1e-29, 1e-8, 1.0, 1e8, 1e37])
def test_the_scale_of_a_delta_makes_no_difference(name: str, scale: float) -> None:
    delta = normal(PERCEPTRON, 1, scale)
    error = np.abs(decode(name, encode(name, delta, PERCEPTRON), PERCEPTRON) - delta)
    assert 0 < error.max() <= steps(name, delta, PERCEPTRON).max()


@quantiser
def test_rows_have_scales_of_their_own(name: str) -> None:
    layout = Layout((TensorSpec("w", (3, 70), "weight"), TensorSpec("b", (3,), "bias")))
    sizes = np.repeat([1.0, 1e-6, 0.0, 1e6], [70, 70, 70, 3])
    delta = (normal(layout, 2) * sizes).astype(np.float32)
    error = np.abs(decode(name, encode(name, delta, layout), layout) - delta)
    assert (error <= steps(name, delta, layout)).all()
    assert error[70:140].max() < 1e-5
    assert error[140:210].max() == 0


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@quantiser
def test_long_rows_are_one_row_all_the_same(name: str, size: int) -> None:
    layout = Layout((TensorSpec("w", (2, size), "weight"), TensorSpec("b", (size,), "bias")))
    delta = normal(layout, 3)
    decoded = decode(name, encode(name, delta, layout), layout)
    assert (np.abs(decoded - delta) <= 1.0001 * steps(name, delta, layout)).all()
    for row in rows_of(layout):
        multiples = decoded[row] / (np.abs(decoded[row]).max() / LEVELS[name])
        assert np.abs(multiples - np.rint(multiples)).max() < 1e-4


@packed
def test_sizes_are_bits_and_scales(name: str) -> None:
    bits = {"q8": 8, "q4": 4, "q2": 2}[name]
    layout = Layout((TensorSpec("w", (10, 100), "weight"), TensorSpec("b", (10,), "bias")))
    expected = -(-1010 * bits // 8) + 4 * 11
    assert body_sizes(name, layout) == (expected, expected)


# --- rounding -------------------------------------------------------------------------------------


@quantiser
def test_rounding_is_unbiased(name: str) -> None:
    """The mean of many draws is the number: within 5 of its standard errors, everywhere."""
    layout = flat(64)
    delta = np.linspace(-1, 1, 64, dtype=np.float32) ** 3
    total = np.zeros(64)
    for seed in range(DRAWS):
        total += decode(name, encode(name, delta, layout, seed), layout)
    step = steps(name, delta, layout)
    bias = total / DRAWS - delta
    assert (np.abs(bias) <= 5 * step / 2 / np.sqrt(DRAWS) + 2.0**-15 * step).all()
    assert np.sqrt(np.mean(bias**2)) <= 1.2 * step.max() / 2 / np.sqrt(DRAWS)


@quantiser
def test_errors_of_different_draws_average_out(name: str) -> None:
    delta = normal(PERCEPTRON, 5)

    def off(draws: int) -> float:
        bodies = [encode(name, delta, PERCEPTRON, seed) for seed in range(draws)]
        decoded = [decode(name, body, PERCEPTRON) for body in bodies]
        return float(np.linalg.norm(np.mean(decoded, axis=0, dtype=np.float64) - delta))

    assert off(100) == pytest.approx(off(1) / 10, rel=0.4)


@quantiser
def test_equal_arguments_give_equal_bytes_and_another_seed_another_draw(name: str) -> None:
    delta = normal(PERCEPTRON, 6)
    assert encode(name, delta, PERCEPTRON, 7) == encode(name, delta.copy(), PERCEPTRON, 7)
    assert encode(name, delta, PERCEPTRON, 7) != encode(name, delta, PERCEPTRON, 8)


def test_two_deltas_are_not_rounded_alike() -> None:
    """Else the errors of nodes that were given no seed would not average out."""
    layout = flat(4000)
    first = np.full(4000, 0.5, np.float32)
    first[0] = 1.0
    second = first.copy()
    second[1] = 0.25
    up = [decode("q2", encode("q2", delta, layout), layout)[2:] for delta in (first, second)]
    assert np.mean(up[0] == up[1]) == pytest.approx(0.5, abs=0.05)


# --- bytes ----------------------------------------------------------------------------------------


def test_bytes_are_as_written_down() -> None:
    """The scale, then multiples as two's complement, the first one in the lowest bits."""
    ternary = np.array([1.5, 0, -1.5, 0, 1.5], np.float32)
    assert encode("q2", ternary, FIVE) == bytes.fromhex("0000c03f3101")
    nibbles = np.array([7, 0, -7, 3, -1], np.float32)
    assert encode("q4", nibbles, FIVE) == bytes.fromhex("0000803f07390f")
    octets = np.array([127, 0, -127, 64, -1], np.float32)
    assert encode("q8", octets, FIVE) == bytes.fromhex("0000803f7f008140ff")


def test_draws_do_not_change_from_version_to_version() -> None:
    """Content hashes of published models hang on them."""
    assert encode("q4", normal(flat(12), 1), flat(12), 3).hex() == "18a23e3e5292253d2231"


# --- hostile bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codes"), [("q8", "8000000000"), ("q4", "080000"), ("q2", "0200")]
)
def test_a_multiple_that_no_encoder_writes_is_refused(name: str, codes: str) -> None:
    assert refused(name, bytes.fromhex("0000803f" + codes)) == "malformed"


@pytest.mark.parametrize(("name", "codes"), [("q4", "000010"), ("q2", "0004"), ("q2", "0080")])
def test_bits_after_the_last_number_are_refused(name: str, codes: str) -> None:
    assert refused(name, bytes.fromhex("0000803f" + codes)) == "malformed"


@packed
@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf])
def test_a_scale_that_is_not_finite_is_refused(name: str, scale: float) -> None:
    body = np.float32(scale).tobytes() + bytes(body_sizes(name, FIVE).most - 4)
    assert refused(name, body) == "not-finite"


@packed
@pytest.mark.parametrize("scale", [-1.0, -0.0, 2.0**-101, 1e-45])
def test_a_scale_that_no_encoder_writes_is_refused(name: str, scale: float) -> None:
    body = np.float32(scale).tobytes() + bytes(body_sizes(name, FIVE).most - 4)
    assert refused(name, body) == "malformed"


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_a_scale_whose_multiples_are_not_exact_is_refused(name: str) -> None:
    scale = np.nextafter(np.float32(1), np.float32(2))
    assert refused(name, scale.tobytes() + bytes(body_sizes(name, FIVE).most - 4)) == "malformed"


def test_a_scale_that_overflows_is_refused() -> None:
    body = np.float32(2.0**127).tobytes() + bytes([127, 0, 0, 0, 0])
    assert refused("q8", body) == "not-finite"


@packed
@properties
@given(st.data())
def test_any_bytes_of_the_right_size_are_finite_numbers_or_refused(
    name: str, data: st.DataObject
) -> None:
    size = body_sizes(name, FIVE).most
    scale = st.floats(0, 2.0**100, width=32).map(
        lambda x: (np.array([x], np.float32).view(np.uint32) & 0xFFFFFF80).tobytes()
    )
    body = data.draw(
        st.binary(min_size=size, max_size=size)
        | st.builds(bytes.__add__, scale, st.binary(min_size=size - 4, max_size=size - 4))
    )
    reason = None
    try:
        delta = decode(name, body, FIVE)
    except CodecError as error:
        reason = error.reason
    else:
        assert np.isfinite(delta).all()
        assert np.abs(delta).max() <= LEVELS[name] * np.frombuffer(body[:4], "<f4")[0]
    assert reason in (None, "malformed", "not-finite")
