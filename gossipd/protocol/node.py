"""One node of the swarm: `handle(event, now) -> outputs`, and nothing else.

Routes what happened to the state machines and ties them together. Here are the connections, the
greeting and the view; how the node learns is one of two modes, `heads` (asynchronous, with
`gossip`) and `rounds`, which take the rest.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from msgspec import UNSET

from gossipd.protocol import clicks, events, expulsion, peers, questions
from gossipd.protocol.by_hand import ByHand
from gossipd.protocol.clicks import Clicks
from gossipd.protocol.entrance import Entrance
from gossipd.protocol.events import Answer, Disconnect, Event, Output, Report
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.expulsion import Expulsion
from gossipd.protocol.gossip import Gossip
from gossipd.protocol.greeting import Door
from gossipd.protocol.heads import Heads
from gossipd.protocol.host import Host
from gossipd.protocol.membership import Denial, Members
from gossipd.protocol.overlay import Overlay
from gossipd.protocol.peers import Peers
from gossipd.protocol.policy import PeerPolicy, policy_of
from gossipd.protocol.questions import Questions
from gossipd.protocol.round_events import Leaving
from gossipd.protocol.rounds import Rounds
from gossipd.protocol.setup import Setup
from gossipd.protocol.twin import TwinWatch
from gossipd.protocol.view import SwarmView
from gossipd.protocol.view_pulls import ViewPulls
from gossipd.wire.identifiers import author_key
from gossipd.wire.lineages import UNHELD
from gossipd.wire.messages import (
    ClickPull,
    Enter,
    Goodbye,
    Hello,
    Ping,
    Pong,
    Refused,
    Request,
    Response,
    Revocations,
    RevocationSync,
    SignedClaim,
    SignedRecord,
    Update,
    View,
    ViewSync,
)

HARMLESS = ("full", UNHELD)
"""What an honest peer cannot know: that there is no place left here, or a lineage not any more."""


class Node:
    """The whole core of a daemon. Not thread-safe: one loop owns it."""

    def __init__(self, setup: Setup, rng: Random, clicks_rng: Random | None = None) -> None:
        """`clicks_rng`: chance of its own for clicks, so that they leave all else as it would be
        without them."""
        self.setup = setup
        self.me = author_key(setup.peer_id, setup.incarnation)
        self.members = Members(setup.swarm.id, setup.membership, setup.revocations)
        self.view = SwarmView(self.members)
        self.peers = Peers(setup.peer_id, rng, setup.max_connections, self._needed)
        self.peers.overlay = Overlay(setup.allow, setup.block)
        self.exchange = Exchange(
            setup.terms,
            self.view,
            self.peers,
            self.me,
            lambda: (self.mode.lineage, self.mode.model),
            lambda update: self._way.holds(update),
        )
        self._questions = Questions()
        self._view_pulls = ViewPulls(self.view, self.peers, self._questions)
        self._door = Door(setup.swarm, self.view)
        self._expulsion = Expulsion(self.members, self.peers, self._questions)
        self._entrance = Entrance(setup.peer_id, self.members, self.peers)
        self._twin = TwinWatch(setup.peer_id, setup.incarnation, self.view)
        me, seconds, own = setup.peer_id, setup.click_seconds, clicks_rng or rng
        self.clicks = Clicks(me, seconds, self.view, self.peers, self._questions, own)
        # In rounds all stand on one model: there is nothing to choose between peers.
        policy = "uniform" if setup.rounds else setup.policy
        host = self._host(rng, policy_of(policy, self.clicks, rng))
        self.rounds = None if setup.rounds is None else Rounds(setup.rounds, host)
        self.mode: Gossip | Rounds = self.rounds or Gossip(setup.gossip, host, rng)
        """How this node learns, and what it stands on."""
        self._heads = None if self.rounds else Heads(setup.gossip, self.gossip, host)
        self._way: Heads | Rounds = self._heads or self.rounds  # type: ignore[assignment]
        """Its dealings with others."""
        self._by_hand = ByHand(
            setup.peer_id,
            self.view,
            self.exchange,
            self._expulsion,
            partial(self._take, heard=False),
            lambda: self.identity_in_use,
        )
        self._record: SignedRecord | None = None
        self._claim: SignedClaim | None = None
        self._on: dict[type[Any], Callable[[Any, float, list[Output]], None]] = {
            events.Started: self._on_started,
            events.RecordChanged: lambda e, now, out: self._set_record(e.record),
            events.TimerFired: self._on_timer,
            events.Discovered: self._on_discovered,
            events.Forgotten: lambda e, now, out: self.peers.forget(e.peer, now, out),
            events.Restricted: lambda e, now, out: self.peers.restrict(
                self.peers.overlay.changed(e.allowed, e.blocked), now, out
            ),
            events.ClockRead: self._expulsion.on_clock,
            events.MemberRevoked: self._expulsion.on_revoked,
            events.MembershipRenewed: lambda e, now, out: self.members.renew(e.membership),
            events.Connected: self._on_connected,
            events.DialFailed: self._on_dial_failed,
            events.Disconnected: self._on_disconnected,
            events.Requested: self._on_requested,
            events.Entered: self._entrance.on_entered,
            events.Answered: self._on_answered,
            events.RequestFailed: self._on_request_failed,
            events.Misbehaved: lambda e, now, out: self.peers.refuse(
                e.peer, e.reason, now, out, hostile=e.reason not in HARMLESS
            ),
            Leaving: self._on_leaving,
            events.SetPaused: lambda e, now, out: self.mode.set_paused(e.paused, now, out),
            events.Shown: lambda e, now, out: out.append(
                events.Judged(e.token, self._by_hand.judge(e.documents, now, out))
            ),
            events.Carried: lambda e, now, out: self._way.carried(e.updates, now, out),
        }
        self._on |= self._way.handlers | self.clicks.handlers

    def _host(self, rng: Random, policy: PeerPolicy) -> Host:
        setup = self.setup
        return Host(
            setup.peer_id,
            setup.swarm.id,
            setup.swarm.genesis,
            setup.terms.parameters,
            setup.anti_entropy_seconds,
            self.view,
            self._view_pulls,
            self.peers,
            self.exchange,
            self._questions,
            policy,
            self.clicks,
            rng,
            self._take,
            self._set_claim,
            self._twin.signed,
            self._has_examples,
            lambda: self.identity_in_use,
        )

    def _has_examples(self) -> bool:
        return self._record is not None and self._record.record.examples > 0

    def _set_claim(self, claim: SignedClaim) -> None:
        self._claim = claim
        self.view.add_claim(claim)

    def _needed(self) -> set[str]:
        """Whose connections must stay just now."""
        working = set() if self.rounds is None else self.rounds.companions()
        return self._questions.asked() | working

    @property
    def gossip(self) -> Gossip:
        """The mode of a node that works asynchronously."""
        assert isinstance(self.mode, Gossip), "this node works in rounds"
        return self.mode

    @property
    def offers_sent(self) -> int:
        return 0 if self._heads is None else self._heads.sent

    @property
    def own_steps(self) -> int:
        """How far this node has claimed to have trained."""
        restored = 0 if self.rounds is None else self.rounds.own_steps
        return max(self.mode.lineage.get(self.me, 0), restored)

    def holdings(self) -> tuple[Update, ...]:
        """The updates that others may have of this node: what it stands on, and what it has met
        and not merged yet."""
        return self._way.holdings()

    @property
    def identity_in_use(self) -> bool:
        """Somebody else signs with this node's key: it no longer exchanges models."""
        return self._twin.found

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
        self.clicks.note(records)

    def handle(self, event: Event, now: float) -> list[Output]:
        """What shall be done about `event` at `now` (seconds of a clock that never goes back)."""
        out: list[Output] = []
        self._on[type(event)](event, now, out)
        return out

    # --- local events ----------------------------------------------------------------------------

    def _on_started(self, event: events.Started, now: float, out: list[Output]) -> None:
        self._set_claim(event.claim)
        self._set_record(event.record)
        self._way.start(now, out)
        self.clicks.start(now, out)

    def _set_record(self, record: SignedRecord) -> None:
        self._record = record
        self._twin.signed(record)
        self.view.add_record(record)
        self.clicks.note((record,))

    def _on_timer(self, event: events.TimerFired, now: float, out: list[Output]) -> None:
        if event.key == peers.DIAL_TIMER:
            self.peers.dial_due(now, out)
        elif event.key == expulsion.TIMER:
            self._expulsion.on_timer(now, out)
        elif event.key == clicks.TIMER:
            self.clicks.on_timer(now, out)
        else:
            self._way.on_timer(event.key, now, out)

    def _on_discovered(self, event: events.Discovered, now: float, out: list[Output]) -> None:
        if not self.members.is_revoked(event.peer):
            self.peers.learn(event.peer, event.addresses, now, out)

    # --- connections -----------------------------------------------------------------------------

    def _on_connected(self, event: events.Connected, now: float, out: list[Output]) -> None:
        # Of two dials that cross, each side may see the other's first: whoever dialled says hello.
        dialled = event.outbound or self.peers.is_dialling(event.peer)
        peer = self.peers.on_connected(event.peer, event.outbound, now, out)
        if peer is not None and dialled:
            self._questions.ask(
                event.peer, self._hello(now, asked=False), questions.Greeting(), out
            )

    def _on_dial_failed(self, event: events.DialFailed, now: float, out: list[Output]) -> None:
        self.peers.on_dial_failed(event.peer, event.reason, now, out)
        if self.rounds is not None:
            self.rounds.on_unreached(event.peer, now, out)

    def _hello(self, now: float, *, asked: bool) -> Hello:
        assert self._record is not None, "not started"
        assert self._claim is not None, "not started"
        shown = self.clicks.shown
        hello = self._door.hello(self._record, self._claim, now, asked=asked, clicks=shown)
        return hello if self.rounds is None else self.rounds.meeting.greeting(hello)

    def _meet(self, peer: str, now: float, out: list[Output]) -> None:
        """Both have admitted each other: ask what is new there.

        The dialler knows by the answer to its Hello; the other side by the dialler's first
        question, since an answer and a question may overtake each other on the way.
        """
        if self.peers.meet(peer):
            out.append(Report("peer-connected", {"peer": peer}))
            self._expulsion.on_met(peer, now, out)
            self._view_pulls.met(peer, now, out)
            self._way.on_met(peer, now, out)

    def _turn_away(self, peer: str, denial: Denial, now: float, out: list[Output]) -> None:
        code, words = denial.reason, denial.told.reason
        self.peers.refuse(peer, code, now, out, hostile=denial.hostile)
        self.peers.hold_off(peer, f"{code}: {words}", now, out)
        out.append(Report("peer-refused", {"peer": peer, "code": code, "reason": words}))

    def _on_disconnected(self, event: events.Disconnected, now: float, out: list[Output]) -> None:
        self.view.disconnected(event.peer)
        if self.peers.is_admitted(event.peer):
            out.append(Report("peer-lost", {"peer": event.peer, "reason": event.reason}))
        self.peers.on_lost(event.peer, event.reason, now, out)
        if self.rounds is not None:
            self.rounds.on_disconnected(event.peer, now, out)
        self._view_pulls.disconnected(event.peer, now, out)
        self.clicks.disconnected(event.peer)

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
        elif isinstance(message, Enter):
            self._entrance.on_enter(event, message, now, out)
        elif not self.peers.is_admitted(peer):
            self.peers.refuse(peer, "hello-first", now, out, hostile=True)
            out.append(Answer(event.token, Refused(code="hello-first", reason="say hello first")))
        else:
            if isinstance(message, ViewSync):
                self._view_pulls.told(peer, message)
            self._meet(peer, now, out)
            if not self._way.on_request(event, now, out):
                self._on_question(event, message, now, out)

    def _on_question(
        self, event: events.Requested, message: Request, now: float, out: list[Output]
    ) -> None:
        """What is answered the same in both modes, unless a mode knows better."""
        if isinstance(message, Ping):
            out.append(Answer(event.token, Pong(unavailable=self.mode.paused)))
        elif isinstance(message, ViewSync):
            out.append(Answer(event.token, self.view.answer(message, event.peer)))
        elif isinstance(message, ClickPull):
            self.clicks.answer(event, message, out)
        elif self.members.closed and isinstance(message, RevocationSync):
            out.append(Answer(event.token, self.members.answer(message)))
        elif self.members.closed and isinstance(message, Revocations):
            out.append(Answer(event.token, Revocations()))
            self._expulsion.take(event.peer, event.documents, now, out)
        else:
            refused = Refused(code="wrong-mode", reason="this peer learns in another mode")
            out.append(Answer(event.token, refused))

    def _on_hello(
        self, event: events.Requested, hello: Hello, now: float, out: list[Output]
    ) -> None:
        denial = self._door.judge(event.peer, hello, event.documents, now)
        if denial is not None:
            # The asker disconnects when it has read why; a connection that it leaves open is
            # closed by the greeting's deadline.
            self.peers.refuse(event.peer, denial.reason, now, out, hostile=denial.hostile)
            out.append(Answer(event.token, denial.told))
            words = denial.told.reason
            fields = {"peer": event.peer, "code": denial.reason, "reason": words}
            out.append(Report("peer-refused", {**fields}))
            return
        out.append(Answer(event.token, self._hello(now, asked=True)))
        self._admit(event.peer, hello, event.documents, now, out)

    def _admit(
        self,
        peer: str,
        hello: Hello,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        self._take(peer, documents, now, out)
        self.clicks.introduced(peer, hello)
        if self.peers.admit(peer) and self.rounds is not None:
            self.rounds.meeting.heard(peer, hello)
        self._compare_clocks(peer, hello, now)

    def may_read(self, peer: str, message: Request | Response, now: float) -> bool:
        """Whether the documents in a message may be opened: of who is not admitted yet only those
        of a Hello, and in a closed swarm only when its membership holds."""
        if self.peers.is_admitted(peer):
            return True
        return isinstance(message, Hello) and self._door.may_read(peer, message, now)

    # --- what peers answer -----------------------------------------------------------------------

    def _on_answered(self, event: events.Answered, now: float, out: list[Output]) -> None:
        question = self._questions.take(event.request)
        if question is None:
            return
        peer, purpose = question
        message, documents = event.message, event.documents
        if self.rounds is not None and not isinstance(message, Refused):
            self.rounds.on_answered(peer)
        if isinstance(purpose, questions.Then):
            purpose.reply(message, documents, now, out)
        elif isinstance(purpose, questions.Greeting):
            self._on_greeted(peer, message, documents, now, out)
        elif isinstance(message, Refused):
            self.peers.refuse(peer, f"peer-{message.code}"[:64], now, out)
            self._give_up(peer, purpose, now, out)
        elif isinstance(purpose, questions.ViewPull) and isinstance(message, View):
            # What it tells of everybody is not noted down as known to it: it asks in turn.
            self._take(peer, documents, now, out, heard=False)
            self._view_pulls.answered(peer, message, now, out)
        elif self._heads is None or not self._heads.on_answered(
            peer, purpose, message, documents, now, out
        ):
            self.peers.refuse(peer, "wrong-answer", now, out, hostile=True)
            self._give_up(peer, purpose, now, out)

    def _on_greeted(
        self,
        peer: str,
        message: object,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        denial: Denial | None
        if isinstance(message, Hello):
            denial = self._door.judge(peer, message, documents, now)
            if denial is None:
                self._admit(peer, message, documents, now, out)
                self._meet(peer, now, out)
                return
        elif isinstance(message, Refused):
            denial = Denial(message.code, message)
        else:
            denial = Denial(
                "wrong-answer", Refused(code="wrong-answer", reason="no hello came back")
            )
        self._turn_away(peer, denial, now, out)

    def _compare_clocks(self, peer: str, hello: Hello, now: float) -> None:
        known, wall = self.peers.table.get(peer), self.members.wall(now)
        told = hello.introduction.time
        if known is not None and wall is not None and told is not UNSET:
            known.clock = told - wall

    def _on_request_failed(
        self, event: events.RequestFailed, now: float, out: list[Output]
    ) -> None:
        question = self._questions.take(event.request)
        if question is None:
            return
        peer, purpose = question
        self.peers.refuse(peer, f"request-{event.reason}", now, out)
        self._give_up(peer, purpose, now, out)
        if isinstance(purpose, questions.Greeting):
            out.append(Disconnect(peer, f"no hello: {event.reason}"))

    def _give_up(
        self, peer: str, purpose: questions.Purpose, now: float, out: list[Output]
    ) -> None:
        if isinstance(purpose, questions.Then):
            purpose.reply(None, (), now, out)
        elif isinstance(purpose, questions.ViewPull):
            self._view_pulls.answered(peer, None, now, out)
        elif self._heads is not None:
            self._heads.give_up(purpose, now, out)

    # --- documents -------------------------------------------------------------------------------

    def _take(
        self,
        peer: str,
        documents: Sequence[events.SignedDocument],
        now: float,
        out: list[Output],
        *,
        heard: bool = True,
    ) -> None:
        """Merge what a peer passed on into the view. Signatures are checked already."""
        view, me = self.view, self.setup.peer_id
        records = [
            document
            for document in documents
            if isinstance(document, SignedRecord)
            and (document.author != me or self._twin.check(document, out))
        ]
        news, newcomers = view.add_records(records)
        for document in documents:
            if isinstance(document, SignedRecord):
                continue
            if isinstance(document, SignedClaim):
                if document.author != me or self._twin.check(document, out):
                    view.add_claim(document)
                    if heard:
                        view.heard_from(peer, document)
            elif isinstance(document, Update):
                self._twin.check(document, out)
                self.clicks.note((document,))
        if self.members.closed:
            news = [r for r in news if not self.members.is_revoked(r.author)]
        if not news:
            return
        if newcomers and self.rounds is not None:
            self.rounds.on_records(signed.author for signed in newcomers)
        self.peers.note(news, now, out)
        self.peers.wake(now, out)
