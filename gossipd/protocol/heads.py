"""How heads change hands between nodes that learn asynchronously: offer, have, pull.

The way of an update in:

    Offer, or the answer to Have -> exchange.judge -> [claims asked for] -> Fetch -> Arrived
        -> [an island's serving model asked for] -> gossip's buffer -> Merge -> Merged
"""

from collections.abc import Callable, Sequence
from typing import Any

from gossipd.protocol import events, gossip, questions
from gossipd.protocol.antientropy import AntiEntropy
from gossipd.protocol.by_hand import pairs
from gossipd.protocol.events import Answer, Fetch, Output, Report, SignedDocument
from gossipd.protocol.gossip import Gossip, Settings
from gossipd.protocol.host import Host
from gossipd.protocol.lineage import is_news
from gossipd.wire import limits
from gossipd.wire.messages import Have, Offer, Response, Role, Update, View, Want


class Heads:
    """Gossip's dealings with others."""

    def __init__(self, settings: Settings, learning: Gossip, host: Host) -> None:
        self._settings = settings
        self._gossip = learning
        self._host = host
        self._exchange = host.exchange
        self._antientropy = AntiEntropy(
            host.anti_entropy_seconds, host.policy, host.view_pulls, host.questions, host.rng
        )
        self.sent = 0
        """Offers made."""
        self._serving_askers: list[tuple[str, int]] = []
        self._settling: set[bytes] = set()
        """Heads that are here and wait for the serving model beside them."""
        self._awaiting_serving: dict[bytes, Update] = {}

    @property
    def handlers(self) -> dict[type[Any], Callable[[Any, float, list[Output]], None]]:
        """Events that only this mode knows of, or takes its own way."""
        return {
            events.Arrived: self._on_arrived,
            events.FetchFailed: self._on_fetch_failed,
            events.Trained: self._on_trained,
            events.Merged: self._on_merged,
            events.LearningFailed: self._on_learning_failed,
            events.ServingPublished: self._on_serving_published,
        }

    def holds(self, update_id: bytes) -> bool:
        """Whether an update is here already and waits to be merged."""
        return update_id in self._settling or self._gossip.holds(update_id)

    # --- local events ----------------------------------------------------------------------------

    def start(self, now: float, out: list[Output]) -> None:
        self._gossip.start(now, out)
        if self._settings.exchange:
            self._antientropy.start(now, out)

    def on_timer(self, key: str, now: float, out: list[Output]) -> None:
        if key == gossip.CYCLE_TIMER:
            self._gossip.on_timer(now, out)
        else:
            peers = self._host.peers.admitted()
            self._antientropy.on_timer(peers, self._have("head"), now, out)

    def on_met(self, peer: str, now: float, out: list[Output]) -> None:
        """A peer can be asked."""
        if self._settings.exchange:
            self._host.questions.ask(peer, self._have("head"), questions.Pull(), out)

    def _have(self, role: Role) -> Have:
        model = self._gossip.model or self._host.genesis
        return Have(lineage=dict(self._gossip.lineage), model=model, role=role)

    @property
    def _publishes(self) -> bool:
        """Whether others may have the head: what cannot be proven, they would only refuse."""
        return (
            self._settings.exchange
            and not self._host.is_twin()
            and not self._host.view.unproven(self._gossip.lineage)
        )

    # --- what peers ask --------------------------------------------------------------------------

    def on_request(self, event: events.Requested, now: float, out: list[Output]) -> bool:
        """True when the request is one of this mode's."""
        if isinstance(event.message, Offer):
            expected = self._on_offer(event.peer, event.documents, now, out)
            out.append(Answer(event.token, Want(updates=tuple(u.id for u in expected))))
        elif isinstance(event.message, Have):
            self._on_have(event, event.message, out)
        else:
            return False
        return True

    def _on_have(self, event: events.Requested, have: Have, out: list[Output]) -> None:
        head = self._gossip.head
        if not self._publishes or head is None:
            out.append(Answer(event.token, Offer()))
        elif have.role == "serving":
            self._serving_askers.append((event.peer, event.token))
            if len(self._serving_askers) == 1:
                out.append(events.PublishServing(dict(self._gossip.lineage)))
        elif is_news(have.lineage, have.model, head.manifest.lineage, head.manifest.model):
            out.append(Answer(event.token, self._offer(event.peer, head)))
        else:
            out.append(Answer(event.token, Offer()))

    def _offer(self, peer: str, update: Update) -> Offer:
        claims = self._host.view.proofs_for(peer, update.manifest.lineage)
        return Offer(manifests=(update.envelope,), claims=claims)

    def _on_serving_published(
        self, event: events.ServingPublished, now: float, out: list[Output]
    ) -> None:
        if event.update is not None:
            self._host.signed(event.update)
        for peer, token in self._serving_askers:
            # This node may have trained since the asker heard of it, so the claims go along.
            offer = Offer() if event.update is None else self._offer(peer, event.update)
            out.append(Answer(token, offer))
        self._serving_askers = []

    # --- what peers answer -----------------------------------------------------------------------

    def on_answered(
        self,
        peer: str,
        purpose: questions.Purpose,
        message: Response,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> bool:
        """True when the answer is what one of this mode's questions was for."""
        if isinstance(purpose, questions.Proof) and isinstance(message, View):
            self._host.take(peer, documents, now, out)
            proven = self._exchange.judge_proven(peer, list(purpose.updates), now, out)
            self._exchange.fetch(peer, proven, out)
        elif isinstance(purpose, questions.Pull) and isinstance(message, Offer):
            self._on_offer(peer, documents, now, out)
        elif isinstance(purpose, questions.ServingPull) and isinstance(message, Offer):
            self._on_serving_offer(peer, purpose.update, documents, now, out)
        else:
            return isinstance(purpose, questions.Offered) and isinstance(message, Want)
        return True

    def give_up(self, purpose: questions.Purpose, now: float, out: list[Output]) -> None:
        """A question of this mode has no answer."""
        if isinstance(purpose, questions.ServingPull):
            self._settle(purpose.update, None, now, out)

    # --- updates ---------------------------------------------------------------------------------

    def _on_offer(
        self,
        peer: str,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> list[Update]:
        """Judge what is offered, start fetching; the updates that may be fetched."""
        self._host.take(peer, documents, now, out)
        if not self._settings.exchange or self._host.is_twin():
            # With a twin about, what others have learnt of "this" node means nothing here.
            return []
        offered = tuple(
            d for d in documents if isinstance(d, Update) and d.manifest.role != "serving"
        )
        wanted, unproven = self._exchange.judge(peer, offered, now, out)
        self._exchange.fetch(peer, wanted, out)
        if self._host.questions.is_open(peer, questions.Proof):
            # One at a time, so that nobody makes this node hoard manifests; they come again.
            return wanted
        if unproven:
            missing = {a for u in unproven for a in self._host.view.missing(u)}
            only = tuple(sorted(missing))[: limits.AUTHORS_PER_QUESTION]
            question = self._host.view.question(only=only)
            self._host.questions.ask(peer, question, questions.Proof(tuple(unproven)), out)
        return wanted + unproven

    def _on_arrived(self, event: events.Arrived, now: float, out: list[Output]) -> None:
        self._host.peers.used(event.peer, now)
        head = self._awaiting_serving.pop(event.update.id, None)
        if head is not None:
            self._settle(head, event.update, now, out)
            return
        self._exchange.on_arrived(event, out)
        if self._gossip.is_island(event.update) and self._host.peers.is_admitted(event.peer):
            self._settling.add(event.update.id)
            purpose = questions.ServingPull(event.update)
            self._host.questions.ask(event.peer, self._have("serving"), purpose, out)
        else:
            self._gossip.arrived(event.update, None, now, out)

    def _settle(self, head: Update, serving: Update | None, now: float, out: list[Output]) -> None:
        """The serving model beside a head has come, or will not: the head can be merged."""
        self._settling.discard(head.id)
        self._gossip.arrived(head, serving, now, out)

    def _on_serving_offer(
        self,
        peer: str,
        head: Update,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        self._host.take(peer, documents, now, out)
        offered = tuple(
            d for d in documents if isinstance(d, Update) and d.manifest.role == "serving"
        )
        wanted, _ = self._exchange.judge(peer, offered[:1], now, out)
        if wanted and wanted[0].id not in self._awaiting_serving:
            self._awaiting_serving[wanted[0].id] = head
            out.append(Fetch(peer, wanted[0]))
        else:
            self._settle(head, None, now, out)

    def _on_fetch_failed(self, event: events.FetchFailed, now: float, out: list[Output]) -> None:
        head = self._awaiting_serving.pop(event.update.id, None)
        if head is not None:
            self._host.peers.refuse(
                event.peer, event.reason, now, out, hostile=event.blame != "nobody"
            )
            self._settle(head, None, now, out)
            return
        self._exchange.on_fetch_failed(event, now, out)

    # --- by hand ---------------------------------------------------------------------------------

    def carried(self, updates: Sequence[Update], now: float, out: list[Output]) -> None:
        """Brought by hand, bodies and all: they wait for the next merge like any other."""
        for head, serving in pairs(updates, "head"):
            if head is not None and self._exchange.is_news(head):
                island = self._gossip.is_island(head)
                self._gossip.arrived(head, serving if island else None, now, out)

    def holdings(self) -> tuple[Update, ...]:
        head = self._gossip.head
        own = (head,) if head is not None and self._publishes else ()
        return (*own, *self._gossip.waiting())

    # --- learning --------------------------------------------------------------------------------

    def _on_trained(self, event: events.Trained, now: float, out: list[Output]) -> None:
        self._host.claim(event.claim)
        self._host.signed(event.head)
        self._gossip.on_trained(event.head, event.loss, now, out)
        out.append(Report("trained", {"steps": event.claim.claim.steps, "loss": event.loss}))
        if not self._publishes:
            return
        for peer in self._host.policy.choose(self._host.peers.admitted(), self._settings.fanout):
            self.sent += 1
            self._host.questions.ask(peer, self._offer(peer, event.head), questions.Offered(), out)

    def _on_merged(self, event: events.Merged, now: float, out: list[Output]) -> None:
        self._host.signed(event.head)
        self._host.clicks.merged(event.authors, event.gain, now)
        self._gossip.on_merged(event.head, now, out)

    def _on_learning_failed(
        self, event: events.LearningFailed, now: float, out: list[Output]
    ) -> None:
        out.append(
            Report(
                "learning-failed",
                {"task": event.task, "reason": event.reason, "gate": event.gate},
            )
        )
        self._gossip.on_failed(event.task, event.reason, event.gate, now, out)
