"""What only sampled rounds ask of the runtime, and what comes back; see `events`.

Every output with a `ticket` is followed by exactly one event with the same ticket.
"""

from msgspec import Struct

from gossipd.wire.messages import (
    SignedClaim,
    SignedParticipation,
    SignedRecord,
    SignedSample,
    Update,
)

# --- outputs: what shall be done -----------------------------------------------------------------


class TrainRound(Struct, frozen=True):
    """Train from exactly this model, sign the participation; the base stays what it is."""

    ticket: int
    model: Update | None
    """None: the task's initial model."""
    steps: int
    round: int
    """The one that the head is for."""
    sample: SignedSample


class Group(Struct, frozen=True):
    """Heads that were trained from one model."""

    model: bytes

    heads: tuple[Update, ...]
    weights: tuple[int, ...]
    """Examples behind each head."""
    profiles: tuple[tuple[int, ...] | None, ...]
    """Class counts behind each head; None where they are unknown or a regression."""
    examples: int
    """Examples behind what only this side has learnt (see `averaging.concurrent.Side`)."""
    class_counts: tuple[int, ...] | None
    fresh: float = 1.0
    shared: tuple[int, ...] | None = None


class Offered(Struct, frozen=True):
    """A base that the groups' models do not contain."""

    base: Update
    serving: Update | None
    """Its serving model, when it is an island's."""
    examples: int
    class_counts: tuple[int, ...] | None
    fresh: float = 1.0
    shared: tuple[int, ...] | None = None


class Aggregate(Struct, frozen=True):
    """Average each group, merge the results and the offered bases, each once, by the concurrent
    rule; pass the outcome through the gate and publish it. Nothing is committed.

    Without groups it is the merge of islands' bases, and their serving models alone.
    """

    ticket: int
    round: int
    groups: tuple[Group, ...]
    offered: tuple[Offered, ...]
    serving: Update | None
    """The serving chain's last model: E <- .8 E + .2 M. None starts the chain with M."""
    lineage: dict[bytes, int]
    reference: bytes | None = None
    """Content hash of what the base may be a delta against; None: of the task's initial model."""


class Blend(Struct, frozen=True):
    """Merge the serving models of islands by the concurrent rule, pass the outcome through the gate
    and publish it. Nothing is committed."""

    ticket: int
    round: int
    sides: tuple[Offered, ...]
    """Serving models, in the place of bases."""
    lineage: dict[bytes, int]


class Adopt(Struct, frozen=True):
    """Stand on this base, if the gate lets it pass, and predict with this serving model."""

    ticket: int
    base: Update | None
    serving: Update | None
    gated: bool = True
    """False for what this node's own gate has judged already."""


class SealSample(Struct, frozen=True):
    """Sign who trains in a round."""

    ticket: int
    round: int
    peers: tuple[str, ...]
    model: bytes
    attempt: int


RoundOutput = TrainRound | Aggregate | Blend | Adopt | SealSample

# --- events: what happened -----------------------------------------------------------------------


class RoundTrained(Struct, frozen=True):
    ticket: int
    head: Update
    claim: SignedClaim
    participation: SignedParticipation
    loss: float


class RoundAggregated(Struct, frozen=True):
    ticket: int
    base: Update
    serving: Update
    gain: float | None = None
    """By how much a merge with another base has lowered the loss on local held-out examples; None
    for a round's, and where nothing is held out."""


class Blended(Struct, frozen=True):
    ticket: int
    serving: Update
    gain: float | None = None
    """The same, of what this node predicts with."""


class Adopted(Struct, frozen=True):
    ticket: int


class SampleSealed(Struct, frozen=True):
    ticket: int
    sample: SignedSample


class RoundWorkFailed(Struct, frozen=True):
    """What a ticket asked for did not happen; the models stay what they were."""

    ticket: int
    reason: str
    gate: bool = False
    """True when the gate refused the candidate."""


class Leaving(Struct, frozen=True):
    """This node is about to stop in good order and has signed a record that says so."""

    record: SignedRecord


RoundEvent = (
    RoundTrained | RoundAggregated | Blended | Adopted | SampleSealed | RoundWorkFailed | Leaving
)
