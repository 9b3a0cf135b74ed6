"""One message <-> bytes: what is announced too large is never made room for, and types hold."""

import tracemalloc
from typing import Any

import msgpack
import msgspec
import pytest

from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_request, decode_response, encode_message, pack, unpack
from gossipd.wire.messages import (
    Enter,
    Goodbye,
    Have,
    Hello,
    Manifest,
    Membership,
    Message,
    Offer,
    PeerRecord,
    Ping,
    Pong,
    Refused,
    Request,
    Revocation,
    Revocations,
    RevocationSync,
    StepClaim,
    View,
    ViewSync,
    Want,
    Welcome,
)
from support.wire_examples import DOCUMENTS, MESSAGES

DEEP = 100_000


def refusal(data: bytes, kind: Any = None) -> str:
    """The reason for which `data` is refused as a `kind`, or as any request."""
    with pytest.raises(WireError) as error:
        unpack(data, kind) if kind else decode_request(data)
    return error.value.reason


def fields(name: str) -> dict[str, Any]:
    """An example as a map that can be spoilt and packed again."""
    plain: dict[str, Any] = msgpack.unpackb(pack((MESSAGES | DOCUMENTS)[name]))
    return plain


# --- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_comes_back_as_it_was(name: str) -> None:
    message = MESSAGES[name]
    decode = decode_request if isinstance(message, Request) else decode_response
    assert decode(encode_message(message)) == message


def test_questions_are_no_answers_and_the_other_way_round() -> None:
    for answer in (Pong(), View(), Want(), Refused(code="x")):
        assert refusal(encode_message(answer)) == "malformed"
    for question in (Ping(), ViewSync(), MESSAGES["have"]):
        with pytest.raises(WireError):
            decode_response(encode_message(question))


def test_equal_maps_are_equal_bytes_in_whatever_order_they_were_filled() -> None:
    one, two = b"1" * 8, b"2" * 8
    assert pack(ViewSync(records={one: 1, two: 2})) == pack(ViewSync(records={two: 2, one: 1}))


def test_fields_of_a_newer_minor_version_are_ignored() -> None:
    newer = fields("ping") | {"mood": ["fine", {"since": 3}], "colour": None}
    assert decode_request(msgpack.packb(newer)) == MESSAGES["ping"]
    claim = fields("claim") | {"mood": "fine"}
    assert unpack(msgpack.packb(claim), StepClaim) == DOCUMENTS["claim"]


# --- size ----------------------------------------------------------------------------------------


def test_a_message_above_the_limit_is_refused_unread() -> None:
    assert refusal(b"\xc1" * (limits.MESSAGE_BYTES + 1)) == "too-large"
    assert refusal(b"\xc1" * limits.MESSAGE_BYTES) == "malformed"
    assert refusal(bytes(11), Ping) == "malformed"
    with pytest.raises(WireError, match="too-large: 11 bytes, at most 10"):
        unpack(bytes(11), Ping, longest=10)


def test_a_message_above_the_limit_is_never_made() -> None:
    envelope = bytes(limits.ENVELOPE_BYTES)
    with pytest.raises(ValueError, match=r"Offer of .* exceeds the limit"):
        encode_message(Offer(manifests=(envelope,) * 4))


@pytest.mark.parametrize(
    "header",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xdc" + (limits.TENSORS + 1).to_bytes(2, "big"),
        b"\xde" + (limits.AUTHORS + 1).to_bytes(2, "big"),
        b"\xc6" + (limits.ENVELOPE_BYTES + 1).to_bytes(4, "big"),
        b"\xdb" + (limits.TEXT_BYTES + 1).to_bytes(4, "big"),
    ],
    ids=["array", "map", "bin", "str", "ext", "array+1", "map+1", "bin+1", "str+1"],
)
def test_what_is_announced_above_the_limits_is_refused(header: bytes) -> None:
    assert refusal(header) == "malformed"
    # Just so in a field that would be ignored, and with some of the bytes that were announced.
    assert refusal(b"\x82\xa1t\xa4ping\xa1x" + header) == "malformed"
    assert refusal(b"\x82\xa1t\xa4ping\xa1x" + header + bytes(300_000)) == "malformed"


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf"], ids=["array", "map"])
def test_announcing_much_takes_little_memory(header: bytes) -> None:
    """As many items as may be announced, inside each other, in five bytes per level."""
    is_map = header == b"\xdf"
    most = limits.AUTHORS if is_map else limits.TENSORS
    bomb = (header + most.to_bytes(4, "big") + b"\xa1x" * is_map) * 2000
    tracemalloc.start()
    try:
        assert refusal(bomb) == "malformed"
        assert tracemalloc.get_traced_memory()[1] < 48 * limits.MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [b"\x91" * DEEP, b"\x81\xa1x" * DEEP, b"\x91" * DEEP + b"\xc0", b"\xdc\x10\x00" * 2000],
)
def test_deep_nesting_is_refused(data: bytes) -> None:
    assert refusal(data) == "malformed"
    assert refusal(b"\x82\xa1t\xa4ping\xa1x" + data) == "malformed"


# --- shape ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x80",
        b"\x90",
        b"\xa1\xff",
        b"\x01",
        b"\x81\xa1t",
        b"\x81\xa1t\x01",
        b"\x81\xa1t\xa5shout",
        b"\x81\xa1t\xc4\x04ping",
        b"\x81\xa1T\xa4ping",
        b"\x81\xc4\x01t\xa4ping",
        b"\x81\xa1t\xa4ping\x00",
        b"\x81\xa1t\xa4ping\x81\xa1t\xa4ping",
        b"\x91\x81\xa1t\xa4ping",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    assert refusal(data) == "malformed"


@pytest.mark.parametrize(
    "key", [b"\x01", b"\xc0", b"\xc2", b"\xcb" + bytes(8), b"\x90", b"\x80"], ids=repr
)
def test_keys_are_text_or_bytes(key: bytes) -> None:
    assert refusal(b"\x82\xa1t\xa4ping" + key + b"\x01") == "malformed"


@pytest.mark.parametrize(
    "extension",
    [
        b"\xd4\x05\x00",
        b"\xd8\x05" + bytes(16),
        b"\xc7\x00\x05",
        b"\xc7\x01\x05\x00",
        b"\xd6\xff" + bytes(4),
        b"\xc7\x00\xff",
        b"\xc7\x0c\xff" + bytes(12),
    ],
    ids=["fixext1", "fixext16", "empty", "ext8", "timestamp", "no-timestamp", "timestamp96"],
)
def test_nothing_is_made_of_extension_types(extension: bytes) -> None:
    """Refused in every field that is known; skipped unread, as anything, in one that is not."""
    assert refusal(b"\x82\xa1t\xa4ping\xa3est" + extension) == "malformed"
    assert refusal(b"\x82\xa1t\xa9view_sync\xa3sum" + extension) == "malformed"
    assert decode_request(b"\x82\xa1t\xa4ping\xa1x" + extension) == Ping()


# --- types and bounds of fields ------------------------------------------------------------------

D, B = bytes(32), bytes
NAN, INF = float("nan"), float("inf")
SPOILT: list[tuple[type[Any], str, str, list[Any]]] = [
    (Hello, "hello", "version", [-1, 2**53 + 1, 2**64 - 1, 1.0, "1", True, None]),
    (Hello, "hello", "swarm", [B(31), B(33), "A" * 44, None, [0] * 32]),
    (Hello, "hello", "genesis", [B(31), B(33), 5]),
    (Hello, "hello", "membership", [B(limits.ENVELOPE_BYTES + 1), "QUJD"]),
    (Hello, "hello", "agent", ["x" * 129, b"x", None]),
    (Refused, "refused", "code", ["x" * 65, 5]),
    (Refused, "refused", "reason", ["x" * 513]),
    (Ping, "ping", "est", [-1, 2**53 + 1, 5.0, "5", True]),
    (Pong, "pong", "unavailable", [0, 1, "true", None]),
    (ViewSync, "view-sync", "records", [{"a" * 8: 1}, {B(7): 1}, {B(9): 1}, {B(8): -1}, []]),
    (ViewSync, "view-sync", "only", [[B(7)], B(8), ["A" * 12]]),
    (
        View,
        "view",
        "records",
        [[B(limits.ENVELOPE_BYTES + 1)], ["A"], [b""] * (limits.RECORDS_PER_MESSAGE + 1)],
    ),
    (View, "view", "claims", [[b""] * 4097]),
    (Offer, "offer", "manifests", [[b""] * (limits.MANIFESTS_PER_OFFER + 1), b""]),
    (Want, "want", "updates", [[D] * (limits.MANIFESTS_PER_OFFER + 1), [B(31)]]),
    (Have, "have", "lineage", [None, {B(8): 2**53 + 1}, {B(8): 1.0}]),
    (Have, "have", "role", ["heads", b"head", 0]),
    (Goodbye, "goodbye", "reason", ["x" * 513, "x" * 5000]),
    (PeerRecord, "record", "addresses", [["/ip4"] * 9, ["x" * 257], "abc", [b"/ip4"]]),
    (PeerRecord, "record", "class_counts", [[1] * 4097, [-1], [0.5], {}]),
    (PeerRecord, "record", "event", ["join ", "JOIN", 1]),
    (PeerRecord, "record", "examples", [-1, NAN]),
    (StepClaim, "claim", "steps", [-1, 2**53 + 1, NAN, None]),
    (Manifest, "manifest", "reference", [B(3), B(33), "zero"]),
    (Manifest, "manifest", "kind", ["deltas", None]),
    (Manifest, "manifest", "codec", ["x" * 33]),
    (Manifest, "manifest", "parameters", [0, limits.PARAMETERS + 1]),
    (Manifest, "manifest", "variances", [[NAN], [INF], [-INF], [1e39], ["1"], [0.0] * 4097]),
    (Manifest, "manifest", "loss", [NAN, INF, -INF, 1e39, "1"]),
    (Manifest, "manifest", "accuracy", [NAN, INF, -INF, -0.01, 1.01, "1"]),
    (Manifest, "manifest", "created", [NAN, INF, -INF, -1.0, 1e10]),
    (Manifest, "manifest", "tags", [["x" * 65], ["x"] * 17]),
    (Manifest, "manifest-titled", "title", ["x" * 129, None, b"x"]),
    (Manifest, "manifest-titled", "licence", ["x" * 65, None, b"x"]),
    (Manifest, "manifest", "body_size", [0, limits.BODY_BYTES + 1]),
    (Manifest, "manifest", "chunks", [[], [B(31)], [D] * 1025]),
    (Manifest, "manifest", "base", [B(31), ""]),
    (PeerRecord, "record-member", "membership", ["x", None, B(limits.MEMBERSHIP_BYTES + 1)]),
    (Membership, "membership", "nonce", [B(31), B(33), "x" * 32]),
    (Membership, "membership", "member", ["", "x" * 65, b"x"]),
    (Membership, "membership", "serial", [-1, 2**53 + 1, 1.5]),
    (Membership, "membership", "not_after", [-1, 2**53 + 1, 1.5]),
    (Membership, "membership", "name", ["x" * 65, b"x"]),
    (Revocation, "revocation", "serial", [-1, 2**53 + 1, None]),
    (Enter, "enter", "proof", [B(63), B(65), "x" * 64]),
    (Enter, "enter", "invitation", [B(limits.MEMBERSHIP_BYTES + 1), None]),
    (Welcome, "welcome", "description", [B(limits.DESCRIPTION_BYTES + 1), "x", None]),
    (RevocationSync, "revocation-sync", "known", [{"": 1}, {"x": -1}, {b"x": 1}]),
    (Revocations, "revocations", "revocations", [[B(limits.MEMBERSHIP_BYTES + 1)], [B(9)] * 513]),
]


@pytest.mark.parametrize(
    ("kind", "name", "field", "value"),
    [(kind, name, field, value) for kind, name, field, values in SPOILT for value in values],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_field_out_of_its_bounds_is_refused(
    kind: type[Any], name: str, field: str, value: Any
) -> None:
    plain = fields(name)
    assert field in plain
    assert unpack(msgpack.packb(plain), kind) == (MESSAGES | DOCUMENTS)[name]
    assert refusal(msgpack.packb(plain | {field: value}), kind) == "malformed"


@pytest.mark.parametrize("name", [*MESSAGES, *DOCUMENTS])
def test_a_missing_field_gets_its_default_or_is_refused(name: str) -> None:
    example = (MESSAGES | DOCUMENTS)[name]
    for field in msgspec.structs.fields(example):
        plain = fields(name)
        if isinstance(plain, list):  # what is missing of an array is missing at its end
            del plain[type(example).__struct_fields__.index(field.name) :]
        else:
            plain.pop(field.name, None)  # one that is not set is not written
        data = msgpack.packb(plain)
        if field.required:
            assert refusal(data, type(example)) == "malformed"
        else:
            default = (
                field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            )
            assert getattr(unpack(data, type(example)), field.name) == default


def test_every_message_has_a_type_of_its_own() -> None:
    tags = {type(message).__struct_config__.tag for message in MESSAGES.values()}
    assert len(tags) == len({type(message) for message in MESSAGES.values()})
    assert all(isinstance(message, Message) for message in MESSAGES.values())
