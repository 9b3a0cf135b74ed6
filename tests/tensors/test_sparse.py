"""The largest numbers arrive within their bound, the others not at all; nothing else is read."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.codec import CodecError
from gossipd.tensors.layout import Layout, Vector
from gossipd.tensors.packing import SortedPositions
from gossipd.tensors.sparse import SAMPLE, TopK, largest
from support.properties import properties
from support.vectors import any_layout, finite, flat, normal, same_bits

FIFTH = TopK(5)
HUNDRED = flat(100)


def through(codec: TopK, delta: Vector, layout: Layout) -> Vector:
    return codec.decode(codec.encode(delta, layout, 0), layout)


def by_sorting(vector: Vector, count: int) -> list[int]:
    return sorted(np.argsort(-np.abs(vector), kind="stable")[:count].tolist())


def refused(body: bytes) -> str:
    with pytest.raises(CodecError) as error:
        FIFTH.decode(body, HUNDRED)
    return error.value.reason


# --- which are kept -------------------------------------------------------------------------------


@properties
@given(st.data())
def test_the_largest_are_found_and_of_equals_the_first(data: st.DataObject) -> None:
    few = st.sampled_from([0.0, 1.0, -1.0, 2.0, -2.0, 3.0])
    numbers = data.draw(st.lists(few, min_size=1, max_size=40))
    count = data.draw(st.integers(1, len(numbers)))
    vector = np.array(numbers, np.float32)
    assert largest(vector, count).tolist() == by_sorting(vector, count)


@pytest.mark.parametrize("shape", ["normal", "constant", "rising", "periodic", "few"])
@pytest.mark.parametrize("count", [1, 3000, 150_000, 290_000])
def test_long_vectors_are_not_sorted_and_yet_it_is_the_same(shape: str, count: int) -> None:
    size = 4 * SAMPLE + 37_856
    vector = {
        "normal": normal(flat(size), 1),
        "constant": np.ones(size, np.float32),
        "rising": np.arange(size, dtype=np.float32),
        # What the sample sees is smaller than all the rest, or larger.
        "periodic": np.where(np.arange(size) % 4 == 0, 0.1, 1.0).astype(np.float32),
        "few": np.where(np.arange(size) % 50_001 == 1, 5.0, 0.0).astype(np.float32),
    }[shape]
    assert largest(vector, count).tolist() == by_sorting(vector, count)


@properties
@given(st.data())
def test_the_bound_is_kept(data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    delta = data.draw(finite(layout.parameters, largest=1e30))
    decoded = through(FIFTH, delta, layout).astype(np.float64)
    kept = by_sorting(delta, -(-layout.parameters // 5))
    dropped = np.setdiff1d(np.arange(delta.size), kept)
    assert (decoded[dropped] == 0).all()
    exact = delta[kept].astype(np.float64)
    step = np.abs(exact).max() / 127
    # Below 2**-100 a scale is 0.
    assert (np.abs(decoded[kept] - exact) <= max(step, 127 * 2.0**-100)).all()


def test_kept_numbers_are_rounded_to_the_nearest_but_never_to_nothing() -> None:
    delta = np.zeros(100, np.float32)
    delta[:20] = [127, 64.4, -64.6, 0.3, -1e-6, 0.0, *[2.0] * 14]
    decoded = through(FIFTH, delta, HUNDRED)
    assert decoded[:20].tolist() == [127, 64, -65, 1, -1, 0, *[2.0] * 14]


@properties
@given(finite(100, largest=1e30))
def test_it_contracts(delta: Vector) -> None:
    """What error feedback asks of a codec: less is left than there was."""
    exact = delta.astype(np.float64)
    left = np.linalg.norm(through(FIFTH, delta, HUNDRED) - exact)
    whole = np.linalg.norm(exact)
    assert left <= math.sqrt(0.8) * whole + math.sqrt(20) * np.abs(exact).max() / 127 + 1e-27


def test_each_256_kept_numbers_have_a_scale_of_their_own() -> None:
    layout = flat(5 * 1024)
    sizes = np.repeat([1.0, 1e3, 1e6, 1e9], 256 * 5)
    delta = (normal(layout, 1) + 10).astype(np.float32) * sizes.astype(np.float32)
    delta[np.arange(layout.parameters) % 5 != 0] = 0
    decoded = through(FIFTH, delta, layout)
    off = np.abs(decoded - delta)[::5] / delta[::5]
    assert off.max() < 0.01


def test_what_was_decoded_is_encoded_to_the_same_bytes() -> None:
    body = FIFTH.encode(normal(HUNDRED, 1), HUNDRED, 0)
    assert FIFTH.encode(FIFTH.decode(body, HUNDRED), HUNDRED, 0) == body


def test_bytes_are_as_written_down() -> None:
    """20 of 100: two low bits of each position in planes, the rest's gaps, the scale, codes."""
    delta = np.zeros(100, np.float32)
    delta[5:25] = 127
    positions = "555505666606eebdf7020000"
    assert FIFTH.encode(delta, HUNDRED, 0).hex() == positions + "0000803f" + "7f" * 20


# --- hostile bytes --------------------------------------------------------------------------------


def test_a_number_of_eight_bits_that_no_encoder_writes_is_refused() -> None:
    body = bytearray(FIFTH.encode(normal(HUNDRED, 1), HUNDRED, 0))
    body[-1] = 0x80
    assert refused(bytes(body)) == "malformed"


def test_a_scale_that_is_not_finite_is_refused() -> None:
    body = bytearray(FIFTH.encode(normal(HUNDRED, 1), HUNDRED, 0))
    body[-24:-20] = np.float32(np.nan).tobytes()
    assert refused(bytes(body)) == "not-finite"


def test_positions_of_the_wrong_number_are_refused() -> None:
    size = FIFTH.sizes(HUNDRED).most
    assert refused(bytes(size)) == "malformed"
    assert refused(b"\xff" * size) == "malformed"


# --- sorted positions -----------------------------------------------------------------------------


@properties
@given(st.data())
def test_positions_come_back_and_their_code_has_its_length(data: st.DataObject) -> None:
    universe = data.draw(st.integers(1, 2000))
    chosen = data.draw(st.sets(st.integers(0, universe - 1), min_size=1, max_size=60))
    positions = np.array(sorted(chosen), np.int64)
    code = SortedPositions(len(chosen), universe)
    body = code.pack(positions)
    assert len(body) == code.size
    assert code.unpack(body).tolist() == positions.tolist()


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.3, 1.0])
def test_positions_cost_little_more_than_their_entropy(share: float) -> None:
    universe = 200_000
    count = round(share * universe)
    bits = 8 * SortedPositions(count, universe).size / count
    assert bits <= 2 - math.log2(share) + 0.1
    if share <= 0.05:
        entropy = -math.log2(share) - (1 - share) / share * math.log2(1 - share)
        assert bits <= entropy + 0.6


@properties
@given(st.data())
def test_any_bytes_are_rising_positions_or_refused(data: st.DataObject) -> None:
    universe = data.draw(st.integers(1, 60))
    code = SortedPositions(data.draw(st.integers(1, min(universe, 8))), universe)
    body = data.draw(st.binary(min_size=code.size, max_size=code.size))
    reason = None
    try:
        positions = code.unpack(body)
    except CodecError as error:
        reason = error.reason
    else:
        assert code.pack(positions) == body
        assert positions[0] >= 0
        assert positions[-1] < universe
        assert (np.diff(positions) > 0).all()
    assert reason in (None, "malformed")


def test_a_huge_delta_is_not_too_much() -> None:
    layout = flat(1_000_003)
    delta = normal(layout, 2)
    codec = TopK(100)
    decoded = through(codec, delta, layout)
    assert np.count_nonzero(decoded) == 10_001
    assert same_bits(decoded, through(codec, delta, layout))
