"""The hand-out of a round: draw its sample, sign it, send the model to everybody in it.

    SAMPLE(k, s) ----+
                     +--> sealed --> AGGREGATED(k) to all of the sample
    model is ready --+

An aggregator draws while it averages; an opener has its base ready.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import CancelTimer, Output, SetTimer
from gossipd.protocol.round_events import SampleSealed, SealSample
from gossipd.protocol.sampling import Draw, Sampler
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import SignedSample, Update

TIMER = "rounds.handout"

WATCHERS = 16
"""Peers that hear that a round goes on, beside its sample: those that are called when it stalls."""

Sealed = Callable[["Handout", SignedSample, float, list[Output]], None]


@dataclass(slots=True, eq=False)
class Handout:
    """A round about to begin."""

    round: int
    not_before: float
    proven: int
    """The highest proven round when it was begun: once others prove a higher one, it is stale."""
    peers: tuple[str, ...] | None = None
    ready: bool = False
    base: Update | None = None
    """None, once ready: the task's initial model."""
    serving: Update | None = None
    draw: Draw | None = None


class Desk:
    """Hands out one round at a time; a newer one takes the place of what has not been sealed."""

    def __init__(
        self,
        me: str,
        count: int,
        genesis: bytes,
        activity: Activity,
        sampler: Sampler,
        work: Work,
        may_train: Callable[[], bool],
        proven: Callable[[], int],
        attempt: Callable[[int], int],
        is_met: Callable[[str], bool],
        sealed: Sealed,
    ) -> None:
        self._me = me
        self._count = count
        self._genesis = genesis
        self._activity = activity
        self._sampler = sampler
        self._work = work
        self._may_train = may_train
        self._proven = proven
        self._attempt = attempt
        """The number of the next attempt at a round: 0 for the first hand-out."""
        self._is_met = is_met
        self._sealed = sealed
        self._handout: Handout | None = None
        self._looked_at = 0

    @property
    def is_busy(self) -> bool:
        return self._handout is not None

    @property
    def companions(self) -> set[str]:
        """Who has been drawn for the round that is about to begin."""
        drawn = None if self._handout is None else self._handout.peers
        return set(drawn or ())

    def prepare(self, round_: int, not_before: float, now: float, out: list[Output]) -> Handout:
        """Draw the sample of a round whose model is not ready yet."""
        self.drop()
        handout = self._handout = Handout(round_, not_before, self._proven())
        order = self._activity.order(round_)
        if not self._may_train():
            order.remove(self._me)
        draw = self._sampler.draw(order, self._count, partial(self._drawn, handout), now, out)
        handout.draw = draw
        return handout

    def look_ahead(self, round_: int, now: float, out: list[Output]) -> None:
        """Meet, once, who comes first in the order of a later round. Its sample can be drawn
        without delay, who is dead is known by then, and those who shall open it, should this round
        come to nothing, hear that it goes on (see `stall`): for their sake nobody is dialled."""
        if round_ > self._looked_at:
            self._looked_at = round_
            order = self._activity.order(round_)
            watchers = [p for p in order[self._count : WATCHERS] if self._is_met(p)]
            first = order[: self._count] + watchers
            self._sampler.draw(first, len(first), _nobody_waits, now, out)

    def bring_news(
        self, round_: int, connected: Sequence[str], now: float, out: list[Output]
    ) -> None:
        """Ping who is likely to open a later round and may wait for news of the one before. Where
        nobody has heard of a round for long everybody does who hears of it; so only who may be
        called itself dials anybody, and the rest tell those that they are connected with: in a
        swarm of a thousand all would else dial the same ten after every round."""
        if self._activity.place(round_) < WATCHERS:
            self.look_ahead(round_, now, out)
            return
        first = [p for p in connected if self._activity.place(round_, p) < WATCHERS]
        if first:
            self._sampler.draw(first, len(first), _nobody_waits, now, out)

    def ready(
        self,
        handout: Handout,
        base: Update | None,
        serving: Update | None,
        now: float,
        out: list[Output],
    ) -> None:
        """The model is here and can be fetched by others."""
        handout.base, handout.serving, handout.ready = base, serving, True
        self._go_on(handout, now, out)

    def drop(self) -> None:
        """Nothing is handed out."""
        if self._handout is not None and self._handout.draw is not None:
            self._sampler.cancel(self._handout.draw)
        self._handout = None

    def _drawn(
        self, handout: Handout, peers: tuple[str, ...], now: float, out: list[Output]
    ) -> None:
        handout.peers = peers
        self._go_on(handout, now, out)

    def on_timer(self, now: float, out: list[Output]) -> None:
        if self._handout is not None:
            self._go_on(self._handout, now, out)

    def _go_on(self, handout: Handout, now: float, out: list[Output]) -> None:
        if handout is not self._handout or handout.peers is None or not handout.ready:
            return
        if not handout.peers or self._proven() > handout.proven:
            # Nobody may train, or others were faster.
            self.drop()
            return
        if now < handout.not_before:
            out.append(SetTimer(TIMER, handout.not_before))
            return
        self._handout = None
        out.append(CancelTimer(TIMER))
        model = self._genesis if handout.base is None else handout.base.manifest.model
        peers, attempt = handout.peers, self._attempt(handout.round)

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            if isinstance(event, SampleSealed):
                self._sealed(handout, event.sample, later, outputs)

        self._work.start(lambda t: SealSample(t, handout.round, peers, model, attempt), ended, out)


def _nobody_waits(peers: tuple[str, ...], now: float, out: list[Output]) -> None:
    """They have been pinged: that is all."""
