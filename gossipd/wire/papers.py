"""What the founder of a closed swarm signs: memberships, revocations, invitations."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gossipd.wire import limits

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Counter = Annotated[int, Meta(ge=0, le=limits.COUNTER)]
PeerId = Annotated[str, Meta(min_length=1, max_length=64)]


class Membership(Struct, frozen=True, kw_only=True):
    """A peer belongs to a closed swarm; signed by its founder, a higher serial replaces it."""

    nonce: Digest
    """With the signing key it makes the swarm's id (`identifiers.closed_swarm`)."""
    member: PeerId
    serial: Counter
    """Orders all that a founder signs: milliseconds since 1970 when it did, and never one twice, so
    that a founder who lost its books does not begin again below what it has said before."""
    not_after: Annotated[int, Meta(ge=0, le=limits.COUNTER)] | None = None
    """Unix seconds; None: until it is revoked."""
    name: Annotated[str, Meta(max_length=limits.MEMBER_NAME)] = ""
    """What the founder calls the member; shown to people, never used in a decision."""


class Revocation(Struct, frozen=True, kw_only=True):
    """Every membership of `member` up to `serial` is void, one with a higher serial is good."""

    nonce: Digest
    member: PeerId
    serial: Counter


class Invitation(Struct, frozen=True, array_like=True):
    """Who can sign with `key` may become a member; signed by the founder. An array: it has to fit
    into a line that people paste, and a picture (`invitation`)."""

    nonce: Digest
    key: Digest
    """Ed25519, made for this invitation alone."""
    task: Digest
    description: Digest | None = None
    """Of the task's description (BLAKE2b-256), which the founder hands out; None: it has none."""
    not_after: Annotated[int, Meta(ge=0, le=limits.COUNTER)] | None = None
    """Unix seconds, by the founder's calendar."""
    uses: Annotated[int, Meta(ge=1, le=limits.INVITATION_USES)] = 1
    """How many devices may enter with it."""
    mode: Literal["rounds", "gossip"] = "rounds"
    """How the swarm learns."""


class SignedMembership(Struct, frozen=True):
    """`founder` is the peer id of the key that signed, which the swarm's id commits to."""

    founder: str
    membership: Membership
    envelope: bytes


class SignedRevocation(Struct, frozen=True):
    founder: str
    revocation: Revocation
    envelope: bytes


class SignedInvitation(Struct, frozen=True):
    founder: str
    invitation: Invitation
    envelope: bytes
