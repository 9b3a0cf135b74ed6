"""What passes between an aggregator and its sample, as the state machines see it."""

from collections.abc import Callable
from dataclasses import dataclass

from gossipd.protocol.events import Output
from gossipd.wire.messages import RoundState, SignedParticipation, SignedSample, Update

Told = Callable[[RoundState | None, float, list[Output]], None]
"""Called with what a peer says of a model or of work; None when it says nothing."""


@dataclass(frozen=True, slots=True)
class Task:
    """A round to train for."""

    round: int
    sample: SignedSample
    model: Update | None
    """None: the task's initial model."""
    serving: Update | None
    """The serving chain's model of that round."""
    sender: str
    between: tuple[Update, ...] = ()
    """Bases that lead to what the model is a delta against."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an aggregator gets."""

    round: int
    """The one it is for: the task's and one."""
    sample: SignedSample
    head: Update | None = None
    """None when the trainer declines."""
    participation: SignedParticipation | None = None
    base: Update | None = None
    """The trainer's own, when the sample's model does not contain it."""
    serving: Update | None = None
    """The one beside that base, when it is an island's."""
