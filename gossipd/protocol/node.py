"""One node of the swarm: `handle(event, now) -> outputs`, and nothing else.

Routes what happened to the state machines and ties them together. The way of an update in:

    Offer, or the answer to Have -> exchange.judge -> [claims asked for] -> Fetch -> Arrived
        -> [an island's serving model asked for] -> gossip's buffer -> Merge -> Merged
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from gossipd.protocol import events, gossip, peers, questions
from gossipd.protocol.antientropy import AntiEntropy
from gossipd.protocol.events import Answer, Disconnect, Event, Fetch, Output, Report
from gossipd.protocol.exchange import Exchange, Terms
from gossipd.protocol.gossip import Gossip
from gossipd.protocol.greeting import Swarm, refusal
from gossipd.protocol.lineage import is_news
from gossipd.protocol.peers import Peers
from gossipd.protocol.policy import PeerPolicy, Uniform
from gossipd.protocol.questions import Questions
from gossipd.protocol.round_events import Leaving
from gossipd.protocol.rounds import Rounds, RoundSettings
from gossipd.protocol.twin import TwinWatch
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import (
    Goodbye,
    Have,
    Hello,
    Offer,
    Ping,
    Pong,
    Refused,
    Request,
    Role,
    SignedClaim,
    SignedParticipation,
    SignedRecord,
    SignedSample,
    Update,
    View,
    ViewSync,
    Want,
)


@dataclass(frozen=True, slots=True)
class Setup:
    """Who a node is and how it works; nothing of it changes while it lives."""

    peer_id: str
    incarnation: int
    swarm: Swarm
    terms: Terms
    gossip: gossip.Settings
    anti_entropy_seconds: float
    max_connections: int
    rounds: RoundSettings | None = None
    """None: the asynchronous way, `gossip`."""


class Node:
    """The whole core of a daemon. Not thread-safe: one loop owns it."""

    def __init__(self, setup: Setup, rng: Random, policy: PeerPolicy | None = None) -> None:
        self.setup = setup
        self.me = author_key(setup.peer_id, setup.incarnation)
        self.view = SwarmView()
        self.peers = Peers(setup.peer_id, rng, setup.max_connections)
        self.exchange = Exchange(
            setup.terms,
            self.view,
            self.peers,
            self.me,
            lambda: (self.mode.lineage, self.mode.model),
            lambda update: update in self._settling or self.mode.holds(update),
        )
        self.offers_sent = 0
        self._policy = policy or Uniform(rng)
        self._questions = Questions()
        self._antientropy = AntiEntropy(
            setup.anti_entropy_seconds, self._policy, self.view, self._questions, rng
        )
        self._twin = TwinWatch(setup.peer_id, setup.incarnation, self.view)
        self.rounds = None if setup.rounds is None else self._make_rounds(setup.rounds, rng)
        self.mode: Gossip | Rounds = self.rounds or Gossip(setup.gossip, self.view, rng)
        """How this node learns."""
        self._record: SignedRecord | None = None
        self._claim: SignedClaim | None = None
        self._serving_askers: list[tuple[str, int]] = []
        self._settling: set[bytes] = set()
        """Heads that are here and wait for the serving model beside them."""
        self._awaiting_serving: dict[bytes, Update] = {}
        self._on: dict[type[Any], Callable[[Any, float, list[Output]], None]] = {
            events.Started: self._on_started,
            events.RecordChanged: lambda e, now, out: self._set_record(e.record),
            events.TimerFired: self._on_timer,
            events.Discovered: lambda e, now, out: self.peers.learn(e.peer, e.addresses, now, out),
            events.Forgotten: lambda e, now, out: self.peers.forget(e.peer, now, out),
            events.Connected: self._on_connected,
            events.DialFailed: lambda e, now, out: self.peers.on_dial_failed(
                e.peer, e.reason, now, out
            ),
            events.Disconnected: self._on_disconnected,
            events.Requested: self._on_requested,
            events.Answered: self._on_answered,
            events.RequestFailed: self._on_request_failed,
            events.Misbehaved: lambda e, now, out: self.peers.refuse(
                e.peer, e.reason, now, out, hostile=True
            ),
            events.Arrived: self._on_arrived,
            events.FetchFailed: self._on_fetch_failed,
            events.Trained: self._on_trained,
            events.Merged: self._on_merged,
            events.LearningFailed: self._on_learning_failed,
            events.ServingPublished: self._on_serving_published,
            events.SetPaused: lambda e, now, out: self.mode.set_paused(e.paused, now, out),
        }
        if self.rounds is not None:
            self._on.update(self.rounds.handlers)
            self._on[Leaving] = self._on_leaving

    def _make_rounds(self, settings: RoundSettings, rng: Random) -> Rounds:
        setup = self.setup
        return Rounds(
            settings,
            setup.peer_id,
            setup.swarm.id,
            setup.swarm.genesis,
            setup.anti_entropy_seconds,
            self.view,
            self.peers,
            self.exchange,
            self._questions,
            self._policy,
            rng,
            self._take,
            self._set_claim,
            self._twin.signed,
            lambda: self.identity_in_use,
        )

    def _set_claim(self, claim: SignedClaim) -> None:
        self._claim = claim
        self.view.add_claim(claim)

    @property
    def gossip(self) -> Gossip:
        """The mode of a node that works asynchronously."""
        assert isinstance(self.mode, Gossip), "this node works in rounds"
        return self.mode

    @property
    def own_steps(self) -> int:
        """How far this node has claimed to have trained."""
        restored = 0 if self.rounds is None else self.rounds.own_steps
        return max(self.mode.lineage.get(self.me, 0), restored)

    def restore(
        self,
        head: Update | None,
        records: Sequence[SignedRecord],
        claims: Sequence[SignedClaim],
    ) -> None:
        """Take up where storage says this node stood; before the first event."""
        if self.rounds is None:
            self.gossip.head = head
        for record in records:
            self.view.add_record(record)
        for claim in claims:
            self.view.add_claim(claim)

    def handle(self, event: Event, now: float) -> list[Output]:
        """What shall be done about `event` at `now` (seconds of a clock that never goes back)."""
        out: list[Output] = []
        self._on[type(event)](event, now, out)
        return out

    # --- local events ----------------------------------------------------------------------------

    def _on_started(self, event: events.Started, now: float, out: list[Output]) -> None:
        self._set_claim(event.claim)
        self._set_record(event.record)
        self.mode.start(now, out)
        if self.rounds is None and self.setup.gossip.exchange:
            self._antientropy.start(now, out)

    def _set_record(self, record: SignedRecord) -> None:
        self._record = record
        self._twin.signed(record)
        self.view.add_record(record)

    def _on_timer(self, event: events.TimerFired, now: float, out: list[Output]) -> None:
        if event.key == peers.DIAL_TIMER:
            self.peers.dial_due(now, out)
        elif self.rounds is not None:
            self.rounds.on_timer(event.key, now, out)
        elif event.key == gossip.CYCLE_TIMER:
            self.gossip.on_timer(now, out)
        else:
            self._antientropy.on_timer(self.peers.admitted(), self._have("head"), now, out)

    def _have(self, role: Role) -> Have:
        model = self.gossip.model or self.setup.swarm.genesis
        return Have(lineage=dict(self.gossip.lineage), model=model, role=role)

    # --- connections -----------------------------------------------------------------------------

    def _on_connected(self, event: events.Connected, now: float, out: list[Output]) -> None:
        peer = self.peers.on_connected(event.peer, event.outbound, now, out)
        if peer is not None and event.outbound:
            self._questions.ask(event.peer, self._hello(), questions.Greeting(), out)

    def _hello(self) -> Hello:
        assert self._record is not None, "not started"
        assert self._claim is not None, "not started"
        swarm = self.setup.swarm
        return Hello(
            swarm=swarm.id,
            task=swarm.task,
            layout=swarm.layout,
            genesis=swarm.genesis,
            record=self._record.envelope,
            claim=self._claim.envelope,
            agent=swarm.agent,
        )

    def _meet(self, peer: str, now: float, out: list[Output]) -> None:
        """Both have admitted each other: ask what is new there.

        The dialler knows by the answer to its Hello; the other side by the dialler's first
        question, since an answer and a question may overtake each other on the way.
        """
        if self.peers.meet(peer):
            out.append(Report("peer-connected", {"peer": peer}))
            self._questions.ask(peer, self.view.question(), questions.ViewPull(), out)
            if self.rounds is not None:
                self.rounds.on_met(peer, now, out)
            elif self.setup.gossip.exchange:
                self._questions.ask(peer, self._have("head"), questions.Pull(), out)

    def _turn_away(self, peer: str, refused: Refused, now: float, out: list[Output]) -> None:
        self.peers.refuse(peer, refused.code, now, out)
        self.peers.hold_off(peer, f"{refused.code}: {refused.reason}", now, out)
        out.append(
            Report("peer-refused", {"peer": peer, "code": refused.code, "reason": refused.reason})
        )

    def _on_disconnected(self, event: events.Disconnected, now: float, out: list[Output]) -> None:
        self.view.disconnected(event.peer)
        if self.peers.is_admitted(event.peer):
            out.append(Report("peer-lost", {"peer": event.peer, "reason": event.reason}))
        self.peers.on_lost(event.peer, event.reason, now, out)
        if self.rounds is not None:
            self.rounds.on_disconnected(event.peer, now, out)

    def _on_leaving(self, event: Leaving, now: float, out: list[Output]) -> None:
        """The last words of a node that stops in good order."""
        self._set_record(event.record)
        if self.rounds is not None:
            self.rounds.leave(event.record, now, out)

    # --- what peers ask --------------------------------------------------------------------------

    def _on_requested(self, event: events.Requested, now: float, out: list[Output]) -> None:
        peer, message = event.peer, event.message
        if isinstance(message, Hello):
            self._on_hello(event, message, now, out)
        elif isinstance(message, Goodbye):
            out += [Answer(event.token, Goodbye()), Disconnect(peer, "goodbye")]
        elif not self.peers.is_admitted(peer):
            self.peers.refuse(peer, "hello-first", now, out, hostile=True)
            out.append(Answer(event.token, Refused(code="hello-first", reason="say hello first")))
        else:
            self._meet(peer, now, out)
            if self.rounds is None or not self.rounds.on_request(event, now, out):
                self._on_question(event, message, now, out)

    def _on_question(
        self,
        event: events.Requested,
        message: Request,
        now: float,
        out: list[Output],
    ) -> None:
        peer = event.peer
        if isinstance(message, Ping):
            out.append(Answer(event.token, Pong(unavailable=self.mode.paused)))
        elif isinstance(message, ViewSync):
            out.append(Answer(event.token, self.view.answer(message)))
        elif isinstance(message, Offer):
            expected = self._on_offer(peer, event.documents, now, out)
            out.append(Answer(event.token, Want(updates=tuple(u.id for u in expected))))
        elif isinstance(message, Have):
            self._on_have(event, message, out)
        else:
            refused = Refused(code="wrong-mode", reason="this peer does not work in rounds")
            out.append(Answer(event.token, refused))

    def _on_hello(
        self, event: events.Requested, hello: Hello, now: float, out: list[Output]
    ) -> None:
        refused = self._judge_hello(event.peer, hello, event.documents)
        if refused is not None:
            # The asker disconnects when it has read why; a connection that it leaves open is
            # closed by the greeting's deadline.
            self.peers.refuse(event.peer, refused.code, now, out)
            out.append(Answer(event.token, refused))
            out.append(Report("peer-refused", {"peer": event.peer, "code": refused.code}))
            return
        out.append(Answer(event.token, self._hello()))
        self._take(event.peer, event.documents, now, out)
        self.peers.admit(event.peer)

    def _judge_hello(
        self, peer: str, hello: Hello, documents: Sequence[events.SignedDocument]
    ) -> Refused | None:
        refused = refusal(self.setup.swarm, hello)
        if refused is not None:
            return refused
        if {document.author for document in documents} != {peer}:
            return Refused(code="forged-hello", reason="record and claim must be the sender's own")
        claims = [d for d in documents if isinstance(d, SignedClaim)]
        if not all(self.view.has_room_for(author_key(peer, c.claim.incarnation)) for c in claims):
            return Refused(code="swarm-full", reason=f"at most {limits.AUTHORS} authors")
        return None

    def _on_have(self, event: events.Requested, have: Have, out: list[Output]) -> None:
        head = self.gossip.head
        if not self._publishes or head is None:
            out.append(Answer(event.token, Offer()))
        elif have.role == "serving":
            self._serving_askers.append((event.peer, event.token))
            if len(self._serving_askers) == 1:
                out.append(events.PublishServing(dict(self.gossip.lineage)))
        elif is_news(have.lineage, have.model, head.manifest.lineage, head.manifest.model):
            out.append(Answer(event.token, self._offer(event.peer, head)))
        else:
            out.append(Answer(event.token, Offer()))

    def _offer(self, peer: str, update: Update) -> Offer:
        claims = self.view.proofs_for(peer, update.manifest.lineage)
        return Offer(manifests=(update.envelope,), claims=claims)

    def _on_serving_published(
        self, event: events.ServingPublished, now: float, out: list[Output]
    ) -> None:
        if event.update is not None:
            self._twin.signed(event.update)
        for peer, token in self._serving_askers:
            # This node may have trained since the asker heard of it, so the claims go along.
            offer = Offer() if event.update is None else self._offer(peer, event.update)
            out.append(Answer(token, offer))
        self._serving_askers = []

    # --- what peers answer -----------------------------------------------------------------------

    def _on_answered(self, event: events.Answered, now: float, out: list[Output]) -> None:
        question = self._questions.take(event.request)
        if question is None:
            return
        peer, purpose = question
        message, documents = event.message, event.documents
        if isinstance(purpose, questions.Then):
            purpose.reply(message, documents, now, out)
        elif isinstance(purpose, questions.Greeting):
            self._on_greeted(peer, message, documents, now, out)
        elif isinstance(message, Refused):
            self.peers.refuse(peer, f"peer-{message.code}"[:64], now, out)
            self._give_up(purpose, now, out)
        elif isinstance(purpose, questions.ViewPull) and isinstance(message, View):
            self._take(peer, documents, now, out)
        elif isinstance(purpose, questions.Proof) and isinstance(message, View):
            self._take(peer, documents, now, out)
            updates = list(purpose.updates)
            self.exchange.fetch(peer, self.exchange.judge_proven(peer, updates, now, out), out)
        elif isinstance(purpose, questions.Pull) and isinstance(message, Offer):
            self._on_offer(peer, documents, now, out)
        elif isinstance(purpose, questions.ServingPull) and isinstance(message, Offer):
            self._on_serving_offer(peer, purpose.update, documents, now, out)
        elif not (isinstance(purpose, questions.Offered) and isinstance(message, Want)):
            self.peers.refuse(peer, "wrong-answer", now, out, hostile=True)
            self._give_up(purpose, now, out)

    def _on_greeted(
        self,
        peer: str,
        message: object,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        if isinstance(message, Hello):
            refused = self._judge_hello(peer, message, documents)
        elif isinstance(message, Refused):
            refused = message
        else:
            refused = Refused(code="wrong-answer", reason="no hello came back")
        if refused is not None:
            self._turn_away(peer, refused, now, out)
            return
        self._take(peer, documents, now, out)
        self.peers.admit(peer)
        self._meet(peer, now, out)

    def _on_request_failed(
        self, event: events.RequestFailed, now: float, out: list[Output]
    ) -> None:
        question = self._questions.take(event.request)
        if question is None:
            return
        peer, purpose = question
        self.peers.refuse(peer, f"request-{event.reason}", now, out)
        self._give_up(purpose, now, out)
        if isinstance(purpose, questions.Greeting):
            out.append(Disconnect(peer, f"no hello: {event.reason}"))

    def _give_up(self, purpose: questions.Purpose, now: float, out: list[Output]) -> None:
        if isinstance(purpose, questions.Then):
            purpose.reply(None, (), now, out)
        elif isinstance(purpose, questions.ServingPull):
            self._settle(purpose.update, None, now, out)

    # --- updates ---------------------------------------------------------------------------------

    def _on_offer(
        self,
        peer: str,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> list[Update]:
        """Judge what is offered, start fetching; the updates that may be fetched."""
        self._take(peer, documents, now, out)
        if not self.setup.gossip.exchange or self.identity_in_use:
            # With a twin about, what others have learnt of "this" node means nothing here.
            return []
        offered = tuple(
            d for d in documents if isinstance(d, Update) and d.manifest.role != "serving"
        )
        wanted, unproven = self.exchange.judge(peer, offered, now, out)
        self.exchange.fetch(peer, wanted, out)
        if self._questions.is_open(peer, questions.Proof):
            # One at a time, so that nobody makes this node hoard manifests; they come again.
            return wanted
        if unproven:
            missing = {a for u in unproven for a in self.view.unproven(u.manifest.lineage)}
            question = self.view.question(only=tuple(sorted(missing))[: limits.AUTHORS])
            self._questions.ask(peer, question, questions.Proof(tuple(unproven)), out)
        return wanted + unproven

    def _on_arrived(self, event: events.Arrived, now: float, out: list[Output]) -> None:
        head = self._awaiting_serving.pop(event.update.id, None)
        if head is not None:
            self._settle(head, event.update, now, out)
            return
        self.exchange.on_arrived(event, out)
        if self.gossip.is_island(event.update) and self.peers.is_admitted(event.peer):
            self._settling.add(event.update.id)
            purpose = questions.ServingPull(event.update)
            self._questions.ask(event.peer, self._have("serving"), purpose, out)
        else:
            self.gossip.arrived(event.update, None, now, out)

    def _settle(self, head: Update, serving: Update | None, now: float, out: list[Output]) -> None:
        """The serving model beside a head has come, or will not: the head can be merged."""
        self._settling.discard(head.id)
        self.gossip.arrived(head, serving, now, out)

    def _on_serving_offer(
        self,
        peer: str,
        head: Update,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        self._take(peer, documents, now, out)
        offered = tuple(
            d for d in documents if isinstance(d, Update) and d.manifest.role == "serving"
        )
        wanted, _ = self.exchange.judge(peer, offered[:1], now, out)
        if wanted and wanted[0].id not in self._awaiting_serving:
            self._awaiting_serving[wanted[0].id] = head
            out.append(Fetch(peer, wanted[0]))
        else:
            self._settle(head, None, now, out)

    def _on_fetch_failed(self, event: events.FetchFailed, now: float, out: list[Output]) -> None:
        head = self._awaiting_serving.pop(event.update.id, None)
        if head is not None:
            self.peers.refuse(event.peer, event.reason, now, out, hostile=event.blame != "nobody")
            self._settle(head, None, now, out)
            return
        self.exchange.on_fetch_failed(event, now, out)

    # --- learning --------------------------------------------------------------------------------

    def _on_trained(self, event: events.Trained, now: float, out: list[Output]) -> None:
        self._set_claim(event.claim)
        self._twin.signed(event.head)
        self.gossip.on_trained(event.head, event.loss, now, out)
        out.append(Report("trained", {"steps": event.claim.claim.steps, "loss": event.loss}))
        if not self._publishes:
            return
        for peer in self._policy.choose(self.peers.admitted(), self.setup.gossip.fanout):
            self.offers_sent += 1
            self._questions.ask(peer, self._offer(peer, event.head), questions.Offered(), out)

    def _on_merged(self, event: events.Merged, now: float, out: list[Output]) -> None:
        self._twin.signed(event.head)
        self.gossip.on_merged(event.head, now, out)

    def _on_learning_failed(
        self, event: events.LearningFailed, now: float, out: list[Output]
    ) -> None:
        out.append(
            Report(
                "learning-failed",
                {"task": event.task, "reason": event.reason, "gate": event.gate},
            )
        )
        self.gossip.on_failed(event.task, event.reason, event.gate, now, out)

    @property
    def identity_in_use(self) -> bool:
        """Somebody else signs with this node's key: it no longer exchanges models."""
        return self._twin.found

    @property
    def _publishes(self) -> bool:
        """Whether others may have the head: what cannot be proven, they would only refuse."""
        return (
            self.setup.gossip.exchange
            and not self.identity_in_use
            and not self.view.unproven(self.mode.lineage)
        )

    # --- documents -------------------------------------------------------------------------------

    def _take(
        self,
        peer: str,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        """Merge what a peer passed on into the view. Signatures are checked already."""
        for document in documents:
            if isinstance(document, SignedSample | SignedParticipation):
                continue
            if not self._twin.check(document, out):
                continue
            if isinstance(document, SignedRecord):
                newcomer = self.view.record_of(document.author) is None
                if self.view.add_record(document):
                    if newcomer and self.rounds is not None:
                        self.rounds.on_record(document.author)
                    self.peers.learn(
                        document.author,
                        document.record.addresses,
                        now,
                        out,
                        record=document.envelope,
                    )
            elif isinstance(document, SignedClaim):
                self.view.add_claim(document)
                self.view.heard_from(peer, document)
