"""Asking others for what is new in their views: as differences, one after the other.

The first question to a peer says what is known here; every later one only what has become known
since, and gets what has become known there since (`View.upto`, `ViewSync.since`). A node that joins
meets many peers at once who all know the same; asked one after the other, the second of them has
little to add.
"""

from dataclasses import dataclass

from gossipd.protocol.events import Output
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, ViewPull
from gossipd.protocol.view import Mark, SwarmView
from gossipd.wire.messages import View, ViewSync

PATIENCE = 1.0
"""Seconds after which a peer that owes an answer keeps the others waiting no longer: ours, a guess
at twice a slow round trip."""
SUMMED = 64
"""Records from which on they are not named to everybody who is met, but first only summed up: in a
swarm that has formed all know the same. Ours: a sum costs as much as two names, and a round trip
when it differs."""
GROWING = 8
"""As long as one answer makes a view longer by such a part of it, the swarm still forms: the next
sum would differ, and none is sent. Ours."""


@dataclass(frozen=True, slots=True)
class _Asked:
    peer: str
    at: float
    revision: int
    """Of the view here, when it was asked."""
    size: int
    """Records that were known then."""
    summed: bool
    """Whether it was only asked if it knows the same records."""


class ViewPulls:
    """Whom this node asks, and how far each of them has told it already."""

    def __init__(self, view: SwarmView, peers: Peers, questions: Questions) -> None:
        self._view = view
        self._peers = peers
        self._questions = questions
        self._waiting: dict[str, None] = {}
        self._asked: dict[str, _Asked] = {}
        self._marks: dict[str, Mark] = {}
        self._others: dict[str, None] = {}
        """Who knows other records: to be asked by naming all that are known here."""
        self._growing = False

    def told(self, peer: str, question: ViewSync) -> None:
        """What a peer asks says what it knows: if all of that is known here, it need not be asked
        as well."""
        if isinstance(question.upto, int) and self._view.holds_all_of(question):
            self._marks[peer] = Mark(theirs=question.upto, own=self._view.revision)
            self._waiting.pop(peer, None)

    def met(self, peer: str, now: float, out: list[Output]) -> None:
        """A peer can be asked from now on."""
        if peer not in self._marks:
            self.ask(peer, now, out)

    def ask(self, peer: str, now: float, out: list[Output]) -> None:
        """Ask a peer that can be asked, now or when those before it have answered."""
        if peer not in self._asked:
            self._waiting[peer] = None
        self._next(now, out)

    def _next(self, now: float, out: list[Output]) -> None:
        while self._waiting and all(a.at + PATIENCE <= now for a in self._asked.values()):
            peer = next(iter(self._waiting))
            del self._waiting[peer]
            if not self._peers.is_met(peer):
                continue
            since = self._marks.get(peer)
            size, growing = self._view.size, self._growing
            summed = since is None and peer not in self._others and size >= SUMMED and not growing
            self._asked[peer] = _Asked(peer, now, self._view.revision, size, summed)
            question = self._view.question(since=since, summed=summed)
            self._questions.ask(peer, question, ViewPull(), out)

    def answered(self, peer: str, answer: View | None, now: float, out: list[Output]) -> None:
        """What it told has been taken; None when it told nothing."""
        asked = self._asked.pop(peer, None)
        if asked is not None and not asked.summed:
            self._growing = GROWING * (self._view.size - asked.size) >= self._view.size
        if asked is not None and answer is not None:
            if isinstance(answer.upto, int):
                self._marks[peer] = Mark(theirs=answer.upto, own=asked.revision)
            elif asked.summed:
                self._others[peer] = None
                self._waiting = {peer: None, **self._waiting}
        self._next(now, out)

    def disconnected(self, peer: str, now: float, out: list[Output]) -> None:
        """In its next life a peer counts from the beginning."""
        self._marks.pop(peer, None)
        self._others.pop(peer, None)
        self._waiting.pop(peer, None)
        self._asked.pop(peer, None)
        self._next(now, out)
