"""Sampled rounds: MoDeST, mostly-consistent decentralised sampling (arXiv 2302.13837).

    S_k, the sample of round k, trains on M_k -> an aggregator of k + 1 averages -> M_k+1 -> S_k+1

This module ties the state machines of a round together and decides what a message is worth:

    clock       which round is it: only what can be proven counts         (proof)
    sampler     who answers first in ORDER(k)                             (sampling, activity)
    trainer     train when sampled, find the aggregator                   (trainer)
    aggregator  collect, average                                          (aggregator, plan)
    desk        draw the next sample and hand the model out               (handout)
    bases       what this node stands on, by lineage                      (bases, pulls)

Departure from the paper (stall rule): when a swarm sees no progress for some rounds' time, the
first answering node of ORDER opens the next round with its own base. The same rule opens round 1.
A lone node is its own sample and trains on, without counting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from gossipd.protocol import aggregator, antientropy, handout, sampling, trainer
from gossipd.protocol.activity import Activity, rank
from gossipd.protocol.aggregator import Aggregator
from gossipd.protocol.bases import Bases
from gossipd.protocol.events import (
    Answer,
    Arrived,
    FetchFailed,
    Output,
    Report,
    Requested,
    SetTimer,
    SignedDocument,
)
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.handout import Desk, Handout
from gossipd.protocol.letters import Judge, Take
from gossipd.protocol.lineage import Lineage, Relation, compare
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.plan import Planner
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.pulls import Pulls
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.round_events import (
    Adopted,
    RoundAggregated,
    RoundTrained,
    RoundWorkFailed,
    SampleSealed,
)
from gossipd.protocol.sampling import Sampler
from gossipd.protocol.tasks import Delivery, Task, Told
from gossipd.protocol.trainer import Phase, Trainer
from gossipd.protocol.view import SwarmView
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import (
    Advert,
    Aggregated,
    Have,
    Offer,
    Ping,
    Pong,
    Response,
    RoundProof,
    RoundQuery,
    RoundState,
    SignedClaim,
    SignedRecord,
    SignedSample,
    Trained,
    Update,
)

STALL_TIMER = "rounds.stall"
REJOIN_PEERS = 10
"""Peers that are told when a node is back (paper: about s to 10 s)."""
QUERY_PAUSE = 5.0
"""Seconds before a peer whose number could not be proven is asked for proof again."""
_NOTHING = Offer()
STALL_PEERS = 8
"""Peers of whom one is asked whether it knows of progress."""
PATIENCE = 8
"""Stalls in a row after which the wait for the next one grows no more."""


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """The operator's choice; config.py says where the defaults come from."""

    sample: int
    aggregators: int
    success_fraction: float
    activity_window: int
    local_steps: int
    """Mini-batches per round; 0 on a node without data, which is not available for any."""
    round_seconds: float
    """Least time between two rounds."""
    exchange: bool


class Rounds:
    """One node's part in its swarm's rounds."""

    def __init__(
        self,
        settings: RoundSettings,
        me: str,
        swarm: bytes,
        genesis: bytes,
        anti_entropy_seconds: float,
        view: SwarmView,
        peers: Peers,
        exchange: Exchange,
        questions: Questions,
        policy: PeerPolicy,
        rng: Random,
        take: Take,
        claim: Callable[[SignedClaim], None],
        signed: Callable[[Update], None],
        is_twin: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._me = me
        self._swarm = swarm
        self._view = view
        self._peers = peers
        self._questions = questions
        self._policy = policy
        self._rng = rng
        self._take = take
        self._signed = signed
        """Told of every update that this node has signed."""
        self._is_twin = is_twin
        self.paused = False
        self.own_steps = 0
        """The steps that a restored head claims."""
        self._active = 0
        """The last round in which this node took part or said that it is back."""
        self._progress_at = 0.0
        self._stalls = 0
        self._queried: dict[str, float] = {}
        self._chains: dict[bytes, Update] = {}
        self.activity = Activity(me, swarm, view, settings.activity_window)
        self.activity.alone = not settings.exchange
        self.clock = RoundClock(view)
        self.pace = Pace()
        self._work = Work()
        self.fetcher = Fetcher(peers)
        self.bases = Bases(view, self._work)
        self.sampler = Sampler(
            me, peers, self.activity, questions, self.pace, self._ping, self._on_pong
        )
        self.desk = Desk(
            me,
            settings.sample,
            genesis,
            self.activity,
            self.sampler,
            self._work,
            self._may_train,
            lambda: self.clock.proven,
            self._on_sealed,
        )
        self.trainer = Trainer(
            me,
            settings.local_steps,
            settings.aggregators,
            self.bases,
            self.activity,
            self.sampler,
            self.fetcher,
            self.pace,
            self._work,
            self._send_trained,
            partial(self._check, "aggregation"),
            claim,
        )
        self.aggregator = Aggregator(
            settings.success_fraction,
            settings.round_seconds,
            Planner(view, lambda: (self.bases.base, self.bases.serving), self.fetcher.holds),
            self.activity,
            self.fetcher,
            self.bases,
            self.clock,
            self.pace,
            self.desk,
            self._work,
            partial(self._check, "training"),
            self._chains.get,
            self._progressed,
            lambda: self.trainer.since,
        )
        self._judge = Judge(me, genesis, exchange, view, peers, questions, take)
        self.pulls = Pulls(
            anti_entropy_seconds,
            genesis,
            self.bases,
            exchange,
            self.fetcher,
            self._judge,
            policy,
            view,
            questions,
            rng,
            self._is_quiet,
            self._query,
            lambda: self.clock.proven,
        )
        self._genesis = genesis
        self._timers: dict[str, Callable[[float, list[Output]], None]] = {
            sampling.TIMER: self.sampler.on_timer,
            trainer.TIMER: self.trainer.on_timer,
            aggregator.TIMER: self.aggregator.on_timer,
            handout.TIMER: self.desk.on_timer,
            antientropy.TIMER: lambda now, out: self.pulls.on_timer(peers.admitted(), now, out),
            STALL_TIMER: self._on_stall,
        }

    @property
    def handlers(self) -> dict[type[Any], Callable[[Any, float, list[Output]], None]]:
        """Events that go past the node's own way, which is gossip's."""
        kinds = (Adopted, RoundAggregated, RoundTrained, SampleSealed, RoundWorkFailed)
        return {
            Arrived: self.fetcher.on_arrived,
            FetchFailed: self.fetcher.on_failed,
            **dict.fromkeys(kinds, self._on_ended),
        }

    def _on_ended(self, event: Ended, now: float, out: list[Output]) -> None:
        if isinstance(event, RoundTrained):
            self._signed(event.head)
        elif isinstance(event, RoundAggregated):
            self._signed(event.base)
            self._signed(event.serving)
        self._work.ended(event, now, out)

    # --- what this node stands on: the same words as Gossip's ------------------------------------

    @property
    def lineage(self) -> Lineage:
        return self.bases.lineage

    @property
    def model(self) -> bytes | None:
        return self.bases.model

    def holds(self, update_id: bytes) -> bool:
        return self.fetcher.holds(update_id)

    @property
    def cycles(self) -> int:
        return self.trainer.cycles

    @property
    def loss(self) -> float | None:
        return self.trainer.loss

    @property
    def merged(self) -> int:
        return self.bases.merged + self.aggregator.aggregated

    @property
    def adopted(self) -> int:
        return self.bases.adopted

    @property
    def gated(self) -> int:
        return self.bases.gated

    @property
    def last_failure(self) -> str | None:
        return self.bases.last_failure

    @property
    def round(self) -> int:
        """The round that goes on."""
        task = self.trainer.task
        return max(self.clock.proven, task.round if task is not None else 0)

    @property
    def role(self) -> str:
        if self.aggregator.is_busy or self.desk.is_busy:
            return "aggregator"
        return "idle" if self.trainer.phase is Phase.IDLE else "trainer"

    @property
    def sample(self) -> tuple[str, ...]:
        """The sample that this node was last in."""
        task = self.trainer.task
        return () if task is None else task.sample.sample.peers

    def restore(self, base: Update | None, serving: Update | None, own_steps: int) -> None:
        """Take up where storage says this node stood."""
        self.bases.base, self.bases.serving, self.own_steps = base, serving, own_steps
        for update in (base, serving):
            if update is not None:
                self.fetcher.own(update)

    def _may_train(self) -> bool:
        return not self.paused and self._settings.local_steps > 0 and not self._is_twin()

    # --- local events ----------------------------------------------------------------------------

    def start(self, now: float, out: list[Output]) -> None:
        self._progress_at = now
        if self._settings.exchange:
            self.pulls.start(now, out)
        self._await_stall(now, out)

    def on_timer(self, key: str, now: float, out: list[Output]) -> bool:
        """True when the timer is one of the rounds'."""
        action = self._timers.get(key)
        if action is None:
            return False
        action(now, out)
        return True

    def set_paused(self, paused: bool, now: float, out: list[Output]) -> None:
        """A paused node is not available: it is skipped in samples, and stays up to date."""
        self.paused = paused

    def on_met(self, peer: str, now: float, out: list[Output]) -> None:
        """A peer can be asked."""
        self.activity.heard(peer, self.clock.next)
        if self._settings.exchange:
            self.pulls.ask(peer, "base", out)
            self._query(peer, now, out)
        self.sampler.on_met(peer, now, out)

    def on_disconnected(self, peer: str, now: float, out: list[Output]) -> None:
        self.activity.disconnected(peer)
        self._queried.pop(peer, None)
        self.trainer.on_lost(peer, now, out)
        self.aggregator.on_lost(peer, now, out)

    def on_record(self, peer: str) -> None:
        """A peer that was not known so far; see `Activity.hold`."""
        if self.trainer.phase is Phase.SEEKING or self.desk.is_busy:
            self.activity.hold(peer)

    def leave(self, record: SignedRecord, now: float, out: list[Output]) -> None:
        """Tell some peers that this node goes; from them it spreads with the view."""
        self.paused = True
        count = max(self._settings.sample, REJOIN_PEERS)
        for peer in self._policy.choose(self._peers.admitted(), count):
            message = Advert(record=record.envelope, est=self.clock.proven)
            self._questions.ask(peer, message, Then(_nothing), out)

    # --- what peers ask --------------------------------------------------------------------------

    def on_request(self, event: Requested, now: float, out: list[Output]) -> bool:
        """True when the request is one that is answered otherwise in rounds."""
        peer, message = event.peer, event.message
        self.activity.heard(peer, self.clock.next)
        answer: Response
        if isinstance(message, Ping):
            self._doubt(peer, message.est, now, out)
            answer = self._pong()
        elif isinstance(message, Have):
            share = self._settings.exchange and not self._is_twin()
            unproven = self._view.unproven(self.bases.lineage)
            answer = self.pulls.answer(peer, message) if share and not unproven else _NOTHING
        elif isinstance(message, Trained):
            state = self._on_trained(peer, message, event.documents, now, out)
            answer = self.clock.shown(state, above=message.round - 1)
        elif isinstance(message, Aggregated):
            state = self._on_aggregated(peer, message, event.documents, now, out)
            answer = self.clock.shown(state, above=message.round)
        elif isinstance(message, RoundQuery):
            answer = self.clock.shown(self._state_of(message), above=message.round)
        elif isinstance(message, Advert):
            self._take(peer, event.documents, now, out)
            answer = self._pong()
        else:
            return False
        out.append(Answer(event.token, answer))
        return True

    def _ping(self) -> Ping:
        return Ping(est=self.clock.proven, counter=self._counter)

    def _pong(self) -> Pong:
        return Pong(est=self.clock.proven, counter=self._counter, unavailable=not self._may_train())

    @property
    def _counter(self) -> int:
        record = self._view.record_of(self._me)
        return 0 if record is None else record.record.counter

    def _state_of(self, query: RoundQuery) -> RoundState:
        if query.model is None:
            return "unknown"
        if query.about == "training":
            return "accepted" if self.trainer.works_on(query.model) else "unknown"
        return self.aggregator.state(None, query.model)

    # --- AGGREGATED ------------------------------------------------------------------------------

    def _on_aggregated(
        self,
        peer: str,
        message: Aggregated,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> RoundState:
        self._take(peer, documents, now, out)
        self._merge_activity(peer, message.activity)
        if not self._settings.exchange or self._is_twin():
            return "refused"
        if self.clock.learn_from(message.previous, documents):
            self._progressed(now, out)
        task = self._judge.task(peer, message, documents, now, out)
        if task is None:
            return "refused"
        if task.round > self.clock.next:
            # Perhaps the witnesses are not known here yet; a newer view is on its way.
            self._doubt(peer, task.round, now, out)
            return "refused"
        state = self._worth(task)
        if state == "accepted":
            then = partial(self._begin, task)
            self._judge.prove(peer, (task.model, task.serving), then, now, out)
        return state

    def _worth(self, task: Task) -> RoundState:
        """First copy wins; of attempts with one number the one of the first sender in its ORDER."""
        current = self.trainer.task
        if task.round < self.clock.proven:
            return "old"
        if current is None or task.round > current.round:
            return "accepted"
        if task.round < current.round or task.round <= self.clock.proven:
            return "old"
        if task.sample.id == current.sample.id:
            return "old"
        if self.trainer.phase is Phase.IDLE or self._precedence(task) < self._precedence(current):
            return "accepted"
        if self.trainer.phase is Phase.WAITING and _continues(task, current):
            return "accepted"
        return "refused"

    def _precedence(self, task: Task) -> tuple[bool, bytes]:
        alone = len(task.sample.sample.peers) == 1
        return alone, rank(self._swarm, task.sample.author, task.round)

    def _begin(self, task: Task, proven: bool, now: float, out: list[Output]) -> None:
        if not proven or self._worth(task) != "accepted":
            return
        self._active = max(self._active, task.round)
        self._progress_at = now
        self._stalls = 0
        if task.serving is not None:
            self._chains.clear()
            self._chains[task.sample.sample.model] = task.serving
        fields: dict[str, str | int | float | bool | None]
        fields = {"round": task.round, "role": "trainer", "sender": task.sender}
        out.append(Report("round-started", fields))
        self.trainer.begin(task, self._may_train(), now, out)

    # --- TRAINED ---------------------------------------------------------------------------------

    def _on_trained(
        self,
        peer: str,
        message: Trained,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> RoundState:
        self._take(peer, documents, now, out)
        self._merge_activity(peer, message.activity)
        if not self._settings.exchange or self._is_twin():
            return "refused"
        delivery = self._judge.delivery(peer, message, documents, now, out)
        if delivery is None:
            return "refused"
        if delivery.round > self.clock.next + 1:
            self._doubt(peer, delivery.round, now, out)
            return "unknown"
        state: RoundState = "collecting"

        def proven(ok: bool, later: float, outputs: list[Output]) -> None:
            nonlocal state
            if ok:
                self._progress_at = later
                state = self.aggregator.on_trained(peer, delivery, later, outputs)

        updates = (delivery.head, delivery.base, delivery.serving)
        self._judge.prove(peer, updates, proven, now, out)
        return state

    def _send_trained(
        self, peer: str, delivery: Delivery, told: Told, now: float, out: list[Output]
    ) -> None:
        if peer == self._me:
            told(self.aggregator.on_trained(peer, delivery, now, out), now, out)
            return
        updates = [u for u in (delivery.head, delivery.base, delivery.serving) if u is not None]
        signed = delivery.participation
        message = Trained(
            round=delivery.round,
            sample=delivery.sample.envelope,
            participation=b"" if signed is None else signed.envelope,
            manifests=tuple(u.envelope for u in updates),
            claims=self._claims(peer, updates),
            activity=self.activity.news_for(peer),
        )
        self._ask(peer, message, told, now, out)
        self.activity.release()

    def _claims(self, peer: str, updates: Sequence[Update]) -> tuple[bytes, ...]:
        proofs = (c for u in updates for c in self._view.proofs_for(peer, u.manifest.lineage))
        return tuple(dict.fromkeys(proofs))

    def _check(
        self, about: Any, peer: str, model: bytes, told: Told, now: float, out: list[Output]
    ) -> None:
        """Ask a peer what it does about a model."""
        message = RoundQuery(round=self.clock.proven, model=model, about=about)
        if peer == self._me:
            told(self._state_of(message), now, out)
        else:
            self._ask(peer, message, told, now, out)

    def _ask(
        self,
        peer: str,
        message: Trained | Aggregated | RoundQuery,
        told: Told,
        now: float,
        out: list[Output],
    ) -> None:
        """Ask somebody who may have gone meanwhile."""
        if self._peers.is_met(peer):
            reply = Then(partial(self._on_proof, peer, told))
            self._questions.ask(peer, message, reply, out)
        else:
            told(None, now, out)

    def _on_proof(
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
        self.activity.heard(peer, self.clock.next)
        if self.clock.learn_from(answer.previous, documents):
            self._progressed(now, out)
        told(answer.state, now, out)

    # --- handing out -----------------------------------------------------------------------------

    def _on_sealed(
        self, ready: Handout, sample: SignedSample, now: float, out: list[Output]
    ) -> None:
        """The sample is signed: to everybody in it."""
        updates = [u for u in (ready.base, ready.serving) if u is not None]
        if ready.base is None:
            updates = []
        previous, *participations = self.clock.envelopes or (b"",)
        for peer in sample.sample.peers:
            if peer == self._me:
                task = Task(ready.round, sample, ready.base, ready.serving, self._me)
                self._begin(task, True, now, out)
                continue
            message = Aggregated(
                round=ready.round,
                sample=sample.envelope,
                manifests=tuple(u.envelope for u in updates),
                previous=previous,
                participations=tuple(participations),
                claims=self._claims(peer, updates),
                activity=self.activity.news_for(peer),
            )
            self._ask(peer, message, partial(self._handed, peer), now, out)
        self._progress_at = now
        self.activity.release()

    def _handed(self, peer: str, state: RoundState | None, now: float, out: list[Output]) -> None:
        if state is None:
            self.activity.suspect(peer, self.clock.next)

    # --- which round is it -----------------------------------------------------------------------

    def _progressed(self, now: float, out: list[Output]) -> None:
        """A higher round is proven."""
        proven = self.clock.proven
        self.pace.reached(proven, now)
        self._progress_at = now
        self._stalls = 0
        self.trainer.reached(proven, out)
        self.aggregator.reached(proven)
        if proven - self._active > self._settings.activity_window // 2:
            # Back after a long time: whoever hears this knows, and it spreads with the view.
            self._active = proven
            count = max(self._settings.sample, REJOIN_PEERS)
            for peer in self._policy.choose(self._peers.admitted(), count):
                self._questions.ask(peer, self._ping(), Then(_nothing), out)

    def _merge_activity(self, peer: str, entries: dict[bytes, int]) -> None:
        self.activity.told_by(peer, entries)
        self.activity.merge(entries, at_most=self.clock.next)

    def _on_pong(self, peer: str, pong: Pong, now: float, out: list[Output]) -> None:
        self.activity.heard(peer, self.clock.next)
        self._doubt(peer, pong.est, now, out)

    def _doubt(self, peer: str, claimed: int, now: float, out: list[Output]) -> None:
        """A number above the own one is worth a question, and nothing without a proof."""
        if claimed > self.clock.proven and now >= self._queried.get(peer, now):
            self._query(peer, now, out)

    def _query(self, peer: str, now: float, out: list[Output]) -> None:
        before = self.clock.proven
        self._queried[peer] = now + QUERY_PAUSE

        def told(state: RoundState | None, later: float, outputs: list[Output]) -> None:
            if self.clock.proven > before:
                self._queried.pop(peer, None)

        self._check("aggregation", peer, self._genesis, told, now, out)

    # --- the stall rule --------------------------------------------------------------------------

    def _is_quiet(self, now: float) -> bool:
        return now - self._progress_at > 2.0 * self.pace.stall_seconds

    def _await_stall(self, now: float, out: list[Output]) -> None:
        patience = self.pace.stall_seconds * min(1 + self._stalls, PATIENCE)
        due = self._progress_at if self._stalls == 0 else now
        at = max(due + patience * self._rng.uniform(1.0, 1.2), now + 0.1)
        out.append(SetTimer(STALL_TIMER, at))

    def _on_stall(self, now: float, out: list[Output]) -> None:
        idle = self.trainer.phase is Phase.IDLE
        busy = not idle or self.aggregator.is_busy or self.desk.is_busy
        stalled = now - self._progress_at > self.pace.stall_seconds
        if busy or not stalled or not self._may_train():
            self._await_stall(now, out)
            return
        self._stalls += 1
        self._await_stall(now, out)
        peers = self._peers.admitted() if self._settings.exchange else []
        likely = [p for p in peers if not self.activity.is_suspect(p)] or peers
        asked = self._policy.choose(likely, STALL_PEERS)
        # Whoever knows of a higher round says so in its pong, and is then asked for the proof.
        self.sampler.draw(asked, 1, partial(self._open_if_first, now), now, out)

    def _open_if_first(
        self, since: float, awake: tuple[str, ...], now: float, out: list[Output]
    ) -> None:
        """Nobody knows of progress: the first who answer in the next round's ORDER may open it."""

        def drawn(peers: tuple[str, ...], later: float, outputs: list[Output]) -> None:
            if self._me in peers and self._progress_at <= since and not self.desk.is_busy:
                self._open(later, outputs)

        # Each stall in a row lets one more open it: should the first in the order not do its part.
        self.sampler.draw(self.activity.order(self.clock.next), self._stalls, drawn, now, out)

    def _open(self, now: float, out: list[Output]) -> None:
        base, serving = self.bases.base, self.bases.serving
        out.append(Report("round-opened", {"round": self.clock.next}))
        ready = self.desk.prepare(self.clock.next, now, now, out)
        self.desk.ready(ready, base, serving, now, out)


def _continues(task: Task, current: Task) -> bool:
    """Whether an attempt builds on what was trained for another one with its number."""
    theirs = {} if task.model is None else task.model.manifest.lineage
    own = {} if current.model is None else current.model.manifest.lineage
    return compare(own, theirs) is Relation.AHEAD


def _nothing(answer: Response | None, documents: object, now: float, out: list[Output]) -> None:
    """Nobody waits for this answer."""
