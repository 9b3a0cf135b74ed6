"""Whatever bytes arrive, what comes of them is a WireError or a valid object, and nothing else."""

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.wire.envelope import (
    open_claim,
    open_manifest,
    open_membership,
    open_record,
    open_revocation,
    open_sheet,
    swarm_of_membership,
)
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_request, decode_response, encode_message, pack, unpack
from gossipd.wire.messages import Manifest, Membership, PeerRecord, StepClaim
from support.properties import properties
from support.wire_examples import CLOSED, GOLDEN, SWARM

Reader = Callable[[bytes], Any]

READERS: dict[str, Reader] = {
    "request": decode_request,
    "response": decode_response,
    "record": lambda data: open_record(data, SWARM).record,
    "claim": lambda data: open_claim(data, SWARM).claim,
    "manifest": lambda data: open_manifest(data, SWARM).manifest,
    "record of a member": lambda data: open_record(data, CLOSED).record,
    "membership": lambda data: open_membership(data, CLOSED).membership,
    "revocation": lambda data: open_revocation(data, CLOSED).revocation,
    "clicks": lambda data: open_sheet(data, SWARM).sheet,
    "swarm of a membership": swarm_of_membership,
    "membership payload": lambda data: unpack(data, Membership),
    "record payload": lambda data: unpack(data, PeerRecord),
    "claim payload": lambda data: unpack(data, StepClaim),
    "manifest payload": lambda data: unpack(data, Manifest),
}
REASONS = {
    "malformed",
    "too-large",
    "version",
    "bad-signature",
    "foreign-swarm",
    "bad-chunks",
    "forged-membership",
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=9) | st.binary(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


def assert_understood_or_refused(data: bytes) -> None:
    for reader in READERS.values():
        try:
            got = reader(data)
        except WireError as error:
            reason = error.reason
        else:
            # What was understood can be said again, and is then the same.
            reason = "understood"
            assert reader(data) == got
            assert unpack(pack(got), type(got)) == got
        assert reason in REASONS | {"understood"}


@properties
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    assert_understood_or_refused(data)


@properties
@given(values)
def test_arbitrary_msgpack(value: Any) -> None:
    assert_understood_or_refused(msgpack.packb(value))


@properties
@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_valid_bytes_with_a_piece_replaced(name: str, data: st.DataObject) -> None:
    original = GOLDEN[name]
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 40)))
    piece = data.draw(st.binary(max_size=40))
    assert_understood_or_refused(original[:start] + piece + original[end:])


@properties
@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_valid_messages_with_a_value_replaced(name: str, data: st.DataObject) -> None:
    plain = msgpack.unpackb(GOLDEN[name])
    keys = list(plain) if isinstance(plain, dict) else list(range(len(plain)))
    for key in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3)):
        plain[key] = data.draw(values)
    assert_understood_or_refused(msgpack.packb(plain))


@pytest.mark.parametrize("name", GOLDEN)
def test_valid_bytes_cut_short(name: str) -> None:
    for end in range(len(GOLDEN[name])):
        assert_understood_or_refused(GOLDEN[name][:end])


@pytest.mark.parametrize("name", sorted(name for name in GOLDEN if name.startswith("message-")))
def test_valid_messages_with_one_bit_flipped(name: str) -> None:
    """A flipped bit may make another valid message; never anything else."""
    for bit in range(8 * len(GOLDEN[name])):
        broken = bytearray(GOLDEN[name])
        broken[bit // 8] ^= 1 << bit % 8
        for decode in (decode_request, decode_response):
            try:
                message = decode(bytes(broken))
            except WireError:
                continue
            assert decode(encode_message(message)) == message
