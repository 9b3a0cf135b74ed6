"""SAMPLE(k, n): the first n peers of an order that answer a ping (arXiv 2302.13837, algorithm 2).

    ping the first n candidates in parallel; oneself counts without a ping
    a ping that fails, and a peer that is not available, make room for the next candidate
    n answers -> done; no candidate left -> done with fewer

Departures from the paper: a ping fails after 4 x p95 of the round trips instead of 5 s, and the
window of candidates doubles a quarter of a second after the start, again after half a second, then
every second; of those who answered the first in the order are taken. With 80 of 100 peers dead, one
replacement per failure takes a minute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Output, SetTimer
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.wire.messages import Ping, Pong, Response

TIMER = "rounds.sample"
FIRST_WIDENING = 0.25
LONGEST_WIDENING = 1.0
"""Seconds between two doublings of the window: ours, simulated."""

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
    pause: float = FIRST_WIDENING
    next: int = 0
    deadlines: dict[str, float] = field(default_factory=dict)
    """Of the pings that are out."""
    reaching: set[str] = field(default_factory=set)
    """Those among them whose connection is still being made."""
    answered: set[str] = field(default_factory=set)
    done: bool = False


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

    def draw(
        self, candidates: Sequence[str], count: int, then: Drawn, now: float, out: list[Output]
    ) -> Draw:
        """Ask for the first `count` of `candidates` that answer; `then` is called once."""
        draw = Draw(list(candidates), count, then, count, now + FIRST_WIDENING)
        self._draws.append(draw)
        self._advance(draw, now, out)
        self._schedule(now, out)
        return draw

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

    def on_timer(self, now: float, out: list[Output]) -> None:
        for draw in list(self._draws):
            for peer, deadline in list(draw.deadlines.items()):
                if deadline <= now:
                    self._lost(draw, peer)
            if draw.widen_at <= now:
                draw.window *= 2
                draw.pause = min(2 * draw.pause, LONGEST_WIDENING)
                draw.widen_at = now + draw.pause
            self._advance(draw, now, out)
        self._schedule(now, out)

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
        if len(draw.answered) >= draw.count or exhausted:
            self.cancel(draw)
            first = [p for p in draw.candidates if p in draw.answered][: draw.count]
            draw.then(tuple(first), now, out)

    def _try(self, draw: Draw, peer: str, now: float, out: list[Output]) -> None:
        if peer == self._me:
            draw.answered.add(peer)
        elif self._peers.is_met(peer):
            draw.deadlines[peer] = now + self._pace.ping_seconds
            self._ping(draw, peer, now, out)
        elif self._peers.reach(peer, now, out):
            draw.deadlines[peer] = now + max(self._pace.ping_seconds, LONGEST_WIDENING)
            draw.reaching.add(peer)
        # Whom there is no way to is no candidate just now; the next one takes its place.

    def _ping(self, draw: Draw, peer: str, now: float, out: list[Output]) -> None:
        def reply(
            answer: Response | None, documents: object, later: float, outputs: list[Output]
        ) -> None:
            if isinstance(answer, Pong):
                self._pace.round_trip(later - now)
                self._heard(peer, answer, later, outputs)
                draw.deadlines.pop(peer, None)
                if not answer.unavailable:
                    draw.answered.add(peer)
            else:
                self._lost(draw, peer)
            self._advance(draw, later, outputs)
            self._schedule(later, outputs)

        self._questions.ask(peer, self._greeting(), Then(reply), out)

    def _lost(self, draw: Draw, peer: str) -> None:
        if draw.deadlines.pop(peer, None) is not None:
            draw.reaching.discard(peer)
            self._activity.suspect(peer, self._greeting().est)
