"""What is relayed is signed: msgpack [version, type, payload, public key, signature].

The Ed25519 signature covers "gossipd/1/" || type || 0x00 || swarm id || payload, so a document of
one type or swarm can never be taken for one of another. Whoever carries an envelope passes on the
author's signature unchanged.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import UNSET, Meta, Struct

from gossipd.wire import limits
from gossipd.wire.clicks import ClickSheet, SignedSheet
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack, unpack
from gossipd.wire.identifiers import closed_swarm, digest, peer_id_of, public_key_of
from gossipd.wire.messages import (
    VERSION,
    Document,
    Invitation,
    Manifest,
    Membership,
    Participation,
    PeerRecord,
    Revocation,
    Sample,
    SignedClaim,
    SignedInvitation,
    SignedMembership,
    SignedParticipation,
    SignedRecord,
    SignedRevocation,
    SignedSample,
    StepClaim,
    Update,
)

_TYPES: dict[type[Document], str] = {
    PeerRecord: "record",
    StepClaim: "claim",
    Manifest: "manifest",
    Sample: "sample",
    Participation: "participation",
    Membership: "membership",
    Revocation: "revocation",
    ClickSheet: "clicks",
    Invitation: "invitation",
}

_LONGEST: dict[type[Document], int] = {
    PeerRecord: limits.RECORD_BYTES,
    StepClaim: limits.CLAIM_BYTES,
    Manifest: limits.ENVELOPE_BYTES,
    Sample: limits.ENVELOPE_BYTES,
    Participation: limits.CLAIM_BYTES,
    Membership: limits.MEMBERSHIP_BYTES,
    Revocation: limits.MEMBERSHIP_BYTES,
    ClickSheet: limits.SHEET_BYTES,
    Invitation: limits.MEMBERSHIP_BYTES,
}

D = TypeVar(
    "D",
    PeerRecord,
    StepClaim,
    Manifest,
    Sample,
    Participation,
    Membership,
    Revocation,
    ClickSheet,
    Invitation,
)
F = TypeVar("F", Membership, Revocation, Invitation)


class Signer(NamedTuple):
    """Whoever holds the private key: its public half and a way to sign."""

    public_key: bytes
    sign: Callable[[bytes], bytes]


class _Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    type: Annotated[str, Meta(max_length=32)]
    payload: bytes
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


def seal(document: Document, swarm: bytes, signer: Signer) -> bytes:
    """The signed envelope of a document."""
    kind = _TYPES[type(document)]
    payload = pack(document)
    signature = signer.sign(_signed_bytes(kind, swarm, payload))
    envelope = pack(_Envelope(VERSION, kind, payload, signer.public_key, signature))
    if len(envelope) > _LONGEST[type(document)]:
        raise ValueError(f"{kind} of {len(envelope)} bytes exceeds the envelope limit")
    return envelope


def open_record(envelope: bytes, swarm: bytes) -> SignedRecord:
    """Also WireError "forged-membership" for one in the record that is not its author's."""
    author, record, _ = _open(envelope, swarm, PeerRecord)
    if record.membership is UNSET:
        return SignedRecord(author, record, envelope)
    membership = open_membership(record.membership, swarm)
    if membership.membership.member != author:
        raise WireError("forged-membership", f"not that of {author}")
    return SignedRecord(author, record, envelope, membership)


def open_claim(envelope: bytes, swarm: bytes) -> SignedClaim:
    author, claim, _ = _open(envelope, swarm, StepClaim)
    return SignedClaim(author, claim, envelope)


def open_sample(envelope: bytes, swarm: bytes) -> SignedSample:
    author, sample, payload = _open(envelope, swarm, Sample)
    return SignedSample(digest(payload), author, sample, envelope)


def open_participation(envelope: bytes, swarm: bytes) -> SignedParticipation:
    author, participation, _ = _open(envelope, swarm, Participation)
    return SignedParticipation(author, participation, envelope)


def open_sheet(envelope: bytes, swarm: bytes) -> SignedSheet:
    author, sheet, _ = _open(envelope, swarm, ClickSheet)
    return SignedSheet(author, sheet, envelope)


def recall_sheet(envelope: bytes) -> SignedSheet:
    """One that was opened before it was written down: its signature is not checked again."""
    parsed = unpack(envelope, _Envelope, longest=limits.SHEET_BYTES)
    return SignedSheet(peer_id_of(parsed.public_key), unpack(parsed.payload, ClickSheet), envelope)


def open_membership(envelope: bytes, swarm: bytes) -> SignedMembership:
    """WireError "forged-membership" when who signed it is not the founder of `swarm`."""
    founder, membership = _open_of_founder(envelope, swarm, Membership)
    return SignedMembership(founder, membership, envelope)


def open_revocation(envelope: bytes, swarm: bytes) -> SignedRevocation:
    founder, revocation = _open_of_founder(envelope, swarm, Revocation)
    return SignedRevocation(founder, revocation, envelope)


def open_invitation(envelope: bytes, swarm: bytes) -> SignedInvitation:
    """As `open_membership`."""
    founder, invitation = _open_of_founder(envelope, swarm, Invitation)
    return SignedInvitation(founder, invitation, envelope)


def swarm_of_invitation(envelope: bytes) -> bytes:
    """The closed swarm that an invitation says it is for; nothing is checked yet."""
    parsed = unpack(envelope, _Envelope, longest=limits.MEMBERSHIP_BYTES)
    return closed_swarm(parsed.public_key, unpack(parsed.payload, Invitation).nonce)


def swarm_of_membership(envelope: bytes) -> bytes:
    """The closed swarm that a membership says it is for; nothing is checked yet."""
    parsed = unpack(envelope, _Envelope, longest=limits.MEMBERSHIP_BYTES)
    return closed_swarm(parsed.public_key, unpack(parsed.payload, Membership).nonce)


def open_manifest(envelope: bytes, swarm: bytes) -> Update:
    """A verified update: signature, types and sizes hold; what it claims is the core's to judge.

    Raises WireError: "too-large", "malformed", "version", "bad-signature", "foreign-swarm",
    "bad-chunks".
    """
    author, manifest, payload = _open(envelope, swarm, Manifest)
    expected = -(-manifest.body_size // limits.CHUNK_BYTES)
    if len(manifest.chunks) != expected:
        raise WireError("bad-chunks", f"{len(manifest.chunks)} chunk hashes, not {expected}")
    return Update(digest(payload), author, manifest, envelope)


def split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    """Payload, public key and signature of an envelope; nothing is checked."""
    parsed = unpack(sealed, _Envelope, longest=limits.ENVELOPE_BYTES)
    return parsed.payload, parsed.public_key, parsed.signature


def join(payload: bytes, public_key: bytes, signature: bytes) -> bytes:
    """The envelope of a manifest that was taken apart; WireError "too-large"."""
    sealed = pack(_Envelope(VERSION, _TYPES[Manifest], payload, public_key, signature))
    if len(sealed) > limits.ENVELOPE_BYTES:
        raise WireError("too-large", f"an envelope of {len(sealed)} bytes")
    return sealed


def _open_of_founder(envelope: bytes, swarm: bytes, kind: type[F]) -> tuple[str, F]:
    author, document, _ = _open(envelope, swarm, kind)
    if closed_swarm(public_key_of(author), document.nonce) != swarm:
        raise WireError("forged-membership", f"{author} did not found this swarm")
    return author, document


def _open(envelope: bytes, swarm: bytes, kind: type[D]) -> tuple[str, D, bytes]:
    parsed = unpack(envelope, _Envelope, longest=_LONGEST[kind])
    if parsed.version != VERSION:
        raise WireError("version", f"envelope version {parsed.version}, this is {VERSION}")
    if parsed.type != _TYPES[kind]:
        raise WireError("malformed", f"a {parsed.type} where a {_TYPES[kind]} belongs")
    document = unpack(parsed.payload, kind, longest=limits.ENVELOPE_BYTES)
    if isinstance(document, Manifest) and document.swarm != swarm:
        # Its signature covers the other swarm's id; say so rather than "bad signature".
        raise WireError("foreign-swarm", document.swarm.hex())
    author = peer_id_of(parsed.public_key)
    try:
        Ed25519PublicKey.from_public_bytes(parsed.public_key).verify(
            parsed.signature, _signed_bytes(parsed.type, swarm, parsed.payload)
        )
    except (InvalidSignature, ValueError):
        raise WireError("bad-signature", f"{parsed.type} of {author}") from None
    return author, document, parsed.payload


def _signed_bytes(kind: str, swarm: bytes, payload: bytes) -> bytes:
    return b"gossipd/%d/%s\x00%s%s" % (VERSION, kind.encode(), swarm, payload)
