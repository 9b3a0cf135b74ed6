"""One node's part as the aggregator of a round (arXiv 2302.13837, algorithm 4, upper half).

    TRAINED(r) from the sample S of r - 1 are collected until enough have come:
        sf * |S| of those that are alive and have not declined
        after aggregation_timeout half of S, after a second one a single trainer
    then they are averaged, and the result is handed out as round r

Departures from the paper: it waits for a share of the signed S, not of s, and asks who is missing
whether it still trains, so that the dead need not be waited for. Heads are grouped by the model
that they were trained from and each group is averaged; the groups' results, the bases that trainers
offer beside their heads and this node's own base are then merged by lineage, each once. What fewer
than half of S have trained is no proof of a round: it is handed out as an attempt (see `proof`).
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gossipd.protocol.activity import Activity
from gossipd.protocol.bases import Bases, ignore
from gossipd.protocol.events import CancelTimer, Fields, Output, Report, SetTimer
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.handout import Desk, Handout
from gossipd.protocol.pace import Pace
from gossipd.protocol.plan import Plan, Planner
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.round_events import Aggregate, RoundAggregated, RoundWorkFailed
from gossipd.protocol.tasks import Delivery, Told
from gossipd.protocol.trail import coded
from gossipd.protocol.trainer import CHECK_SECONDS, GROWTH
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import RoundState, SignedSample, Update

TIMER = "rounds.aggregate"
COLLECTIONS = 4
"""Rounds that are collected at once: the current one, and what a race leaves behind."""
FINISHED = 256
"""Finished samples that are remembered, so that late copies are told."""


@dataclass(slots=True)
class _Entry:
    """What one trainer has brought."""

    delivery: Delivery
    missing: int
    """Bodies that are still on their way."""


@dataclass(slots=True, eq=False)
class _Collection:
    """What was trained for one round."""

    round: int
    due: float
    check_at: float
    pause: float
    samples: dict[bytes, SignedSample] = field(default_factory=dict)
    entries: dict[str, _Entry] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    """Declined, dead, or busy with something else: not waited for."""
    asked: set[str] = field(default_factory=set)
    """Owe an answer since the last check."""
    stage: int = 0
    """Aggregation time-outs that have passed."""
    serving: Update | None = None
    closed: bool = False

    @property
    def expected(self) -> set[str]:
        return {peer for signed in self.samples.values() for peer in signed.sample.peers}

    @property
    def ready(self) -> list[tuple[str, Delivery]]:
        return [(p, e.delivery) for p, e in sorted(self.entries.items()) if not e.missing]

    @property
    def missing(self) -> set[str]:
        return self.expected - self.entries.keys() - self.absent


class Aggregator:
    """Collects, averages, hands out."""

    def __init__(
        self,
        success_fraction: float,
        round_seconds: float,
        planner: Planner,
        activity: Activity,
        fetcher: Fetcher,
        bases: Bases,
        clock: RoundClock,
        pace: Pace,
        desk: Desk,
        work: Work,
        sample: int,
        check: Callable[[str, bytes, Told, float, list[Output]], None],
        chain: Callable[[bytes], Update | None],
        progress: Callable[[float, list[Output]], None],
        began: Callable[[], float],
    ) -> None:
        self._success_fraction = success_fraction
        self._round_seconds = round_seconds
        self._planner = planner
        self._activity = activity
        self._fetcher = fetcher
        self._bases = bases
        self._clock = clock
        self._pace = pace
        self._desk = desk
        self._work = work
        self._sample = sample
        self._check = check
        """Ask a trainer whether it still works in a sample."""
        self._chain = chain
        """The serving model that was handed out beside a model."""
        self._progress = progress
        """Called when a round was proven here."""
        self._open: dict[int, _Collection] = {}
        self._finished: OrderedDict[bytes, None] = OrderedDict()
        self._began = began
        """When the round before began here."""
        self._working = False
        self.aggregated = 0

    @property
    def is_busy(self) -> bool:
        return self._working or bool(self._open)

    @property
    def companions(self) -> set[str]:
        """From whom work is expected, or has come."""
        return {peer for collection in self._open.values() for peer in collection.expected}

    def state(self, sample: bytes) -> RoundState:
        """What becomes, or became, of a sample's work."""
        if any(sample in collection.samples for collection in self._open.values()):
            return "collecting"
        return "done" if sample in self._finished else "unknown"

    # --- collecting ------------------------------------------------------------------------------

    def on_trained(
        self, peer: str, delivery: Delivery, now: float, out: list[Output]
    ) -> RoundState:
        """A trainer has brought its work, or declines. It was judged already."""
        round_, model = delivery.round, delivery.sample.sample.model
        if delivery.sample.id in self._finished:
            return "done"
        if round_ <= self._clock.proven:
            return "old"
        collection = self._open.get(round_)
        if collection is None:
            if len(self._open) >= COLLECTIONS:
                return "refused"
            collection = self._collect(round_, now)
            self._desk.look_ahead(round_, now, out)
        if delivery.sample.id not in collection.samples:
            collection.samples[delivery.sample.id] = delivery.sample
            self._prefetch(collection, peer, model, now, out)
        if delivery.head is None:
            collection.absent.add(peer)
        elif peer not in collection.entries:
            collection.absent.discard(peer)
            self._admit(collection, peer, delivery, now, out)
        self._look(collection, now, out)
        self._schedule(now, out)
        return "done" if collection.closed else "collecting"

    def _collect(self, round_: int, now: float) -> _Collection:
        due = now + self._pace.aggregation_seconds
        pause = CHECK_SECONDS[0]
        collection = _Collection(round_, due, now + pause, pause)
        self._open[round_] = collection
        return collection

    def _prefetch(
        self, collection: _Collection, peer: str, model: bytes, now: float, out: list[Output]
    ) -> None:
        """The serving chain's last model, from whoever made it, while others still train."""
        serving = self._chain(model)
        if serving is None:
            return

        def then(here: bool, later: float, outputs: list[Output]) -> None:
            if here:
                collection.serving = serving

        self._fetcher.get(serving, (serving.author, peer), then, now, out)

    def _admit(
        self, collection: _Collection, peer: str, delivery: Delivery, now: float, out: list[Output]
    ) -> None:
        """Fetch a trainer's bodies. A head counts with the base that it came beside, or not at
        all: alone it would mark as contained what it does not contain."""
        needed = [u for u in (delivery.head, delivery.base) if u is not None]
        entry = collection.entries[peer] = _Entry(delivery, len(needed) + bool(delivery.serving))

        def then(here: bool, later: float, outputs: list[Output], *, vital: bool = True) -> None:
            if collection.entries.get(peer) is not entry:
                return
            if here or not vital:
                entry.missing -= 1
            else:
                del collection.entries[peer]
                collection.absent.add(peer)
            self._look(collection, later, outputs)
            self._schedule(later, outputs)

        if delivery.serving is not None:
            # Waited for, since the chain would move away from what the island predicts with.
            self._fetcher.get(delivery.serving, (peer,), partial(then, vital=False), now, out)
        for update in needed:
            self._fetcher.get(update, (peer,), then, now, out)

    # --- waiting, never without end --------------------------------------------------------------

    @property
    def _longest_pause(self) -> float:
        return max(CHECK_SECONDS[1], (self._pace.training_seconds or 0.0) / 4.0)

    def _schedule(self, now: float, out: list[Output]) -> None:
        times = [min(c.due, c.check_at) for c in self._open.values()]
        if times:
            out.append(SetTimer(TIMER, max(min(times), now)))
        else:
            out.append(CancelTimer(TIMER))

    def on_timer(self, now: float, out: list[Output]) -> None:
        for collection in list(self._open.values()):
            if collection.due <= now:
                collection.stage += 1
                collection.due = now + self._pace.aggregation_seconds
            if collection.check_at <= now:
                collection.pause = min(GROWTH * collection.pause, self._longest_pause)
                collection.check_at = now + max(collection.pause, self._pace.ping_seconds)
                self._ask_missing(collection, now, out)
            self._look(collection, now, out)
        self._schedule(now, out)

    def _ask_missing(self, collection: _Collection, now: float, out: list[Output]) -> None:
        for peer in sorted(collection.missing & collection.asked):
            collection.absent.add(peer)
            self._activity.suspect(peer, collection.round)
        collection.asked = set(collection.missing)
        for peer in sorted(collection.missing):
            samples = collection.samples.values()
            sample = next(s.id for s in samples if peer in s.sample.peers)
            self._check(peer, sample, partial(self._told, collection, peer), now, out)

    def _told(
        self,
        collection: _Collection,
        peer: str,
        state: RoundState | None,
        now: float,
        out: list[Output],
    ) -> None:
        collection.asked.discard(peer)
        if state != "accepted" and peer in collection.missing:
            collection.absent.add(peer)
            self._look(collection, now, out)
            self._schedule(now, out)

    def on_lost(self, peer: str, now: float, out: list[Output]) -> None:
        """A connection ended: whoever was expected over it is not waited for."""
        for collection in list(self._open.values()):
            if peer in collection.missing:
                collection.absent.add(peer)
                self._look(collection, now, out)
        self._schedule(now, out)

    def _look(self, collection: _Collection, now: float, out: list[Output]) -> None:
        """Whether enough have come."""
        if collection.closed or self._working:
            return
        ready = len(collection.ready)
        expected = len(collection.expected)
        waited_for = sum(
            peer in collection.entries or not self._activity.is_suspect(peer)
            for peer in collection.expected - collection.absent
        )
        enough = math.ceil(self._success_fraction * waited_for)
        if collection.stage == 1:
            enough = min(enough, math.ceil(expected / 2))
        elif collection.stage >= 2:
            enough = 1
        if ready and ready >= enough:
            self._finish(collection, now, out)
        elif not ready and (collection.stage >= 2 or not waited_for):
            self._close(collection)

    def reached(self, round_: int) -> None:
        """The swarm has reached this round: what was collected for older ones comes too late."""
        for collection in list(self._open.values()):
            if collection.round <= round_ and not collection.closed:
                self._close(collection)

    def _close(self, collection: _Collection) -> None:
        collection.closed = True
        self._open.pop(collection.round, None)
        self._finished.update(dict.fromkeys(collection.samples))
        while len(self._finished) > FINISHED:
            self._finished.popitem(last=False)

    # --- averaging -------------------------------------------------------------------------------

    def _finish(self, collection: _Collection, now: float, out: list[Output]) -> None:
        deliveries = [delivery for _, delivery in collection.ready]
        self._close(collection)
        signed = [d.participation for d in deliveries if d.participation is not None]
        for sample in collection.samples.values():
            if self._clock.learn(sample, signed):
                self._progress(now, out)
        round_ = min(collection.round, self._clock.next)
        not_before = self._began() + self._round_seconds
        handout = self._desk.prepare(round_, not_before, now, out)
        self._aggregate(handout, deliveries, collection.serving, now, out)

    def _aggregate(
        self,
        handout: Handout,
        deliveries: list[Delivery],
        chain: Update | None,
        now: float,
        out: list[Output],
    ) -> None:
        plan = self._planner.plan(deliveries, chain)

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            self._working = False
            if isinstance(event, RoundAggregated):
                self._aggregated(handout, event, len(deliveries), later, outputs)
            elif isinstance(event, RoundWorkFailed):
                self._bases.failed("aggregate", event, outputs)
                alone = [d for d in deliveries if d.base is None]
                if event.gate and alone and len(alone) < len(deliveries):
                    self._aggregate(handout, alone, chain, later, outputs)
                else:
                    # This round's work is lost; the swarm goes on from what stands here.
                    base, serving = self._bases.base, self._bases.serving
                    self._desk.ready(handout, base, serving, later, outputs)
            for collection in list(self._open.values()):
                self._look(collection, later, outputs)
            self._schedule(later, outputs)

        self._working = True
        self._work.start(
            lambda t: Aggregate(
                t,
                handout.round,
                plan.groups,
                plan.offered,
                plan.serving,
                plan.lineage,
                self._reference(plan, handout.round),
            ),
            ended,
            out,
        )

    def _reference(self, plan: Plan, round_: int) -> bytes | None:
        """What the average is a delta against: what it was trained from, if those who are likely to
        be drawn next have that, or come to it cheaply."""
        if len(plan.groups) != 1 or plan.offered:
            # Islands are too far apart for few bits.
            return None
        (group,) = plan.groups
        for head in group.heads:
            self._fetcher.trail.stands(head.author, group.model)
        likely = self._activity.order(round_)[: self._sample]
        return group.model if self._fetcher.trail.pays(group.model, likely) else None

    def _aggregated(
        self,
        handout: Handout,
        event: RoundAggregated,
        models: int,
        now: float,
        out: list[Output],
    ) -> None:
        self._fetcher.own(event.base)
        self._fetcher.own(event.serving)
        self.aggregated += 1
        made = event.base.manifest.model.hex()
        fields: Fields = {"round": handout.round, "models": models, "base": made}
        fields |= coded(event.base)
        out.append(Report("aggregated", fields))
        # It stands on what it has made even when another's hand-out turns out to be faster.
        self._bases.take(event.base, event.serving, ignore, now, out, judged=True)
        self._desk.ready(handout, event.base, event.serving, now, out)
