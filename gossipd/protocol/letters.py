"""A round's messages, judged before anything is done about them.

Everything in them is signed, but by whom and for what? Whoever hands out signs the sample itself;
whoever brings a trained model is in its sample; the head names the sample's model as its base and
the round that it is for. What lineages claim is proven by claims, which are asked for when missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gossipd.protocol.events import Output, SignedDocument
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.tasks import Delivery, Task
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.messages import (
    GENESIS,
    ZERO,
    Aggregated,
    Response,
    Role,
    SignedParticipation,
    SignedSample,
    Trained,
    Update,
    View,
)

Take = Callable[[str, Sequence[SignedDocument], float, list[Output]], None]
"""Puts records and claims that a peer passed on into the view."""
ROLES: tuple[Role, Role, Role] = ("head", "base", "serving")
Proven = Callable[[bool, float, list[Output]], None]


@dataclass(frozen=True, slots=True)
class Judge:
    """Makes a task or a delivery of a message, or refuses it."""

    me: str
    genesis: bytes
    exchange: Exchange
    view: SwarmView
    peers: Peers
    questions: Questions
    take: Take
    asked: set[bytes] = field(default_factory=set)
    """Authors of whom nothing but steps was known, and who have been asked for."""

    def task(
        self,
        peer: str,
        message: Aggregated,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> Task | None:
        """What an aggregator wants to be trained; None when it must not be."""
        sample = _sample(documents, message.sample)
        base, serving = _first(documents, "base"), _first(documents, "serving")
        model = self.genesis if base is None else base.manifest.model
        if sample is None or sample.author != peer or sample.sample.round != message.round:
            fault = "forged-sample"
        elif self.me not in sample.sample.peers:
            fault = "not-sampled"
        elif model != sample.sample.model:
            fault = "wrong-model"
        elif self._admissible(peer, (base, serving), now, out):
            bases = (d for d in documents if isinstance(d, Update) and d.manifest.role == "base")
            between = [b for b in bases if b is not base]
            if not self._admissible(peer, between, now, out):
                return None
            return Task(message.round, sample, base, serving, peer, tuple(between))
        else:
            return None
        self.peers.refuse(peer, fault, now, out, hostile=True)
        return None

    def delivery(
        self,
        peer: str,
        message: Trained,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> Delivery | None:
        """What a trainer brings; None when it is not what it should be."""
        sample = _sample(documents, message.sample)
        head, base, serving = (_first(documents, role) for role in ROLES)
        signed = next((d for d in documents if isinstance(d, SignedParticipation)), None)
        if sample is None or sample.sample.round + 1 != message.round:
            fault = "forged-sample"
        elif peer not in sample.sample.peers:
            fault = "not-sampled"
        elif head is None:
            return Delivery(message.round, sample)
        elif signed is None or not _testifies(signed, peer, sample):
            fault = "forged-participation"
        elif (
            head.author != peer
            or head.manifest.round != message.round
            or head.manifest.base != sample.sample.model
            or head.manifest.reference not in (GENESIS, ZERO, self.genesis, sample.sample.model)
        ):
            fault = "wrong-head"
        elif self._admissible(peer, (head, base, serving), now, out):
            return Delivery(message.round, sample, head, signed, base, serving)
        else:
            return None
        self.peers.refuse(peer, fault, now, out, hostile=True)
        return None

    def prove(
        self,
        peer: str,
        updates: Sequence[Update | None],
        then: Proven,
        now: float,
        out: list[Output],
    ) -> None:
        """`then(True)` once the claims behind these updates are here; a claim is not trust.

        Authors who are met for the first time are asked for as well: without their records nobody
        knows how much has been learnt from them. Not a second time, they may have left for good.
        """
        missing = list(dict.fromkeys((*self._unproven(updates), *self._strangers(updates))))
        if not missing:
            then(True, now, out)
            return

        def reply(
            answer: Response | None,
            documents: Sequence[SignedDocument],
            later: float,
            outputs: list[Output],
        ) -> None:
            if isinstance(answer, View):
                self.take(peer, documents, later, outputs)
                unproven = self._unproven(updates)
                if unproven and not set(only) & set(unproven):
                    self.prove(peer, updates, then, later, outputs)  # more than one answer holds
                    return
                if unproven:
                    full = self.view.is_full
                    reason = "too-many-authors" if full else "unproven-lineage"
                    self.peers.refuse(peer, reason, later, outputs, hostile=not full)
            # A peer that gave no answer may be gone: nothing more is asked of it.
            then(answer is not None and not self._unproven(updates), later, outputs)

        if len(self.asked) > limits.AUTHORS:
            self.asked.clear()
        only = tuple(missing[: limits.AUTHORS_PER_QUESTION])
        self.asked.update(only)
        self.questions.ask(peer, self.view.question(only=only), Then(reply), out)

    def _unproven(self, updates: Sequence[Update | None]) -> list[bytes]:
        missing = {a for u in updates if u for a in self.view.missing(u)}
        return sorted(missing)

    def _strangers(self, updates: Sequence[Update | None]) -> list[bytes]:
        known, asked = self.view.knows, self.asked
        lineages = (u.manifest.lineage for u in updates if u)
        return sorted({a for lineage in lineages for a in lineage if not known(a)} - asked)

    def _admissible(
        self, peer: str, updates: Sequence[Update | None], now: float, out: list[Output]
    ) -> bool:
        return all(
            self.exchange.admissible(peer, update, now, out)
            for update in updates
            if update is not None
        )


def _testifies(signed: SignedParticipation, peer: str, sample: SignedSample) -> bool:
    said = signed.participation
    return (
        signed.author == peer and said.round == sample.sample.round + 1 and said.sample == sample.id
    )


def _sample(documents: Sequence[SignedDocument], envelope: bytes) -> SignedSample | None:
    samples = (d for d in documents if isinstance(d, SignedSample))
    return next((s for s in samples if s.envelope == envelope), None)


def _first(documents: Sequence[SignedDocument], role: Role) -> Update | None:
    updates = (d for d in documents if isinstance(d, Update))
    return next((u for u in updates if u.manifest.role == role), None)
