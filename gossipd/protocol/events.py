"""What goes into the core and what comes out of it, as frozen values: a run is a log of these."""

from typing import Literal

from msgspec import Struct

from gossipd.protocol.click_events import ClickEvent, ClickOutput
from gossipd.protocol.membership import Denial
from gossipd.protocol.round_events import RoundEvent, RoundOutput
from gossipd.wire.clicks import SignedSheet
from gossipd.wire.messages import (
    AnyMessage,
    Enter,
    Request,
    Response,
    SignedClaim,
    SignedMembership,
    SignedParticipation,
    SignedRecord,
    SignedRevocation,
    SignedSample,
    Update,
    Welcome,
)

SignedDocument = (
    SignedRecord
    | SignedClaim
    | Update
    | SignedSample
    | SignedParticipation
    | SignedRevocation
    | SignedSheet
)

# --- events: what happened -----------------------------------------------------------------------


class Started(Struct, frozen=True):
    """The transport listens; `record` is what this node says of itself."""

    record: SignedRecord
    claim: SignedClaim


class RecordChanged(Struct, frozen=True):
    """This node's addresses or data changed and it has signed a new record."""

    record: SignedRecord


class TimerFired(Struct, frozen=True):
    key: str


class Discovered(Struct, frozen=True):
    """Somebody (mDNS, the operator, storage) knows where a peer may be."""

    peer: str
    addresses: tuple[str, ...]
    source: Literal["operator", "mdns", "storage"]


class Forgotten(Struct, frozen=True):
    """The operator wants no more of this peer."""

    peer: str


class Restricted(Struct, frozen=True):
    """The operator names the only peers to talk to; none: everybody."""

    allowed: tuple[str, ...]
    blocked: tuple[str, ...] | None = None
    """And those never to talk to; None: as before."""


class ClockRead(Struct, frozen=True):
    """What the machine's calendar says now: Unix seconds. Memberships end by it."""

    wall: float


class MemberRevoked(Struct, frozen=True):
    """The operator, who founded this closed swarm, shuts a member out."""

    revocation: SignedRevocation


class MembershipRenewed(Struct, frozen=True):
    """The operator has a newer membership of this node's own; a `RecordChanged` follows."""

    membership: SignedMembership


class Connected(Struct, frozen=True):
    peer: str
    address: str
    outbound: bool


class DialFailed(Struct, frozen=True):
    peer: str
    reason: str


class Disconnected(Struct, frozen=True):
    peer: str
    reason: str


class Requested(Struct, frozen=True):
    """A peer asks. `documents`: what its message carried, signatures already checked."""

    peer: str
    token: int
    message: Request
    documents: tuple[SignedDocument, ...] = ()


class Entered(Struct, frozen=True):
    """What the founder's books made of `LetIn`: the membership and the answer, or why not."""

    peer: str
    token: int
    verdict: tuple[SignedMembership, Welcome] | Denial


class Answered(Struct, frozen=True):
    """A peer answered request number `request`."""

    peer: str
    request: int
    message: Response
    documents: tuple[SignedDocument, ...] = ()


class RequestFailed(Struct, frozen=True):
    peer: str
    request: int
    reason: str


class Misbehaved(Struct, frozen=True):
    """A peer sent what must not be (bad signature, malformed, wrong size …)."""

    peer: str
    reason: str


class Arrived(Struct, frozen=True):
    """An update's body came, its hashes hold, it decodes to the model that its manifest names."""

    peer: str
    update: Update


class FetchFailed(Struct, frozen=True):
    """A body did not come, or is not what its manifest says (`blame`: who is at fault)."""

    peer: str
    update: Update
    reason: str
    blame: Literal["nobody", "carrier", "author"]


class Trained(Struct, frozen=True):
    """Local training made and committed a new head."""

    head: Update
    claim: SignedClaim
    loss: float


class Merged(Struct, frozen=True):
    """A merge or an adoption made and committed a new base, which is the head until training."""

    head: Update
    authors: tuple[str, ...] = ()
    """Whose models went into it, beside the own."""
    gain: float | None = None
    """By how much it lowered the loss on local held-out examples; None when none are held out."""


class LearningFailed(Struct, frozen=True):
    """What `Train` or `Merge` asked for did not happen; the models stay what they were."""

    task: Literal["train", "merge"]
    reason: str
    gate: bool = False
    """True when the gate refused the candidate."""


class ServingPublished(Struct, frozen=True):
    """The serving model can be offered; None when there is none."""

    update: Update | None


class SetPaused(Struct, frozen=True):
    paused: bool


class Shown(Struct, frozen=True):
    """Somebody has carried documents here by hand, signatures checked; `Judged` answers."""

    token: int
    documents: tuple[SignedDocument, ...]


class Carried(Struct, frozen=True):
    """Bodies of updates that were carried here: as after `Arrived`, their models are known."""

    updates: tuple[Update, ...]


Event = (
    Started
    | RecordChanged
    | TimerFired
    | Discovered
    | Forgotten
    | Restricted
    | ClockRead
    | MemberRevoked
    | MembershipRenewed
    | Connected
    | DialFailed
    | Disconnected
    | Requested
    | Entered
    | Answered
    | RequestFailed
    | Misbehaved
    | Arrived
    | FetchFailed
    | Trained
    | Merged
    | LearningFailed
    | ServingPublished
    | SetPaused
    | Shown
    | Carried
    | RoundEvent
    | ClickEvent
)

# --- outputs: what shall be done -----------------------------------------------------------------


class SetTimer(Struct, frozen=True):
    """Fire `TimerFired(key)` at `at`; replaces a timer of the same key."""

    key: str
    at: float


class CancelTimer(Struct, frozen=True):
    key: str


class Dial(Struct, frozen=True):
    peer: str
    addresses: tuple[str, ...]


class Disconnect(Struct, frozen=True):
    peer: str
    reason: str


class Ask(Struct, frozen=True):
    """Send a request; exactly one `Answered` or `RequestFailed` with this number follows."""

    peer: str
    request: int
    message: AnyMessage


class Answer(Struct, frozen=True):
    token: int
    message: AnyMessage


class Judged(Struct, frozen=True):
    """The answer to `Shown`: a verdict for each document (see `by_hand`)."""

    token: int
    verdicts: tuple[str, ...]


class Fetch(Struct, frozen=True):
    """Get the body from `peer`; `Arrived` or `FetchFailed` follows."""

    peer: str
    update: Update
    others: tuple[str, ...] = ()
    """Who may have it too, or what it is a delta against: they are asked for a part each where it
    is large."""


class Train(Struct, frozen=True):
    """`steps` mini-batches from the head. `fold`: the new head enters the serving average, since
    no merge has since the last training."""

    lineage: dict[bytes, int]
    """Lineage of the head that training starts from."""
    steps: int
    fold: bool


class Side(Struct, frozen=True):
    """One input of a merge; `update` is None for the own head."""

    update: Update | None
    examples: int
    """Examples of the authors of whom this side holds more steps than the other."""
    class_counts: tuple[int, ...] | None
    serving: Update | None = None


class Merge(Struct, frozen=True):
    """Make one model of several, pass it through the gate, commit it as base and head.

    `rule`: "adopt" takes the only side as it is; "buffer" averages with the own model's self weight
    (ALGORITHMS: variance-corrected averaging); "concurrent" weighs sides by what they have learnt.
    """

    rule: Literal["adopt", "buffer", "concurrent"]
    sides: tuple[Side, ...]
    lineage: dict[bytes, int]


class PublishServing(Struct, frozen=True):
    """Make the serving model offerable; `ServingPublished` follows."""

    lineage: dict[bytes, int]


class Remember(Struct, frozen=True):
    peer: str
    addresses: tuple[str, ...]
    record: bytes | None = None


class RememberAll(Struct, frozen=True):
    """Many at once, as a peer tells of them."""

    peers: tuple[Remember, ...]
    newcomers: tuple[SignedRecord, ...] = ()
    """Of whom nothing was known: there is no more to them than their records say."""


class Forget(Struct, frozen=True):
    peer: str


class LetIn(Struct, frozen=True):
    """Look into the founder's books whether this invitation is good; `Entered` follows."""

    peer: str
    token: int
    message: Enter


class KeepRevocations(Struct, frozen=True):
    """Everybody who is known to be shut out; to outlive the process before anything follows."""

    envelopes: tuple[bytes, ...]


class KeepEvidence(Struct, frozen=True):
    """Two documents that contradict each other, both signed by `peer`."""

    peer: str
    first: bytes
    second: bytes


Fields = dict[str, str | int | float | bool | tuple[str, ...] | None]
"""What a report says: plain values and lists of names."""


class Report(Struct, frozen=True):
    """Something that people may want to know; goes to the event stream and the log."""

    kind: str
    fields: Fields


Output = (
    SetTimer
    | CancelTimer
    | Dial
    | Disconnect
    | Ask
    | Answer
    | Judged
    | Fetch
    | Train
    | Merge
    | PublishServing
    | Remember
    | RememberAll
    | Forget
    | LetIn
    | KeepRevocations
    | KeepEvidence
    | Report
    | RoundOutput
    | ClickOutput
)
