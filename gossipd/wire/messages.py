"""The vocabulary: every message, typed and bounded; and, by import, every signed document.

Documents (`documents`, `papers`, `clicks`) are signed by their author and relayed unchanged by
anybody. Messages travel between two connected peers only; the connection itself proves who sends
them. Unknown fields are ignored, so a newer minor version may add optional ones.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import force_setattr

from gossipd.wire import limits
from gossipd.wire.clicks import SheetBytes
from gossipd.wire.documents import GENESIS as GENESIS
from gossipd.wire.documents import WHOLE as WHOLE
from gossipd.wire.documents import ZERO as ZERO
from gossipd.wire.documents import AbridgedManifest as AbridgedManifest
from gossipd.wire.documents import (
    AuthorKey,
    Counter,
    EnvelopeBytes,
    Lineage,
    LineageName,
    MembershipBytes,
    Text,
)
from gossipd.wire.documents import Digest as Digest
from gossipd.wire.documents import Document as Document
from gossipd.wire.documents import Manifest as Manifest
from gossipd.wire.documents import Mode as Mode
from gossipd.wire.documents import Participation as Participation
from gossipd.wire.documents import PeerId as PeerId
from gossipd.wire.documents import PeerRecord as PeerRecord
from gossipd.wire.documents import Role as Role
from gossipd.wire.documents import Sample as Sample
from gossipd.wire.documents import SealedManifest as SealedManifest
from gossipd.wire.documents import StepClaim as StepClaim
from gossipd.wire.identifiers import author_key, record_mark
from gossipd.wire.papers import Invitation as Invitation
from gossipd.wire.papers import Membership as Membership
from gossipd.wire.papers import Revocation as Revocation
from gossipd.wire.papers import SignedInvitation as SignedInvitation
from gossipd.wire.papers import SignedMembership as SignedMembership
from gossipd.wire.papers import SignedRevocation as SignedRevocation

VERSION = 1
"""Major version of wire and protocol ids; a peer with another one is refused with a reason."""

Held = Annotated[bytes, Meta(max_length=limits.LINEAGES_SHOWN * limits.LINEAGE_HINT_BYTES)]
"""Which lineages the sender holds, the latest first: the first bytes of each one's name."""

# --- messages ----------------------------------------------------------------------------------


class Message(Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of all messages: a map whose field `t` names the type."""


class Introduction(Struct, frozen=True, kw_only=True):
    """What a Hello tells beyond what decides who may stay; a map, and nothing in it is needed."""

    est: Counter | UnsetType = UNSET
    """In rounds, as in `Pong`: the highest round that the sender can prove..."""
    base: Digest | UnsetType = UNSET
    """... and what it stands on. Who has nothing to learn from either need not ask."""
    clicks: bool | UnsetType = UNSET
    """Whether the sender may be asked for clicks."""
    about: Annotated[str, Meta(max_length=limits.ABOUT_TEXT)] | UnsetType = UNSET
    """What the sender learns, for people; where the Hello's record is empty, left out too."""
    time: Counter | UnsetType = UNSET
    """The sender's calendar, Unix seconds, left out as `about` is: a clock that is wrong is found
    out among peers. Nothing is decided by it."""


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
    """Both are empty in a dialler's Hello in a closed swarm: who answers may be an outsider."""
    agent: Annotated[str, Meta(max_length=128)] = ""
    mode: Mode | UnsetType = UNSET
    """How the sender learns: those who learn otherwise have nothing to say to each other."""
    held: Held | UnsetType = UNSET
    intro: Introduction | UnsetType = UNSET

    @property
    def introduction(self) -> Introduction:
        """What was said of the sender; an empty one where nothing was."""
        return self.intro or Introduction()


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
    base: Digest | UnsetType = UNSET
    """In rounds: content hash of the base that it stands on; deltas for it may be against that."""


class ViewSync(Message, frozen=True, kw_only=True, tag="view_sync"):
    """Asks for records and claims newer than these; of the authors in `only` when it has any."""

    records: Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)] = {}
    claims: Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)] = {}
    only: Annotated[tuple[AuthorKey, ...], Meta(max_length=limits.AUTHORS_PER_QUESTION)] = ()
    since: Counter | UnsetType = UNSET
    """What a View said in `upto`: the receiver leaves out what it has known since before, and
    `records` and `claims` are only what has become known to the sender since."""
    sum: Annotated[bytes, Meta(min_length=16, max_length=16)] | UnsetType = UNSET
    """Of all records that the sender knows, in place of `records`: the sum modulo 2^128 of their
    marks (`identifiers.record_mark`). A receiver with another sum sends none, and no `upto`."""
    names: Annotated[bytes, Meta(max_length=8 * limits.AUTHORS)] | UnsetType = UNSET
    """Of all records that the sender knows, in place of `records`: the last 8 bytes of the mark of
    each, in any order. What is not among them is sent."""
    upto: Counter | UnsetType = UNSET
    """Beside `sum`, as in a View: a receiver who knows all of this need not ask in turn, only later
    for what has become known to the sender since."""


class View(Message, frozen=True, kw_only=True, tag="view"):
    """The answer to ViewSync: signed documents, newest of each author."""

    records: Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.RECORDS_PER_MESSAGE)] = ()
    claims: Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.CLAIMS_PER_MESSAGE)] = ()
    upto: Counter | UnsetType = UNSET
    """A revision of the sender's view, of use on this connection alone: all that became known to it
    until then the receiver has now."""


class Offer(Message, frozen=True, kw_only=True, tag="offer"):
    """What the sender has. `claims` prove lineage entries that the receiver may not know."""

    manifests: Annotated[
        tuple[SealedManifest, ...], Meta(max_length=limits.MANIFESTS_PER_OFFER)
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
    against: LineageName | UnsetType = UNSET
    """A lineage that the receiver holds: `lineage` is only what differs from it, as in an abridged
    manifest."""
    held: Held | UnsetType = UNSET
    """Without it the answer must not leave anything out."""


class Goodbye(Message, frozen=True, kw_only=True, tag="goodbye"):
    """Sent before an orderly disconnect; nobody is blamed."""

    reason: Text = ""


# --- messages of closed swarms -------------------------------------------------------------------


class RevocationSync(Message, frozen=True, kw_only=True, tag="revocation_sync"):
    """Asks for revocations other than these: member -> serial. Answered by Revocations."""

    known: Annotated[dict[PeerId, Counter], Meta(max_length=limits.REVOCATIONS)] = {}


class Revocations(Message, frozen=True, kw_only=True, tag="revocations"):
    """Who has been shut out. Told unasked it spreads news, and is answered by an empty one."""

    revocations: Annotated[
        tuple[MembershipBytes, ...], Meta(max_length=limits.REVOCATIONS_PER_MESSAGE)
    ] = ()


class Enter(Message, frozen=True, kw_only=True, tag="enter"):
    """Asks the founder for a membership, in place of a Hello. Answered by Welcome."""

    version: Counter = VERSION
    invitation: MembershipBytes
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]
    """By the invitation's key, for the sender alone: see `invitation.proof_text`."""


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The sender of Enter is a member now."""

    membership: MembershipBytes
    description: Annotated[bytes, Meta(max_length=limits.DESCRIPTION_BYTES)] = b""
    """The task's, which the invitation names by its hash."""


# --- messages of sampled rounds ------------------------------------------------------------------

Activity = Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.AUTHORS)]
"""Last round in which a peer was heard from: only what the receiver is not known to know."""
Claims = Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.CLAIMS_PER_MESSAGE)]
Manifests = Annotated[tuple[SealedManifest, ...], Meta(max_length=limits.MANIFESTS_PER_ROUND)]
Participations = Annotated[tuple[EnvelopeBytes, ...], Meta(max_length=limits.SAMPLE)]


RoundState = Literal["collecting", "done", "accepted", "old", "refused", "unknown"]


class Trained(Message, frozen=True, kw_only=True, tag="trained"):
    """Trainer to aggregator, for `round`. Answered by RoundProof."""

    round: Counter
    sample: EnvelopeBytes
    """Of the round before: the trainer is in it."""
    participation: EnvelopeBytes = b""
    """Empty when the trainer declines."""
    manifests: Manifests = ()
    """The head; the trainer's base when the sample's model does not contain it, and the serving
    model beside that base. None when the trainer declines (paused, or its gate refused)."""
    claims: Claims = ()
    activity: Activity = {}


class Aggregated(Message, frozen=True, kw_only=True, tag="aggregated"):
    """Aggregator to its sample: train on this. Answered by RoundProof."""

    round: Counter
    sample: EnvelopeBytes
    manifests: Manifests = ()
    """The base to train on (none: the task's initial model), then the serving model."""
    previous: EnvelopeBytes = b""
    """With `participations` the proof of the highest round that the sender can prove."""
    participations: Participations = ()
    claims: Claims = ()
    activity: Activity = {}


class RoundQuery(Message, frozen=True, kw_only=True, tag="round_query"):
    """Asks for proof of a round above `round`, and what the receiver does about a sample: whether
    it collects what was trained in it ("collecting", "done"), or trains in it ("accepted")."""

    round: Counter
    sample: Digest | None = None
    """Digest of its signed payload."""
    about: Literal["aggregation", "training"] = "aggregation"


class RoundProof(Message, frozen=True, kw_only=True, tag="round_proof"):
    """The sample of the round before `round` and at least half of it that took part; empty when
    the asker knows of that round already."""

    round: Counter = 0
    previous: EnvelopeBytes = b""
    participations: Participations = ()
    state: RoundState = "unknown"
    """What became of what was sent or asked about."""
    quiet: Annotated[int, Meta(ge=0, le=limits.QUIET_MILLISECONDS)] = 0
    """Milliseconds for which this peer has seen no round go on."""


class Advert(Message, frozen=True, kw_only=True, tag="advert"):
    """A peer joins or leaves: its newly signed record. Answered by Pong."""

    record: EnvelopeBytes
    est: Counter = 0


class ClickPull(Message, frozen=True, kw_only=True, tag="click_pull"):
    """Asks for sheets that the sender does not hold."""

    since: Counter = 0
    """What this peer said in `upto` before; 0 at first."""
    marks: Annotated[dict[AuthorKey, Counter], Meta(max_length=limits.CLICK_MARKS)] = {}
    """The last sheet that the sender holds of each author: of all of them at first, then of those
    of whom it has got news since it last asked this peer."""


class ClickSheets(Message, frozen=True, kw_only=True, tag="click_sheets"):
    """The answer to ClickPull: in the order in which they came to the sender, and so of each author
    in the order of their numbers."""

    sheets: Annotated[tuple[SheetBytes, ...], Meta(max_length=limits.SHEETS_PER_MESSAGE)] = ()
    upto: Counter
    """All that the sender had got until this moment of its own counting the receiver has now."""
    more: bool = False
    """Whether there was no room for everything."""


Request = (
    Hello
    | Ping
    | ViewSync
    | Offer
    | Have
    | Goodbye
    | Trained
    | Aggregated
    | RoundQuery
    | Advert
    | RevocationSync
    | Revocations
    | ClickPull
    | Enter
)
Response = (
    Hello
    | Refused
    | Pong
    | View
    | Want
    | Offer
    | Goodbye
    | RoundProof
    | Revocations
    | ClickSheets
    | Welcome
)
AnyMessage = Request | Response

# --- documents whose signature has been checked -------------------------------------------------


class SignedRecord(Struct, frozen=True):
    """A record, its author's peer id, and the envelope that anybody may pass on."""

    author: str
    record: PeerRecord
    envelope: bytes
    membership: SignedMembership | None = None
    """The one in the record: its author's, signed by the swarm's founder."""
    key: bytes = b""
    """Of (author, incarnation), as a lineage names it; like `mark` it follows from the rest."""
    mark: int = 0
    name: int = 0
    """The last eight bytes of the mark, as in `ViewSync.names`."""

    def __post_init__(self) -> None:
        key = author_key(self.author, self.record.incarnation)
        mark = record_mark(key, self.record.seq)
        force_setattr(self, "key", key)
        force_setattr(self, "mark", mark)
        force_setattr(self, "name", mark & 0xFFFF_FFFF_FFFF_FFFF)


class SignedClaim(Struct, frozen=True):
    author: str
    claim: StepClaim
    envelope: bytes
    key: bytes = b""
    """As a record's."""

    def __post_init__(self) -> None:
        force_setattr(self, "key", author_key(self.author, self.claim.incarnation))


class Update(Struct, frozen=True):
    """A verified manifest. `id` is the digest of the signed payload: the update's name."""

    id: bytes
    author: str
    manifest: Manifest
    envelope: bytes


class SignedSample(Struct, frozen=True):
    """`id` is the digest of the signed payload, whoever signed it."""

    id: bytes
    author: str
    sample: Sample
    envelope: bytes


class SignedParticipation(Struct, frozen=True):
    author: str
    participation: Participation
    envelope: bytes
