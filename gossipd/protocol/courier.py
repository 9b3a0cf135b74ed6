"""What a node that works in rounds says to others, and how it learns from their answers which
round it is.

Every question has one answer or failure; a peer that is not connected any more fails at once. A
number above the own one is worth a question, and counts for nothing without a proof (see `proof`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Output, SignedDocument
from gossipd.protocol.fetching import Find
from gossipd.protocol.handout import Handout
from gossipd.protocol.peers import Peers
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.tasks import Delivery, Told
from gossipd.protocol.view import SwarmView
from gossipd.wire.messages import (
    Advert,
    Aggregated,
    Ping,
    Response,
    RoundProof,
    RoundQuery,
    RoundState,
    SignedSample,
    Trained,
    Update,
)

QUERY_PAUSE = 5.0
"""Seconds before a peer whose number could not be proven is asked for proof again."""

Progress = Callable[[float, list[Output]], None]


class Courier:
    """Writes, sends, and reads what comes back."""

    def __init__(
        self,
        view: SwarmView,
        peers: Peers,
        questions: Questions,
        activity: Activity,
        clock: RoundClock,
        progress: Progress,
        told: Callable[[float, float, list[Output]], None],
        find: Find,
        between: Callable[[str, Update], Sequence[Update]],
    ) -> None:
        self._view = view
        self._peers = peers
        self._questions = questions
        self._activity = activity
        self._clock = clock
        self._progress = progress
        """Called when an answer has proven a higher round."""
        self._told = told
        """Called then with the seconds for which that peer has seen no round go on."""
        self._find = find
        self._between = between
        """The bases that a peer lacks to decode a model."""
        self._queried: dict[str, float] = {}

    # --- messages --------------------------------------------------------------------------------

    def trained(
        self, peer: str, delivery: Delivery, told: Told, now: float, out: list[Output]
    ) -> None:
        """TRAINED to an aggregator."""
        updates = [u for u in (delivery.head, delivery.base, delivery.serving) if u is not None]
        signed = delivery.participation
        message = Trained(
            round=delivery.round,
            sample=delivery.sample.envelope,
            participation=b"" if signed is None else signed.envelope,
            manifests=tuple(u.envelope for u in updates),
            claims=self._claims(peer, updates),
            activity=self._activity.news_for(peer),
        )
        self._ask(peer, message, told, now, out)
        self._activity.release()

    def aggregated(
        self, peer: str, ready: Handout, sample: SignedSample, now: float, out: list[Output]
    ) -> None:
        """AGGREGATED to one of a sample, with the proof of the highest round."""
        base, serving = ready.base, ready.serving
        updates = [u for u in (base, serving) if u is not None] if base is not None else []
        between = () if base is None else self._between(peer, base)
        previous, *participations = self._clock.envelopes or (b"",)
        message = Aggregated(
            round=ready.round,
            sample=sample.envelope,
            manifests=tuple(u.envelope for u in (*updates, *between)),
            previous=previous,
            participations=tuple(participations),
            claims=self._claims(peer, updates),
            activity=self._activity.news_for(peer),
        )

        def told(state: RoundState | None, later: float, outputs: list[Output]) -> None:
            if state is None:
                self._activity.suspect(peer, self._clock.next)

        self._ask(peer, message, told, now, out)

    def check(
        self,
        about: Literal["training", "aggregation"],
        peer: str,
        sample: bytes | None,
        told: Told,
        now: float,
        out: list[Output],
    ) -> None:
        """Ask a peer what it does about a sample."""
        message = RoundQuery(round=self._clock.proven, sample=sample, about=about)
        self._ask(peer, message, told, now, out)

    def advertise(self, peers: Sequence[str], message: Advert | Ping, out: list[Output]) -> None:
        """Tell some peers; from them it spreads with the view."""
        for peer in peers:
            self._questions.ask(peer, message, Then(_nothing), out)

    def _claims(self, peer: str, updates: Sequence[Update]) -> tuple[bytes, ...]:
        return self._view.proofs_for(peer, *(u.manifest.lineage for u in updates))

    # --- which round is it -----------------------------------------------------------------------

    def doubt(self, peer: str, claimed: int, now: float, out: list[Output]) -> None:
        """Somebody names a number: ask for its proof, if it was not asked just now."""
        if claimed > self._clock.proven and now >= self._queried.get(peer, now):
            self.query(peer, now, out)

    def query(self, peer: str, now: float, out: list[Output]) -> None:
        """Ask a peer for the proof of a higher round than this node knows."""
        before = self._clock.proven
        self._queried[peer] = now + QUERY_PAUSE

        def told(state: RoundState | None, later: float, outputs: list[Output]) -> None:
            if self._clock.proven > before:
                self._queried.pop(peer, None)

        self.check("aggregation", peer, None, told, now, out)

    def disconnected(self, peer: str) -> None:
        self._queried.pop(peer, None)

    # --- questions -------------------------------------------------------------------------------

    def _ask(
        self,
        peer: str,
        message: Trained | Aggregated | RoundQuery,
        told: Told,
        now: float,
        out: list[Output],
    ) -> None:
        purpose = Then(partial(self._answered, peer, told))

        def found(alive: bool, later: float, outputs: list[Output]) -> None:
            if alive and self._peers.is_met(peer):
                self._questions.ask(peer, message, purpose, outputs)
            else:
                told(None, later, outputs)

        if self._peers.is_met(peer):
            self._questions.ask(peer, message, purpose, out)
        else:
            self._find(peer, found, now, out)

    def _answered(
        self,
        peer: str,
        told: Told,
        answer: Response | None,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        if not isinstance(answer, RoundProof):
            told(None, now, out)
            return
        self._activity.heard(peer, self._clock.next)
        if self._clock.learn_from(answer.previous, documents):
            self._progress(now, out)
            self._told(answer.quiet / 1000.0, now, out)
        told(answer.state, now, out)


def _nothing(answer: Response | None, documents: object, now: float, out: list[Output]) -> None:
    """Nobody waits for this answer."""
