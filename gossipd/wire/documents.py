"""What is signed by its author and relayed unchanged by anybody, typed and bounded.

Unknown fields are ignored, so a newer minor version may add optional ones.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gossipd.wire import limits
from gossipd.wire.clicks import ClickSheet
from gossipd.wire.papers import Invitation, Membership, Revocation

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
AuthorKey = Annotated[bytes, Meta(min_length=8, max_length=8)]
Counter = Annotated[int, Meta(ge=0, le=limits.COUNTER)]
Float = Annotated[float, Meta(ge=-3.5e38, le=3.5e38)]
Address = Annotated[str, Meta(max_length=limits.ADDRESS_TEXT)]
EnvelopeBytes = Annotated[bytes, Meta(max_length=limits.ENVELOPE_BYTES)]
Text = Annotated[str, Meta(max_length=limits.REASON_TEXT)]
PeerId = Annotated[str, Meta(min_length=1, max_length=64)]
MembershipBytes = Annotated[bytes, Meta(max_length=limits.MEMBERSHIP_BYTES)]

Role = Literal["base", "head", "serving"]
Kind = Literal["full", "delta"]
Mode = Literal["rounds", "gossip"]
Lineage = Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)]
LineageName = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""BLAKE2b-128 of a lineage's bytes: see `lineages`."""
GENESIS = b"genesis"
"""Reference of a delta against the task's initial model."""
ZERO = b"zero"
"""Reference of a full model."""
WHOLE = b"whole/"
"""Before a model's content hash the key of a blob: its float32, little-endian."""


class PeerRecord(Struct, frozen=True, kw_only=True):
    """Who a peer is and where, signed by itself; a higher (incarnation, seq) replaces it."""

    incarnation: Counter
    seq: Counter
    addresses: Annotated[tuple[Address, ...], Meta(max_length=limits.ADDRESSES_PER_RECORD)] = ()
    examples: Counter = 0
    class_counts: Annotated[tuple[Counter, ...], Meta(max_length=limits.CLASSES)] | None = None
    counter: Counter = 1
    """MoDeST's persistent join counter."""
    event: Literal["join", "leave"] = "join"
    membership: MembershipBytes | UnsetType = UNSET
    """In a closed swarm its author's, so that whoever is told of a peer can see that it belongs."""


class StepClaim(Struct, frozen=True, kw_only=True):
    """How far its author has trained; what a lineage says about others must be covered by these."""

    incarnation: Counter
    steps: Counter


class Manifest(Struct, frozen=True, kw_only=True):
    """The signed description of one update. Its body is raw codec bytes, trusted only by hash."""

    swarm: Digest
    task: Digest
    incarnation: Counter
    seq: Counter
    role: Role
    kind: Kind
    reference: Annotated[bytes, Meta(min_length=4, max_length=32)]
    """What a delta is against: a model's content hash, GENESIS or ZERO."""
    codec: Annotated[str, Meta(max_length=32)]
    layout: Digest
    parameters: Annotated[int, Meta(ge=1, le=limits.PARAMETERS)]
    model: Digest
    """Content hash of the decoded float32 vector."""
    base: Digest | None = None
    """Content hash of the model that training started from."""
    variances: Annotated[tuple[Float, ...], Meta(max_length=limits.TENSORS)] = ()
    """Population variance per tensor, in layout order, before encoding."""
    lineage: Lineage
    examples: Counter
    steps: Counter
    class_counts: Annotated[tuple[Counter, ...], Meta(max_length=limits.CLASSES)] | None = None
    round: Counter = 0
    loss: Float | None = None
    accuracy: Annotated[float, Meta(ge=0, le=1)] | None = None
    """As the author measured it on its own held-out examples."""
    tags: Annotated[
        tuple[Annotated[str, Meta(max_length=limits.TAG_TEXT)], ...], Meta(max_length=limits.TAGS)
    ] = ()
    title: Annotated[str, Meta(max_length=limits.TITLE_TEXT)] | UnsetType = UNSET
    """What its author calls the model, for people to find it by, like its tags."""
    licence: Annotated[str, Meta(max_length=limits.LICENCE_TEXT)] | UnsetType = UNSET
    """On which terms its author gives it away, in its author's words."""
    body_size: Annotated[int, Meta(ge=1, le=limits.BODY_BYTES)]
    chunks: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=limits.CHUNKS)]
    created: Annotated[float, Meta(ge=0, le=4.2e9)]
    """Unix seconds by the author's clock; shown to people, never used in a decision."""


class AbridgedManifest(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A manifest's envelope in a message to somebody who holds a lineage like the one in it."""

    head: EnvelopeBytes
    """The signed payload up to its lineage..."""
    tail: EnvelopeBytes
    """... and from there on."""
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    against: LineageName
    """What the receiver holds."""
    changes: Lineage
    """The entries that differ from it; 0: not in this lineage."""


SealedManifest = EnvelopeBytes | AbridgedManifest


class Sample(Struct, frozen=True, kw_only=True):
    """Who trains in a round, and on which model; signed by the aggregator that drew it.

    Nothing of its author is in it, so aggregators that drew the same sample sign the same words.
    """

    round: Counter
    peers: Annotated[tuple[PeerId, ...], Meta(min_length=1, max_length=limits.SAMPLE)]
    """In the round's order."""
    model: Digest
    attempt: Counter = 0
    """Tells hand-outs of one number apart, when a round has to be opened again."""


class Participation(Struct, frozen=True, kw_only=True):
    """Its author has trained in the sample of the round before: half of a sample prove a round."""

    incarnation: Counter
    round: Counter
    """The one that the training was for: the sample's and one."""
    sample: Digest
    """Of the signed payload."""


Document = (
    PeerRecord
    | StepClaim
    | Manifest
    | Sample
    | Participation
    | Membership
    | Revocation
    | ClickSheet
    | Invitation
)
