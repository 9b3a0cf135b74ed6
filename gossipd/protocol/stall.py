"""When no round comes any more: the first answering node of ORDER opens the next one.

Departure from the paper, where a round whose sample and aggregator die ends the training. Ours:

    no progress seen for some rounds' time
      -> ask somebody: whoever knows of a higher round says so in its pong, and shows the proof
      -> the first who answer in ORDER(next) may open it; this node, if it is one of them, does so
         with its own base

The same rule opens round 1. Two openers are harmless: of attempts with one number one wins, and no
base is lost (see `bases`). Each stall in a row lets one more open it, should the first in the order
not do its part, and waits longer.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Output, SetTimer
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.sampling import Sampler

TIMER = "rounds.stall"
ASKED = 8
"""Peers of whom one is asked whether it knows of progress."""
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
        self._seen = 0.0
        self._stalls = 0

    def start(self, now: float, out: list[Output]) -> None:
        self._seen = now
        self._wait(now, out)

    def progressed(self, now: float) -> None:
        """A round goes on, or has been reached."""
        self._seen = now
        self._stalls = 0

    def is_quiet(self, now: float) -> bool:
        """Whether no rounds have been heard of for longer than any node needs to hear of them."""
        return now - self._seen > 2.0 * self._pace.stall_seconds

    def _wait(self, now: float, out: list[Output]) -> None:
        patience = self._pace.stall_seconds * min(1 + self._stalls, PATIENCE)
        since = self._seen if self._stalls == 0 else now
        at = max(since + patience * self._rng.uniform(1.0, 1.2), now + 0.1)
        out.append(SetTimer(TIMER, at))

    def on_timer(self, now: float, out: list[Output]) -> None:
        stalled = now - self._seen > self._pace.stall_seconds and self._may_open()
        self._stalls += stalled
        self._wait(now, out)
        if not stalled:
            return
        peers = [] if self._activity.alone else self._peers.admitted()
        likely = [p for p in peers if not self._activity.is_suspect(p)] or peers
        asked = self._policy.choose(likely, ASKED)
        self._sampler.draw(asked, 1, partial(self._asked, now), now, out)

    def _asked(self, since: float, awake: tuple[str, ...], now: float, out: list[Output]) -> None:
        def drawn(peers: tuple[str, ...], later: float, outputs: list[Output]) -> None:
            if self._me in peers and self._seen <= since and self._may_open():
                self._open(later, outputs)

        order = self._activity.order(self._clock.next)
        self._sampler.draw(order, self._stalls, drawn, now, out)
