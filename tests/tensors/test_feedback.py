"""Both ends of a link hold the same, what was left out arrives later, damaged state is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.codecs import CodecError, decode
from gossipd.tensors.feedback import Estimate, Residual, nothing
from gossipd.tensors.layout import Vector
from support.properties import properties
from support.vectors import flat, normal, same_bits

LAYOUT = flat(500)
OTHER = flat(501)
REMEMBERED = pytest.mark.parametrize("kind", [Estimate, Residual])


def off(estimate: Estimate, target: Vector) -> float:
    return float(np.linalg.norm(estimate.vector - target) / np.linalg.norm(target))


# --- the shared estimate --------------------------------------------------------------------------


def test_an_estimate_reaches_what_stays() -> None:
    target, held = normal(LAYOUT, 1), Estimate(nothing(LAYOUT))
    distances = []
    for _ in range(60):
        _, held = held.send("topk", target, LAYOUT)
        distances.append(off(held, target))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.9
    assert distances[-1] < 0.01


def test_an_estimate_follows_what_moves() -> None:
    """Without memory the same bytes leave nearly everything out, for ever."""
    target, held = normal(LAYOUT, 1), Estimate(nothing(LAYOUT))
    for step in range(200):
        target = target + normal(LAYOUT, 100 + step, scale=0.01)
        _, held = held.send("topk", target, LAYOUT)
    assert off(held, target) < 0.15


@pytest.mark.parametrize("codec", ["topk", "q2", "q8", "half"])
def test_both_ends_stand_at_the_same_bits(codec: str) -> None:
    sender = receiver = Estimate(nothing(LAYOUT))
    for step in range(10):
        body, sender = sender.send(codec, normal(LAYOUT, step), LAYOUT, seed=step)
        receiver = receiver.receive(codec, body, LAYOUT)
        assert receiver.id == sender.id
        assert same_bits(receiver.vector, sender.vector)


def test_a_lost_answer_is_noticed_by_the_name_and_a_full_send_begins_again() -> None:
    start = Estimate(nothing(LAYOUT))
    body, after = start.send("topk", normal(LAYOUT, 1), LAYOUT)
    received = start.receive("topk", body, LAYOUT)
    # The answer is lost: the sender stays where it was, the receiver has gone on.
    assert start.id != received.id == after.id
    body, again = start.send("q8", normal(LAYOUT, 2), LAYOUT)
    assert Estimate(nothing(LAYOUT)).receive("q8", body, LAYOUT).id == again.id
    assert off(again, normal(LAYOUT, 2)) < 0.02


def test_a_step_leaves_the_estimate_before_it_alone() -> None:
    held = Estimate(normal(LAYOUT, 1))
    before = held.vector.copy()
    body, _ = held.send("topk", normal(LAYOUT, 2), LAYOUT)
    held.receive("topk", body, LAYOUT)
    assert same_bits(held.vector, before)


def test_an_estimate_that_overflows_is_refused() -> None:
    huge = np.full(LAYOUT.parameters, 3e38, np.float32)
    body, _ = Estimate(nothing(LAYOUT)).send("dense", huge, LAYOUT)
    with pytest.raises(CodecError, match="not-finite"):
        Estimate(huge).receive("dense", body, LAYOUT)
    with pytest.raises(CodecError, match="not-finite"):
        Estimate(-huge).send("dense", huge, LAYOUT)


# --- the sender's residual ------------------------------------------------------------------------


def test_what_was_left_out_is_sent_later() -> None:
    """All that arrived and what is left is all that was to be sent."""
    left, sent, arrived = Residual(nothing(LAYOUT)), np.zeros(500), np.zeros(500)
    for step in range(30):
        delta = normal(LAYOUT, step)
        body, left = left.send("topk", delta, LAYOUT)
        sent += delta
        arrived += decode("topk", body, LAYOUT)
    np.testing.assert_allclose(arrived + left.vector, sent, atol=1e-4)


def test_a_small_number_that_comes_again_and_again_arrives() -> None:
    delta = normal(LAYOUT, 1)
    delta[7] = 0.05
    left, arrived = Residual(nothing(LAYOUT)), 0.0
    for _ in range(1000):
        body, left = left.send("topk", delta, LAYOUT)
        arrived += decode("topk", body, LAYOUT)[7]
    assert arrived / 1000 == pytest.approx(0.05, rel=0.4)


def test_a_residual_that_overflows_is_refused() -> None:
    huge = np.full(LAYOUT.parameters, 3e38, np.float32)
    with pytest.raises(CodecError, match="not-finite"):
        Residual(huge).send("topk", huge, LAYOUT)


# --- over a restart -------------------------------------------------------------------------------


@REMEMBERED
def test_state_survives(kind: type[Estimate] | type[Residual]) -> None:
    held = kind(normal(LAYOUT, 1))
    assert same_bits(kind.from_bytes(held.to_bytes(), LAYOUT).vector, held.vector)


@REMEMBERED
@properties
@given(st.data())
def test_damaged_state_is_refused(
    kind: type[Estimate] | type[Residual], data: st.DataObject
) -> None:
    state = bytearray(kind(normal(LAYOUT, 1)).to_bytes())
    state[data.draw(st.integers(0, len(state) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CodecError) as error:
        kind.from_bytes(bytes(state), LAYOUT)
    assert error.value.reason in ("malformed", "not-finite")


@REMEMBERED
@pytest.mark.parametrize("length", [0, 10, 32, 2000, 2036])
def test_state_of_another_length_is_refused(
    kind: type[Estimate] | type[Residual], length: int
) -> None:
    with pytest.raises(CodecError, match="wrong-size"):
        kind.from_bytes(bytes(length), LAYOUT)
    with pytest.raises(CodecError, match="wrong-size"):
        kind.from_bytes(kind(nothing(OTHER)).to_bytes(), LAYOUT)
