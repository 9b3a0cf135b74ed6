"""A delta comes back within the bound that its codec states, and nothing else is ever decoded."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.codecs import CodecError, body_sizes, decode, encode, names
from gossipd.tensors.layout import Vector
from support.properties import properties
from support.vectors import PERCEPTRON, any_layout, finite, flat, normal, same_bits

FIVE = flat(5)
codec = pytest.mark.parametrize("name", names())
float_codec = pytest.mark.parametrize("name", ["dense", "half"])


def refused(name: str, body: bytes) -> str:
    with pytest.raises(CodecError) as error:
        decode(name, body, FIVE)
    return error.value.reason


# --- there and back ------------------------------------------------------------------------------


@properties
@given(finite(5))
def test_dense_keeps_every_bit(delta: Vector) -> None:
    assert same_bits(decode("dense", encode("dense", delta, FIVE), FIVE), delta)


@properties
@given(finite(5, largest=65504.0))
def test_half_stays_within_its_bound(delta: Vector) -> None:
    decoded = decode("half", encode("half", delta, FIVE), FIVE)
    error = np.abs(decoded.astype(np.float64) - delta.astype(np.float64))
    assert (error <= np.maximum(np.abs(delta.astype(np.float64)) / 2**11, 2.0**-25)).all()


@properties
@given(st.lists(st.floats(-65504, 65504, width=16), min_size=5, max_size=5))
def test_half_keeps_what_float16_can_say(numbers: list[float]) -> None:
    delta = np.array(numbers, np.float32)
    assert same_bits(decode("half", encode("half", delta, FIVE), FIVE), delta)


@codec
def test_what_was_decoded_is_encoded_to_the_same_bytes(name: str) -> None:
    """So a node that adopts what its own encoding decodes to can publish it again unchanged."""
    body = encode(name, normal(PERCEPTRON, 1, scale=0.01), PERCEPTRON)
    assert encode(name, decode(name, body, PERCEPTRON), PERCEPTRON) == body


@float_codec
def test_order_is_kept(name: str) -> None:
    delta = np.arange(PERCEPTRON.parameters, dtype=np.float32)
    assert same_bits(decode(name, encode(name, delta, PERCEPTRON), PERCEPTRON), delta)


@codec
@properties
@given(st.data())
def test_every_number_comes_back_in_its_place(name: str, data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    place = data.draw(st.integers(0, layout.parameters - 1))
    delta = np.zeros(layout.parameters, np.float32)
    delta[place] = data.draw(st.sampled_from([1.5, -0.75]))
    decoded = decode(name, encode(name, delta, layout), layout)
    assert np.flatnonzero(decoded).tolist() == [place]
    assert decoded[place] == pytest.approx(delta[place], rel=2.0**-16)


@codec
@properties
@given(st.data())
def test_the_size_of_a_body_is_known_before(name: str, data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    body = encode(name, data.draw(finite(layout.parameters, largest=65504.0)), layout)
    least, most = body_sizes(name, layout)
    assert 1 <= least <= len(body) <= most


@codec
def test_nothing_is_nothing(name: str) -> None:
    zeros = np.zeros(PERCEPTRON.parameters, np.float32)
    assert same_bits(decode(name, encode(name, zeros, PERCEPTRON), PERCEPTRON), zeros)


@codec
def test_a_delta_is_not_changed_by_encoding_it(name: str) -> None:
    delta = normal(PERCEPTRON, 4)
    delta.setflags(write=False)
    encode(name, delta, PERCEPTRON)
    assert same_bits(delta, normal(PERCEPTRON, 4))


@codec
def test_a_body_is_read_where_it_lies(name: str) -> None:
    body = encode(name, normal(PERCEPTRON, 1), PERCEPTRON)
    view = memoryview(b"..." + body + b"...")[3:-3]
    assert same_bits(decode(name, view, PERCEPTRON), decode(name, body, PERCEPTRON))


def test_bodies_are_little_endian() -> None:
    delta = np.array([1.0, -2.0, 0.5, 0.0, -0.0], np.float32)
    assert encode("dense", delta, FIVE) == bytes.fromhex("0000803f000000c00000003f0000000000000080")
    assert encode("half", delta, FIVE) == bytes.fromhex("003c00c0003800000080")


@codec
def test_a_decoded_delta_is_ones_own_to_change(name: str) -> None:
    body = encode(name, np.ones(5, np.float32), FIVE)
    delta = decode(name, body, FIVE)
    before = delta.copy()
    delta += 1.0
    assert same_bits(decode(name, body, FIVE), before)


# --- what cannot be encoded ----------------------------------------------------------------------


@codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_encoded(name: str, value: float) -> None:
    delta = np.array([0, 0, value, 0, 0], np.float32)
    with pytest.raises(CodecError) as error:
        encode(name, delta, FIVE)
    assert error.value.reason == "not-finite"


@pytest.mark.parametrize("value", [65520.0, -65520.0, 1e6, 3.4e38])
def test_half_says_what_it_cannot_reach(value: float) -> None:
    delta = np.array([0, 0, value, 0, 0], np.float32)
    with pytest.raises(CodecError, match=r"out-of-range: .* is beyond float16") as error:
        encode("half", delta, FIVE)
    assert error.value.reason == "out-of-range"


def test_half_rounds_down_to_its_largest_number() -> None:
    delta = np.full(5, np.nextafter(np.float32(65520), np.float32(0)), np.float32)
    assert decode("half", encode("half", delta, FIVE), FIVE).tolist() == [65504.0] * 5


@codec
def test_a_delta_of_another_layout_is_our_own_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="vector"):
        encode(name, np.zeros(6, np.float32), FIVE)


def test_an_unknown_codec_is_refused() -> None:
    assert refused("q7", bytes(10)) == "unknown-codec"
    with pytest.raises(CodecError, match="unknown-codec: q7"):
        encode("q7", np.zeros(5, np.float32), FIVE)
    with pytest.raises(CodecError, match="unknown-codec: q7"):
        body_sizes("q7", FIVE)


# --- hostile bodies ------------------------------------------------------------------------------


@codec
@pytest.mark.parametrize("wrong", [1, 2, 4])
def test_a_body_of_another_length_is_refused(name: str, wrong: int) -> None:
    least, most = body_sizes(name, FIVE)
    assert refused(name, bytes(most + wrong)) == "wrong-size"
    assert refused(name, bytes(max(least - wrong, 0))) == "wrong-size"
    assert refused(name, b"") == "wrong-size"


@float_codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_body_with_one_number_that_is_not_finite_is_refused(name: str, value: float) -> None:
    numbers = np.array([0, 0, 0, 0, value], np.float32)
    assert refused(name, numbers.astype({"dense": "<f4", "half": "<f2"}[name]).tobytes()) == (
        "not-finite"
    )


@codec
@properties
@given(st.data())
def test_any_bytes_are_a_finite_delta_or_refused(name: str, data: st.DataObject) -> None:
    least, most = body_sizes(name, FIVE)
    body = data.draw(st.binary(max_size=24) | st.binary(min_size=least, max_size=most))
    try:
        delta = decode(name, body, FIVE)
    except CodecError as error:
        reason = error.reason
    else:
        reason = "decoded"
        assert np.isfinite(delta).all()
        if name in ("dense", "half"):
            assert encode(name, delta, FIVE) == body
    fits = least <= len(body) <= most
    assert reason in (
        ("decoded", "not-finite", "malformed", "wrong-size") if fits else ("wrong-size",)
    )


@codec
@properties
@given(st.data())
def test_one_flipped_bit_is_a_finite_delta_or_refused(name: str, data: st.DataObject) -> None:
    """Close to what an encoder writes, so that what looks at the bytes late is reached as well."""
    body = bytearray(encode(name, normal(PERCEPTRON, 1), PERCEPTRON))
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    body[bit // 8] ^= 1 << bit % 8
    reason = None
    try:
        delta = decode(name, bytes(body), PERCEPTRON)
    except CodecError as error:
        reason = error.reason
    else:
        assert np.isfinite(delta).all()
    assert reason in (None, "not-finite", "malformed", "wrong-size")


# --- memory ---------------------------------------------------------------------------------------


@codec
def test_decoding_takes_little_more_memory_than_the_delta(name: str) -> None:
    layout = flat(1_000_000)
    body = encode(name, normal(layout, 1), layout)
    decode(name, body, layout)  # what is kept of a layout is made now
    tracemalloc.start()
    try:
        delta = decode(name, body, layout)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    unpacked = layout.parameters if "+" in name else 0
    assert peak <= delta.nbytes + 1.1 * unpacked + 1_200_000
