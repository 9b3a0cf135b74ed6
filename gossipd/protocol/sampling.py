"""SAMPLE(k, n): the first n peers of an order that answer a ping (arXiv 2302.13837, algorithm 2).

    ping the first n candidates in parallel; oneself counts without a ping
    a ping that fails, and a peer that is not available, make room for the next candidate
    n answers -> done; no candidate left -> done with fewer

Departures from the paper: a ping fails after 4 x p95 of the round trips instead of 5 s; the window
of candidates doubles every second p95 round trip, and begins as wide as lately was necessary; of
those who answered the first in the order are taken. With 80 of 100 peers dead, one replacement per
failure takes a minute.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Output, SetTimer
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.wire.messages import Ping, Pong, Response

TIMER = "rounds.sample"
SHORTEST_WIDENING = 0.1
"""Seconds between two doublings of the window, at least: ours, a guess."""
LEAST_ANSWERING = 0.1
"""Of the candidates asked lately, the share that is taken to answer at least: it bounds the window
that a draw begins with."""
OUTCOMES = 16
"""Outcomes of pings over which this share is averaged, exponentially: ours."""

REACH_PINGS = 1.5
"""Ping time-outs that making a connection may take, ping included: five round trips, in most cases;
a ping time-out is four long ones. Ours."""

Drawn = Callable[[tuple[str, ...], float, list[Output]], None]
"""Called with those who answered, in the order's order."""


@dataclass(slots=True, eq=False)
class Draw:
    """One sample in the making."""

    candidates: list[str]
    count: int
    then: Drawn
    window: int
    widen_at: float
    strict: bool
    anybody: bool
    next: int = 0
    deadlines: dict[str, float] = field(default_factory=dict)
    """Of the pings that are out."""
    reaching: set[str] = field(default_factory=set)
    """Those among them whose connection is still being made."""
    answered: set[str] = field(default_factory=set)
    done: bool = False

    @property
    def first(self) -> list[str]:
        """The first that have answered so far."""
        return [p for p in self.candidates[: self.next] if p in self.answered][: self.count]

    @property
    def settled(self) -> bool:
        if len(self.answered) < self.count:
            return False
        if not self.strict or not self.deadlines:
            return True
        last = self.first[-1]
        before = self.candidates[: self.candidates.index(last)]
        return not any(peer in self.deadlines for peer in before)


class Sampler:
    """Draws samples, several at a time; `TIMER` is its one timer."""

    def __init__(
        self,
        me: str,
        peers: Peers,
        activity: Activity,
        questions: Questions,
        pace: Pace,
        greeting: Callable[[], Ping],
        heard: Callable[[str, Pong, float, list[Output]], None],
    ) -> None:
        self._me = me
        self._peers = peers
        self._activity = activity
        self._questions = questions
        self._pace = pace
        self._greeting = greeting
        """The ping that says where this node stands."""
        self._heard = heard
        self._draws: list[Draw] = []
        self._answering = 1.0
        """The share of the candidates that answered lately."""

    def draw(
        self,
        candidates: Sequence[str],
        count: int,
        then: Drawn,
        now: float,
        out: list[Output],
        *,
        strict: bool = False,
        window: int = 0,
        anybody: bool = False,
    ) -> Draw:
        """Ask for the first `count` of `candidates` that answer; `then` is called once.

        `strict`: whoever comes before one of these has had its full time to answer, so that all
        who draw from the same candidates find the same ones. `window`: how many are asked at once
        to begin with, if more than are drawn. `anybody`: whoever lives, available or not.
        """
        likely = math.ceil(count / max(self._answering, LEAST_ANSWERING))
        window = max(window, count if strict else likely)
        widen_at = now + self._widening
        draw = Draw(list(candidates), count, then, window, widen_at, strict, anybody)
        self._draws.append(draw)
        self._advance(draw, now, out)
        self._schedule(now, out)
        return draw

    def find(
        self,
        peer: str,
        then: Callable[[bool, float, list[Output]], None],
        now: float,
        out: list[Output],
    ) -> None:
        """Connect with a peer if need be, and see whether it lives."""
        found: Drawn = lambda peers, later, outputs: then(bool(peers), later, outputs)  # noqa: E731
        self.draw((peer,), 1, found, now, out, anybody=True)

    def warm(self, candidates: Sequence[str], now: float, out: list[Output]) -> None:
        """See to it that these can be pinged at once when they are drawn from later on."""
        for peer in candidates:
            if peer != self._me and not self._peers.is_met(peer):
                self._peers.reach(peer, now, out)

    def cancel(self, draw: Draw) -> None:
        """Its `then` is not called any more."""
        self._draws = [d for d in self._draws if d is not draw]
        draw.done = True

    def on_met(self, peer: str, now: float, out: list[Output]) -> None:
        """A connection that somebody was waiting for stands."""
        for draw in self._draws:
            if peer in draw.reaching:
                draw.reaching.remove(peer)
                self._ping(draw, peer, now, out)

    def on_unreached(self, peer: str, now: float, out: list[Output]) -> None:
        """A connection that somebody may be waiting for cannot be made."""
        waiting = [draw for draw in self._draws if peer in draw.reaching]
        for draw in waiting:
            self._lost(draw, peer)
            self._advance(draw, now, out)
        if waiting:
            self._schedule(now, out)

    def on_timer(self, now: float, out: list[Output]) -> None:
        for draw in list(self._draws):
            for peer, deadline in list(draw.deadlines.items()):
                if deadline <= now:
                    self._lost(draw, peer)
            if draw.widen_at <= now:
                draw.window *= 2
                draw.widen_at = now + self._widening
            self._advance(draw, now, out)
        self._schedule(now, out)

    @property
    def _widening(self) -> float:
        """Until a window doubles: two long round trips."""
        return max(self._pace.ping_seconds / 2.0, SHORTEST_WIDENING)

    def _schedule(self, now: float, out: list[Output]) -> None:
        times = [t for draw in self._draws for t in draw.deadlines.values()]
        times += [d.widen_at for d in self._draws if d.next < len(d.candidates)]
        if times:
            out.append(SetTimer(TIMER, max(min(times), now)))

    def _advance(self, draw: Draw, now: float, out: list[Output]) -> None:
        if draw.done:
            return
        while (
            draw.next < len(draw.candidates)
            and len(draw.answered) + len(draw.deadlines) < draw.window
            and len(draw.answered) < draw.count
        ):
            peer = draw.candidates[draw.next]
            draw.next += 1
            self._try(draw, peer, now, out)
        exhausted = draw.next == len(draw.candidates) and not draw.deadlines
        if draw.settled or exhausted:
            self.cancel(draw)
            draw.then(tuple(draw.first), now, out)

    def _try(self, draw: Draw, peer: str, now: float, out: list[Output]) -> None:
        if peer == self._me:
            draw.answered.add(peer)
        elif self._peers.is_met(peer):
            draw.deadlines[peer] = now + self._pace.ping_seconds
            self._ping(draw, peer, now, out)
        elif self._peers.reach(peer, now, out):
            draw.deadlines[peer] = now + REACH_PINGS * self._pace.ping_seconds
            draw.reaching.add(peer)
        # Whom there is no way to is no candidate just now; the next one takes its place.

    def _ping(self, draw: Draw, peer: str, now: float, out: list[Output]) -> None:
        def reply(
            answer: Response | None, documents: object, later: float, outputs: list[Output]
        ) -> None:
            if isinstance(answer, Pong):
                self._pace.round_trip(later - now)
                self._peers.used(peer, later)
                self._heard(peer, answer, later, outputs)
                self._answering += (1.0 - self._answering) / OUTCOMES
                draw.deadlines.pop(peer, None)
                if draw.anybody or not answer.unavailable:
                    draw.answered.add(peer)
            else:
                self._lost(draw, peer)
            self._advance(draw, later, outputs)
            self._schedule(later, outputs)

        self._questions.ask(peer, self._greeting(), Then(reply), out)

    def _lost(self, draw: Draw, peer: str) -> None:
        if draw.deadlines.pop(peer, None) is not None:
            self._answering -= self._answering / OUTCOMES
            draw.reaching.discard(peer)
            self._peers.doubt(peer)
            self._activity.suspect(peer, self._greeting().est)
