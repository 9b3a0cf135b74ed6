"""The vocabulary: every message and every signed document, typed and bounded.

Documents are signed by their author and relayed unchanged by anybody (`PeerRecord`, `StepClaim`,
`Manifest`). Messages travel between two connected peers only; the connection itself proves who
sends them. Unknown fields are ignored, so a newer minor version may add optional ones.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gossipd.wire import limits

VERSION = 1
"""Major version of wire and protocol ids; a peer with another one is refused with a reason."""

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
AuthorKey = Annotated[bytes, Meta(min_length=8, max_length=8)]
Counter = Annotated[int, Meta(ge=0, le=limits.COUNTER)]
Float = Annotated[float, Meta(ge=-3.5e38, le=3.5e38)]
Address = Annotated[str, Meta(max_length=limits.ADDRESS_TEXT)]
EnvelopeBytes = Annotated[bytes, Meta(max_length=limits.ENVELOPE_BYTES)]
Text = Annotated[str, Meta(max_length=limits.REASON_TEXT)]

Role = Literal["base", "head", "serving"]
Kind = Literal["full", "delta"]
Lineage = Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)]

GENESIS = b"genesis"
"""Reference of a delta against the task's initial model."""
ZERO = b"zero"
"""Reference of a full model."""

# --- signed documents --------------------------------------------------------------------------


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
    body_size: Annotated[int, Meta(ge=1, le=limits.BODY_BYTES)]
    chunks: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=limits.CHUNKS)]
    created: Annotated[float, Meta(ge=0, le=4.2e9)]
    """Unix seconds by the author's clock; shown to people, never used in a decision."""


Document = PeerRecord | StepClaim | Manifest

# --- messages ----------------------------------------------------------------------------------


class Message(Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of all messages: a map whose field `t` names the type."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First message on a connection, and the answer to it."""

    version: Counter = VERSION
    swarm: Digest
    task: Digest
    layout: Digest
    genesis: Digest
    membership: EnvelopeBytes = b""
    """Proof of membership; empty when the swarm is open."""
    record: EnvelopeBytes
    claim: EnvelopeBytes
    agent: Annotated[str, Meta(max_length=128)] = ""


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """The answer to any request that will not be served, with a stable code and words."""

    code: Annotated[str, Meta(max_length=64)]
    reason: Text = ""


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """MoDeST's ping: carries the sender's round estimate and join counter."""

    est: Counter = 0
    counter: Counter = 0


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    est: Counter = 0
    counter: Counter = 0
    unavailable: bool = False
    """Alive, but may not train now (battery, paused): skipped, not failed."""


class ViewSync(Message, frozen=True, kw_only=True, tag="view_sync"):
    """Asks for records and claims newer than these; of the authors in `only` when it has any."""

    records: Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)] = {}
    claims: Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)] = {}
    only: Annotated[tuple[AuthorKey, ...], Meta(max_length=limits.AUTHORS)] = ()


class View(Message, frozen=True, kw_only=True, tag="view"):
    """The answer to ViewSync: signed documents, newest of each author."""

    records: Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.RECORDS_PER_MESSAGE)] = ()
    claims: Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.CLAIMS_PER_MESSAGE)] = ()


class Offer(Message, frozen=True, kw_only=True, tag="offer"):
    """What the sender has. `claims` prove lineage entries that the receiver may not know."""

    manifests: Annotated[
        tuple[EnvelopeBytes, ...], Meta(max_length=limits.MANIFESTS_PER_OFFER)
    ] = ()
    claims: Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.CLAIMS_PER_MESSAGE)] = ()


class Want(Message, frozen=True, kw_only=True, tag="want"):
    """The answer to Offer: the update ids that the receiver is going to fetch."""

    updates: Annotated[tuple[Digest, ...], Meta(max_length=limits.MANIFESTS_PER_OFFER)] = ()


class Have(Message, frozen=True, kw_only=True, tag="have"):
    """Anti-entropy: "this is what I know of; what have you that is new?" Answered by Offer."""

    lineage: Lineage
    model: Digest
    """Content hash of the model that has this lineage (decides between equal lineages)."""
    role: Role = "head"


class Goodbye(Message, frozen=True, kw_only=True, tag="goodbye"):
    """Sent before an orderly disconnect; nobody is blamed."""

    reason: Text = ""


Request = Hello | Ping | ViewSync | Offer | Have | Goodbye
Response = Hello | Refused | Pong | View | Want | Offer | Goodbye
AnyMessage = Hello | Refused | Ping | Pong | ViewSync | View | Offer | Want | Have | Goodbye

# --- documents whose signature has been checked -------------------------------------------------


class SignedRecord(Struct, frozen=True):
    """A record, its author's peer id, and the envelope that anybody may pass on."""

    author: str
    record: PeerRecord
    envelope: bytes


class SignedClaim(Struct, frozen=True):
    author: str
    claim: StepClaim
    envelope: bytes


class Update(Struct, frozen=True):
    """A verified manifest. `id` is the digest of the signed payload: the update's name."""

    id: bytes
    author: str
    manifest: Manifest
    envelope: bytes
