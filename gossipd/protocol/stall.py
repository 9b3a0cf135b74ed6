"""When no round comes any more: the first answering node of ORDER opens the next one.

Departure from the paper, where a round whose sample and aggregator die ends the training. Ours:

    no progress seen for some rounds' time
      -> ask some: whoever knows of a higher round says so in its pong, and shows the proof
      -> meanwhile, if this node comes early in ORDER(next): does anybody before it answer?
      -> nobody does, and nobody knows better: it opens the round with its own base

The same rule opens round 1. Two openers are harmless: of attempts with one number one wins, and no
base is lost (see `bases`). Each stall in a row calls upon more of the order and lets one more of
them open the round, should the first not do its part, and waits longer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Output, SetTimer
from gossipd.protocol.handout import WATCHERS
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.sampling import Sampler

TIMER = "rounds.stall"
ASKED = 8
"""Peers that are asked whether they know of progress, at once."""
ANSWERS = 3
"""Of them that are waited for. Ours: in a large swarm any single one may have heard nothing."""
CALLED = WATCHERS
"""So many, from the first of the order, see at the first stall whether it is their turn; of sixteen
one lives, in 97 of 100 cases, when four of five are dead. All would be too many to ask one."""
DIALLED = 4
"""Of those before it in the order, so many are dialled if need be to see whether they answer. Ours:
in most stalls the round goes on and this node has only not heard of it."""
LOOK = 0.5
"""Of the usual wait: how often it is seen to whether the wait has become shorter. Ours."""
OUTSIDE = 2.0
"""Usual waits of a node that comes late in the order: it only keeps up to date. Ours."""
QUIET = 4.0
"""Usual waits without any news, after which no rounds go on: even one that comes late in the order
would have been told of them."""
PATIENCE = 8
"""Stalls in a row after which the wait for the next one grows no more."""


class StallRule:
    """Watches progress."""

    def __init__(
        self,
        activity: Activity,
        sampler: Sampler,
        clock: RoundClock,
        pace: Pace,
        peers: Peers,
        policy: PeerPolicy,
        rng: Random,
        me: str,
        may_open: Callable[[], bool],
        open_: Callable[[float, list[Output]], None],
        look_ahead: Callable[[int, float, list[Output]], None],
    ) -> None:
        self._activity = activity
        self._sampler = sampler
        self._clock = clock
        self._pace = pace
        self._peers = peers
        self._policy = policy
        self._rng = rng
        self._me = me
        self._may_open = may_open
        """Whether this node has nothing to do with a round that is under way."""
        self._open = open_
        self._look_ahead = look_ahead
        """Meet a round's sample."""
        self._seen = self._turned = 0.0
        self._placed_for = 0
        self._place = 0
        self._lot = 1.0
        """Spreads the waits, so that not all look at once."""
        self._stalls = 0

    def start(self, now: float, out: list[Output]) -> None:
        self._seen = now
        self._wait(now, out)

    def progressed(self, now: float) -> None:
        """A round goes on, or has been reached."""
        self._seen = now
        self._stalls = 0

    def told(self, quiet: float, now: float, out: list[Output]) -> None:
        """A round has been reached that this node had not heard of; whoever told so has itself seen
        nothing go on for `quiet` seconds. What was over long ago is no progress: this node may be
        called upon at once."""
        self.progressed(now - quiet)
        self._find_place()
        self._wait(now, out)

    def quiet(self, now: float) -> float:
        """Seconds for which no round has been seen to go on."""
        return now - self._seen

    def is_quiet(self, now: float) -> bool:
        """Whether no rounds have been heard of for longer than any node needs to hear of them."""
        return self.quiet(now) > QUIET * self._pace.stall_seconds

    @property
    def _due(self) -> float:
        """When the swarm counts as stalled if nothing is heard of until then."""
        patience = self._pace.stall_seconds * min(1 + self._stalls, PATIENCE)
        if not self._is_called:
            patience *= OUTSIDE
        return (self._turned if self._stalls else self._seen) + patience * self._lot

    @property
    def _is_called(self) -> bool:
        return self._place < CALLED << min(self._stalls, PATIENCE)

    def _find_place(self) -> None:
        """Where this node stands in the order of the round that would be opened."""
        if self._placed_for != self._clock.next:
            self._placed_for = self._clock.next
            self._place = self._activity.place(self._placed_for)

    def _wait(self, now: float, out: list[Output]) -> None:
        # Looked at often enough for a wait that becomes shorter, since something was heard of.
        at = min(self._due, now + LOOK * self._pace.stall_seconds)
        out.append(SetTimer(TIMER, max(at, now + 0.05)))

    def on_timer(self, now: float, out: list[Output]) -> None:
        self._find_place()
        if self._due > now or not self._may_open():
            self._wait(now, out)
            return
        called = self._is_called
        self._stalls += 1
        self._turned = now
        self._lot = self._rng.uniform(1.0, 1.2)
        self._wait(now, out)
        peers = [] if self._activity.alone else self._peers.admitted()
        likely = [p for p in peers if not self._activity.is_suspect(p)] or peers
        asked = self._policy.choose(likely, ASKED)
        turn = _Turn(self._clock.next)
        told = partial(self._asked, turn)
        if not called:
            self._sampler.draw(asked, 1, told, now, out)
            return
        # Who is called is likely to train in the round to be opened, and to draw the one after it.
        self._look_ahead(self._clock.next + 1, now, out)
        turn.missing += 1
        order = self._activity.order(self._clock.next)
        before = [
            peer
            for place, peer in enumerate(order[: order.index(self._me)])
            if place < DIALLED or self._peers.is_met(peer)
        ]
        before.append(self._me)
        first = partial(self._ordered, turn)
        window = len(before)
        self._sampler.draw(before, self._stalls, first, now, out, strict=True, window=window)
        self._sampler.draw(asked, ANSWERS, told, now, out, window=ASKED)

    def _ordered(
        self, turn: "_Turn", first: tuple[str, ...], now: float, out: list[Output]
    ) -> None:
        turn.mine = self._me in first
        self._look(turn, now, out)

    def _asked(self, turn: "_Turn", awake: tuple[str, ...], now: float, out: list[Output]) -> None:
        self._look(turn, now, out)

    def _look(self, turn: "_Turn", now: float, out: list[Output]) -> None:
        turn.missing -= 1
        if turn.missing or not turn.mine:
            return
        still = self._stalls > 0 and self._clock.next == turn.round
        if still and self._may_open():
            self._open(now, out)


@dataclass(slots=True)
class _Turn:
    """What this node finds out at one stall."""

    round: int
    missing: int = 1
    """Draws that have not ended."""
    mine: bool = False
