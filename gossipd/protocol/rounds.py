"""Sampled rounds: MoDeST, mostly-consistent decentralised sampling (arXiv 2302.13837).

    S_k, the sample of round k, trains on M_k -> an aggregator of k + 1 averages -> M_k+1 -> S_k+1

This module puts the state machines of a round together:

    clock       which round is it: only what can be proven counts         (proof)
    sampler     who answers first in ORDER(k)                             (sampling, activity)
    trainer     train when sampled, find the aggregator                   (trainer)
    aggregator  collect, average                                          (aggregator, plan)
    desk        draw the next sample and hand the model out               (handout)
    bases       what this node stands on, by lineage                      (bases, pulls)
    inbox       what a message is worth                                   (inbox, letters)
    courier     what is said to others                                    (courier)
    stall       open a round when none comes any more                     (stall)

A lone node is its own sample and trains on, without counting (see `proof`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import UNSET

from gossipd.protocol import aggregator, antientropy, fetching, handout, sampling, stall, trainer
from gossipd.protocol.activity import Activity
from gossipd.protocol.aggregator import Aggregator
from gossipd.protocol.bases import Bases
from gossipd.protocol.by_hand import pairs
from gossipd.protocol.courier import Courier
from gossipd.protocol.events import Arrived, FetchFailed, Fields, Output, Report, Requested
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.handout import Desk, Handout
from gossipd.protocol.host import Host
from gossipd.protocol.inbox import Inbox
from gossipd.protocol.islands import Islands
from gossipd.protocol.letters import Judge
from gossipd.protocol.lineage import Lineage
from gossipd.protocol.meeting import Meeting
from gossipd.protocol.pace import Pace
from gossipd.protocol.plan import Planner
from gossipd.protocol.presence import ENOUGH, Presence
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.pulls import Pulls
from gossipd.protocol.round_events import (
    Adopted,
    Blended,
    RoundAggregated,
    RoundTrained,
    RoundWorkFailed,
    SampleSealed,
)
from gossipd.protocol.round_settings import RoundSettings
from gossipd.protocol.sampling import Sampler
from gossipd.protocol.stall import StallRule
from gossipd.protocol.tasks import Delivery, Task, Told
from gossipd.protocol.trainer import Phase, Trainer
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import Advert, Ping, Pong, RoundQuery, SignedRecord, SignedSample, Update


class Rounds:
    """One node's part in its swarm's rounds."""

    def __init__(self, settings: RoundSettings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self.paused = False
        self.own_steps = 0
        """The steps that a restored head claims."""
        self.presence = Presence(settings.activity_window)
        self._opening: Handout | None = None
        """The round that this node last opened, rather than aggregated."""
        self._chains: dict[bytes, Update] = {}
        me, view, peers, questions = host.me, host.view, host.peers, host.questions
        work = self._work = Work()
        self.activity = Activity(me, host.swarm, view, settings.activity_window)
        self.activity.alone = not settings.exchange
        self.clock = RoundClock(view)
        self.meeting = Meeting(lambda: self.clock.proven, lambda: self._base)
        self.pace = Pace()
        self.sampler = Sampler(
            me, peers, self.activity, questions, self.pace, self._ping, self._on_pong
        )
        self._courier = Courier(
            view,
            peers,
            questions,
            self.activity,
            self.clock,
            self._progressed,
            self._told,
            self.sampler.find,
            lambda peer, update: self.fetcher.trail.between(peer, update),
        )
        self.fetcher = Fetcher(peers, self.pace, self.sampler.find, host.genesis, host.parameters)
        self.bases = Bases(view, work, host.clicks.merged)
        self.islands = Islands(view, self.bases, self.pace, lambda: self.clock.proven)
        self.desk = Desk(
            me,
            settings.sample,
            host.genesis,
            self.activity,
            self.sampler,
            work,
            self._may_train,
            lambda: self.clock.proven,
            self._attempt,
            peers.is_met,
            self._on_sealed,
        )
        self._stall = StallRule(
            self.activity,
            self.sampler,
            self.clock,
            self.pace,
            peers,
            host.policy,
            host.rng,
            me,
            self._may_open,
            self._open,
            self.desk.look_ahead,
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
            work,
            self._deliver,
            self._check_aggregator,
            host.claim,
            self.desk.look_ahead,
        )
        self.aggregator = Aggregator(
            settings.success_fraction,
            settings.round_seconds,
            Planner(
                view,
                lambda: (self.bases.base, self.bases.serving),
                lambda: [(g.base, g.serving) for g in self.islands.guests],
                self.fetcher.holds,
            ),
            self.activity,
            self.fetcher,
            self.bases,
            self.clock,
            self.pace,
            self.desk,
            work,
            settings.sample,
            self._check_trainer,
            self._chains.get,
            self._progressed,
            lambda: self.trainer.since,
        )
        judge = Judge(me, host.genesis, host.exchange, view, peers, questions, host.take)
        self.pulls = Pulls(
            host.anti_entropy_seconds,
            host.genesis,
            self.bases,
            self.islands,
            host.exchange,
            self.fetcher,
            judge,
            host.policy,
            view,
            host.view_pulls,
            questions,
            host.rng,
            self._stall.is_quiet,
            self._may_train,
            self._courier.query,
            lambda: self.clock.proven,
        )
        self._inbox = Inbox(
            host.swarm,
            view,
            self.activity,
            self.clock,
            self.bases,
            self.trainer,
            self.aggregator,
            self.pulls,
            judge,
            self._courier,
            self._pong,
            self._takes_part,
            self._progressed,
            self._stall.progressed,
            self._stall.quiet,
            self._begin,
        )
        self._timers: dict[str, Callable[[float, list[Output]], None]] = {
            sampling.TIMER: self.sampler.on_timer,
            fetching.TIMER: self.fetcher.on_timer,
            trainer.TIMER: self.trainer.on_timer,
            aggregator.TIMER: self.aggregator.on_timer,
            handout.TIMER: self.desk.on_timer,
            stall.TIMER: self._stall.on_timer,
            antientropy.TIMER: lambda now, out: self.pulls.on_timer(peers.admitted(), now, out),
        }

    @property
    def handlers(self) -> dict[type[Any], Callable[[Any, float, list[Output]], None]]:
        """Events that go past the node's own way, which is gossip's."""
        kinds = (Adopted, Blended, RoundAggregated, RoundTrained, SampleSealed, RoundWorkFailed)
        return {
            Arrived: self.fetcher.on_arrived,
            FetchFailed: self.fetcher.on_failed,
            **dict.fromkeys(kinds, self._on_ended),
        }

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

    # --- what people want to know ----------------------------------------------------------------

    @property
    def round(self) -> int:
        """The round that goes on."""
        task = self.trainer.task
        return max(self.clock.proven, 0 if task is None else task.round)

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

    def companions(self) -> set[str]:
        """With whom this node works on a round, or is about to."""
        return self.trainer.companions | self.aggregator.companions | self.desk.companions

    # --- local events ----------------------------------------------------------------------------

    def restore(self, base: Update | None, serving: Update | None, own_steps: int) -> None:
        """Take up where storage says this node stood."""
        self.bases.base, self.bases.serving, self.own_steps = base, serving, own_steps
        for update in (base, serving):
            if update is not None:
                self.fetcher.own(update)

    def start(self, now: float, out: list[Output]) -> None:
        if self._settings.exchange:
            self.pulls.start(now, out)
        self._stall.start(now, out)

    def on_timer(self, key: str, now: float, out: list[Output]) -> None:
        self._timers[key](now, out)

    def set_paused(self, paused: bool, now: float, out: list[Output]) -> None:
        """A paused node is not available: it is skipped in samples, and stays up to date."""
        self.paused = paused

    def on_request(self, event: Requested, now: float, out: list[Output]) -> bool:
        """True when the request is one that is answered otherwise in rounds."""
        return self._inbox.on_request(event, now, out)

    def carried(self, updates: Sequence[Update], now: float, out: list[Output]) -> None:
        """Brought by hand, bodies and all."""
        for update in updates:
            self.fetcher.own(update)
        for base, serving in pairs(updates, "base"):
            self.pulls.carried(base, serving, now, out)

    def holdings(self) -> tuple[Update, ...]:
        """What this node stands on, if it can be proven, and the islands that it has met."""
        proven = not self._host.view.unproven(self.bases.lineage) and not self._host.is_twin()
        own = [(self.bases.base, self.bases.serving)] if proven else []
        guests = [(guest.base, guest.serving) for guest in self.islands.guests]
        return tuple(u for pair in (*own, *guests) for u in pair if u is not None)

    def on_met(self, peer: str, now: float, out: list[Output]) -> None:
        """A peer can be asked."""
        self.activity.heard(peer, self.clock.next)
        other_base, higher_round = self.meeting.open_questions(peer)
        if self._settings.exchange and other_base:
            self.pulls.ask(peer, "base", out)
        if self._settings.exchange and higher_round:
            self._courier.query(peer, now, out)
        self.sampler.on_met(peer, now, out)

    def on_answered(self, peer: str) -> None:
        """A peer has heard from this node."""
        self.presence.heard_by(peer, self.clock.proven)

    def on_unreached(self, peer: str, now: float, out: list[Output]) -> None:
        """There is no way to a peer just now."""
        self.sampler.on_unreached(peer, now, out)

    def on_disconnected(self, peer: str, now: float, out: list[Output]) -> None:
        self.meeting.disconnected(peer)
        self.presence.lost(peer)
        self.activity.disconnected(peer)
        self._courier.disconnected(peer)
        self.trainer.on_lost(peer, now, out)
        self.aggregator.on_lost(peer, now, out)

    def on_records(self, peers: Iterable[str]) -> None:
        """Peers that were not known so far; see `Activity.hold`."""
        if self.trainer.phase is Phase.SEEKING or self.desk.is_busy:
            for peer in peers:
                self.activity.hold(peer)

    def leave(self, record: SignedRecord, now: float, out: list[Output]) -> None:
        """This node goes: about s peers are told (paper), from them it spreads with the view."""
        self.paused = True
        message = Advert(record=record.envelope, est=self.clock.proven)
        count = max(self._settings.sample, ENOUGH)
        told = self._host.policy.choose(self._host.peers.admitted(), count)
        self._courier.advertise(told, message, out)

    def _on_ended(self, event: Ended, now: float, out: list[Output]) -> None:
        if isinstance(event, RoundTrained):
            self._host.signed(event.head)
        elif isinstance(event, RoundAggregated):
            self._host.signed(event.base)
            self._host.signed(event.serving)
        elif isinstance(event, Blended):
            self._host.signed(event.serving)
        self._work.ended(event, now, out)

    # --- who this node is to others --------------------------------------------------------------

    def _takes_part(self) -> bool:
        return self._settings.exchange and not self._host.is_twin()

    def _may_train(self) -> bool:
        return not self.paused and self._settings.local_steps > 0 and self._host.may_train()

    def _may_open(self) -> bool:
        idle = self.trainer.phase is Phase.IDLE
        busy = self.aggregator.is_busy or self.desk.is_busy
        return idle and not busy and self._may_train()

    def _ping(self) -> Ping:
        return Ping(est=self.clock.proven, counter=self._counter)

    def _pong(self) -> Pong:
        available = self._may_train() and self._takes_part()
        return Pong(
            est=self.clock.proven,
            counter=self._counter,
            unavailable=not available,
            base=self._base,
        )

    @property
    def _base(self) -> bytes:
        return self.bases.model or self._host.genesis

    @property
    def _counter(self) -> int:
        record = self._host.view.record_of(self._host.me)
        return 0 if record is None else record.record.counter

    def _on_pong(self, peer: str, pong: Pong, now: float, out: list[Output]) -> None:
        self.activity.heard(peer, self.clock.next)
        if pong.base is not UNSET:
            self.fetcher.trail.stands(peer, pong.base)
        self._courier.doubt(peer, pong.est, now, out)

    # --- a round's way ---------------------------------------------------------------------------

    def _begin(self, task: Task, now: float, out: list[Output]) -> None:
        """This node is in a sample."""
        self.presence.took_part(task.round)
        self._stall.progressed(now)
        if task.serving is not None:
            self._chains.clear()
            self._chains[task.sample.sample.model] = task.serving
            self.pulls.heard(task.serving)
            self.pulls.handed_out(task.sender, task.serving, now, out)
        fields: Fields = {
            "round": task.round,
            "role": "trainer",
            "sample": task.sample.sample.peers,
            "aggregator": task.sender,
        }
        out.append(Report("round-started", fields))
        for base in task.between:
            self.fetcher.trail.learn(base)
        self.trainer.begin(task, self._may_train(), now, out)

    def _attempt(self, round_: int) -> int:
        task = self.trainer.task
        if task is None or task.round != round_:
            return 0
        return task.sample.sample.attempt + 1

    def _deliver(
        self, peer: str, delivery: Delivery, told: Told, now: float, out: list[Output]
    ) -> None:
        if peer == self._host.me:
            told(self.aggregator.on_trained(peer, delivery, now, out), now, out)
        else:
            self._courier.trained(peer, delivery, told, now, out)

    def _check_aggregator(
        self, peer: str, sample: bytes, told: Told, now: float, out: list[Output]
    ) -> None:
        if peer == self._host.me:
            told(self.aggregator.state(sample), now, out)
        else:
            self._courier.check("aggregation", peer, sample, told, now, out)

    def _check_trainer(
        self, peer: str, sample: bytes, told: Told, now: float, out: list[Output]
    ) -> None:
        if peer == self._host.me:
            query = RoundQuery(round=0, sample=sample, about="training")
            told(self._inbox.state_of(peer, query, now, out), now, out)
        else:
            self._courier.check("training", peer, sample, told, now, out)

    def _on_sealed(
        self, ready: Handout, sample: SignedSample, now: float, out: list[Output]
    ) -> None:
        """The sample is signed: to everybody in it."""
        if ready is self._opening:
            out.append(Report("round-opened", {"round": ready.round}))
        for peer in sample.sample.peers:
            if peer != self._host.me:
                self._courier.aggregated(peer, ready, sample, now, out)
                continue
            task = Task(ready.round, sample, ready.base, ready.serving, peer)
            if self._inbox.worth(task) == "accepted":
                self._begin(task, now, out)
        self._stall.progressed(now)
        self.activity.release()

    def _open(self, now: float, out: list[Output]) -> None:
        """Nobody else does: the next round begins with what this node stands on."""
        ready = self._opening = self.desk.prepare(self.clock.next, now, now, out)
        self.desk.ready(ready, self.bases.base, self.bases.serving, now, out)

    def _told(self, quiet: float, now: float, out: list[Output]) -> None:
        """By a peer that has seen no round go on for `quiet` seconds."""
        self._stall.told(quiet, now, out)
        if quiet > self.pace.stall_seconds:
            # Whose turn it is to open the next one may be waiting for news of the one before.
            self.desk.bring_news(self.clock.next, self._host.peers.admitted(), now, out)

    def _progressed(self, now: float, out: list[Output]) -> None:
        """A higher round is proven."""
        proven = self.clock.proven
        self.pace.reached(proven, now)
        self._stall.progressed(now)
        self.trainer.reached(proven, out)
        self.aggregator.reached(proven)
        count, aware = self.presence.to_tell(proven)
        if count:
            unaware = [p for p in self._host.peers.admitted() if p not in aware]
            self._courier.advertise(self._host.policy.choose(unaware, count), self._ping(), out)
