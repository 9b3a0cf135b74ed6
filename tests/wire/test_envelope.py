"""What is relayed is believed for its author's signature alone, in its own swarm and type alone."""

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from msgspec.structs import replace

from gossipd.wire import limits
from gossipd.wire.envelope import open_claim, open_manifest, open_record, seal
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Manifest
from support.wire_examples import DOCUMENTS, ENVELOPES, PEER_ID, SIGNER, SWARM

Open = Callable[[bytes, bytes], Any]
OPEN: dict[str, Open] = {"record": open_record, "claim": open_claim, "manifest": open_manifest}
OTHER_SWARM = bytes(32)
VERSION, TYPE, PAYLOAD, KEY, SIGNATURE = range(5)

each_type = pytest.mark.parametrize("name", OPEN)


def refusal(open_: Open, envelope: bytes, swarm: bytes = SWARM) -> str:
    with pytest.raises(WireError) as error:
        open_(envelope, swarm)
    return error.value.reason


def changed(envelope: bytes, index: int, value: Any) -> bytes:
    fields = msgpack.unpackb(envelope)
    fields[index] = value
    packed: bytes = msgpack.packb(fields)
    return packed


# --- what holds ----------------------------------------------------------------------------------


@each_type
def test_a_sealed_document_names_its_author(name: str) -> None:
    envelope = seal(DOCUMENTS[name], SWARM, SIGNER)
    opened = OPEN[name](envelope, SWARM)
    assert opened.author == PEER_ID
    assert opened.envelope == envelope
    assert getattr(opened, name) == DOCUMENTS[name]


def test_an_updates_id_is_the_digest_of_what_was_signed() -> None:
    update = open_manifest(ENVELOPES["manifest"], SWARM)
    assert update.id == digest(pack(DOCUMENTS["manifest"]))


def test_the_signature_covers_protocol_type_swarm_and_payload() -> None:
    signed: list[bytes] = []

    def sign(data: bytes) -> bytes:
        signed.append(data)
        return bytes(64)

    seal(DOCUMENTS["claim"], SWARM, SIGNER._replace(sign=sign))
    assert signed == [b"gossipd/1/claim\x00" + SWARM + pack(DOCUMENTS["claim"])]


# --- what does not -------------------------------------------------------------------------------


@each_type
def test_one_bit_flipped_anywhere_is_refused(name: str) -> None:
    envelope = ENVELOPES[name]
    reasons = set()
    for bit in range(8 * len(envelope)):
        broken = bytearray(envelope)
        broken[bit // 8] ^= 1 << bit % 8
        reasons.add(refusal(OPEN[name], bytes(broken)))
    expected = {"malformed", "version", "bad-signature"}
    assert reasons == expected | ({"foreign-swarm"} if name == "manifest" else set())


@each_type
def test_every_shorter_and_longer_envelope_is_refused(name: str) -> None:
    envelope = ENVELOPES[name]
    for end in range(len(envelope)):
        assert refusal(OPEN[name], envelope[:end]) == "malformed"
    assert refusal(OPEN[name], envelope + b"\x00") == "malformed"


@pytest.mark.parametrize("name", ["record", "claim"])
def test_a_document_of_another_swarm_has_a_bad_signature(name: str) -> None:
    assert refusal(OPEN[name], ENVELOPES[name], OTHER_SWARM) == "bad-signature"


def test_a_manifest_of_another_swarm_is_called_foreign() -> None:
    assert refusal(open_manifest, ENVELOPES["manifest"], OTHER_SWARM) == "foreign-swarm"


def test_a_manifest_that_names_this_swarm_but_was_signed_in_another_is_refused() -> None:
    envelope = seal(DOCUMENTS["manifest"], OTHER_SWARM, SIGNER)
    assert refusal(open_manifest, envelope) == "bad-signature"


def test_one_type_is_never_taken_for_another() -> None:
    for sealed in OPEN:
        for opened in OPEN.keys() - {sealed}:
            assert refusal(OPEN[opened], ENVELOPES[sealed]) == "malformed"
            # With the type rewritten, the payload or the signature tells.
            renamed = changed(ENVELOPES[sealed], TYPE, opened)
            assert refusal(OPEN[opened], renamed) in ("malformed", "bad-signature")


def test_a_record_does_not_pass_for_a_claim_even_where_its_fields_would() -> None:
    record = DOCUMENTS["record"]
    payload = msgpack.packb(msgpack.unpackb(pack(record)) | {"steps": 10**6})
    data = b"gossipd/1/record\x00" + SWARM + payload
    envelope = msgpack.packb([1, "claim", payload, SIGNER.public_key, SIGNER.sign(data)])
    assert refusal(open_claim, envelope) == "bad-signature"


def test_another_major_version_is_refused_by_name() -> None:
    for version in (0, 2, 2**31):
        assert refusal(open_claim, changed(ENVELOPES["claim"], VERSION, version)) == "version"


def test_somebody_elses_key_under_the_signature_is_refused() -> None:
    assert refusal(open_claim, changed(ENVELOPES["claim"], KEY, bytes(range(1, 33)))) == (
        "bad-signature"
    )


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (VERSION, "1"),
        (VERSION, True),
        (VERSION, None),
        (TYPE, "x" * 33),
        (TYPE, b"claim"),
        (PAYLOAD, "text"),
        (PAYLOAD, b""),
        (PAYLOAD, b"\x80"),
        (PAYLOAD, b"\x81\xa1"),
        (KEY, bytes(31)),
        (KEY, bytes(33)),
        (SIGNATURE, bytes(63)),
        (SIGNATURE, "A" * 88),
    ],
)
def test_a_field_that_is_not_what_it_must_be_is_refused(index: int, value: Any) -> None:
    assert refusal(open_claim, changed(ENVELOPES["claim"], index, value)) == "malformed"


def test_an_envelope_has_five_fields() -> None:
    fields = msgpack.unpackb(ENVELOPES["claim"])
    assert refusal(open_claim, msgpack.packb(fields[:4])) == "malformed"
    assert refusal(open_claim, msgpack.packb([*fields, b""])) == "malformed"
    assert refusal(open_claim, msgpack.packb({})) == "malformed"


def test_a_manifest_has_one_hash_for_each_chunk_of_its_body() -> None:
    manifest = DOCUMENTS["manifest"]
    assert isinstance(manifest, Manifest)
    chunk = limits.CHUNK_BYTES
    for size, fits in (
        (chunk, False),
        (chunk + 1, True),
        (2 * chunk, True),
        (2 * chunk + 1, False),
    ):
        envelope = seal(replace(manifest, body_size=size), SWARM, SIGNER)
        if fits:
            assert open_manifest(envelope, SWARM).manifest.body_size == size
        else:
            assert refusal(open_manifest, envelope) == "bad-chunks"


# --- size ----------------------------------------------------------------------------------------


def test_an_envelope_above_the_limit_is_refused_unread() -> None:
    assert refusal(open_claim, bytes(limits.ENVELOPE_BYTES + 1)) == "too-large"


def test_an_envelope_above_the_limit_is_never_made() -> None:
    manifest = DOCUMENTS["manifest"]
    assert isinstance(manifest, Manifest)
    with pytest.raises(ValueError, match="envelope limit"):
        seal(replace(manifest, variances=(0.5,) * 50_000), SWARM, SIGNER)


def test_the_largest_manifest_that_its_limits_allow_fits_into_an_envelope() -> None:
    manifest = DOCUMENTS["manifest"]
    assert isinstance(manifest, Manifest)
    largest = replace(
        manifest,
        codec="c" * 32,
        reference=bytes(32),
        variances=(0.1,) * limits.TENSORS,
        lineage={n.to_bytes(8, "big"): limits.COUNTER for n in range(limits.AUTHORS)},
        class_counts=(limits.COUNTER,) * limits.CLASSES,
        tags=("ü" * limits.TAG_TEXT,) * limits.TAGS,
        title="ü" * limits.TITLE_TEXT,
        licence="ü" * limits.LICENCE_TEXT,
        body_size=limits.BODY_BYTES,
        chunks=(bytes(32),) * limits.CHUNKS,
    )
    assert open_manifest(seal(largest, SWARM, SIGNER), SWARM).manifest == largest
