"""One node's part in a round's sample (arXiv 2302.13837, algorithm 4, lower half).

    on AGGREGATED(k, model): train on exactly that model, draw the aggregators of k + 1, send them
    TRAINED(k + 1), and see to it that one of them hands out the next round

    IDLE --task--> PREPARING --model is here--> TRAINING --> SEEKING --> WAITING --> IDLE
                       |                           |            ^          |
                       +---- cannot: declines -----+            +-- aggregator lost

Departures from the paper: the aggregators of k + 1 are the first `a` answering members of the
sample of k in ORDER(k + 1), for they hold the model; and a trainer whose aggregator dies sends its
work to the next candidate instead of losing it.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gossipd.protocol.activity import Activity
from gossipd.protocol.bases import Bases
from gossipd.protocol.events import CancelTimer, Fields, Output, Report, SetTimer
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.lineage import Relation, compare
from gossipd.protocol.pace import Pace
from gossipd.protocol.round_events import RoundTrained, TrainRound
from gossipd.protocol.sampling import Draw, Sampler
from gossipd.protocol.tasks import Delivery, Task, Told
from gossipd.protocol.trail import coded
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import RoundState, SignedClaim

TIMER = "rounds.wait"
CHECK_SECONDS = (0.25, 2.0)
"""How soon, and how often later on, an aggregator is asked whether it still collects, and a trainer
whether it still trains. Ours: a dead one costs two of the first, a live one some hundred bytes
each."""
GROWTH = 1.5
DISTRUST_TASKS = 16
"""Own tasks for which an aggregator that has wasted work goes last: ours, a guess."""
RESENDS = 2
"""Times that work is sent again to one aggregator that has forgotten it."""


class Phase(enum.Enum):
    IDLE = "idle"
    PREPARING = "preparing"
    TRAINING = "training"
    SEEKING = "seeking"
    WAITING = "waiting"


@dataclass(slots=True)
class _Target:
    """An aggregator that has this node's work."""

    until: float
    asked: bool = False
    """Whether it owes an answer since the last check."""
    resent: int = 0


@dataclass(slots=True)
class _Search:
    """The way to an aggregator."""

    delivery: Delivery
    targets: dict[str, _Target] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    draw: Draw | None = None
    pause: float = CHECK_SECONDS[0]


class Trainer:
    """Trains when it is told to. At any moment a newer task takes the place of the current one."""

    def __init__(
        self,
        me: str,
        steps: int,
        aggregators: int,
        bases: Bases,
        activity: Activity,
        sampler: Sampler,
        fetcher: Fetcher,
        pace: Pace,
        work: Work,
        send: Callable[[str, Delivery, Told, float, list[Output]], None],
        check: Callable[[str, bytes, Told, float, list[Output]], None],
        claim: Callable[[SignedClaim], None],
        look_ahead: Callable[[int, float, list[Output]], None],
    ) -> None:
        self._me = me
        self._steps = steps
        self._aggregators = aggregators
        self._bases = bases
        self._activity = activity
        self._sampler = sampler
        self._fetcher = fetcher
        self._pace = pace
        self._work = work
        self._send = send
        """Hand a delivery to an aggregator; what it says of it comes back, None when nothing."""
        self._check = check
        """Ask an aggregator what became of a sample's work."""
        self._claim = claim
        """Stand by the steps of work that is used."""
        self._look_ahead = look_ahead
        """Meet a round's sample."""
        self._search: _Search | None = None
        self.since = -math.inf
        """When the current task began."""
        self.phase = Phase.IDLE
        self.task: Task | None = None
        self._tasks = 0
        self._distrusted: dict[str, int] = {}
        """Aggregators that have wasted work, and until which task that is held against them."""
        self.cycles = 0
        self.loss: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it works on a task that must not be dropped for one like it."""
        return self.phase not in (Phase.IDLE, Phase.WAITING)

    @property
    def aggregators(self) -> tuple[str, ...]:
        """Who has this node's work."""
        return () if self._search is None else tuple(self._search.targets)

    @property
    def companions(self) -> set[str]:
        """The sample that it works in, and who has its work."""
        if self.task is None or self.phase is Phase.IDLE:
            return set()
        return {*self.task.sample.sample.peers, self.task.sender, *self.aggregators}

    def works_in(self, sample: bytes) -> bool:
        """Whether a sample's aggregator may still expect something from here."""
        return (
            self.task is not None and self.task.sample.id == sample and self.phase is not Phase.IDLE
        )

    # --- training --------------------------------------------------------------------------------

    def begin(self, task: Task, available: bool, now: float, out: list[Output]) -> None:
        """Drop what is under way and train for this round; or decline, if not `available`."""
        self._tasks += 1
        self._judge_sender(task)
        self._drop_search(out)
        self.task = task
        self.since = now
        self.phase = Phase.PREPARING
        self._meet_aggregators(task, now, out)
        if not available:
            self._decline("unavailable", now, out)
        elif task.model is None:
            self._train(task, True, now, out)
        else:
            sources = (task.sender, *task.sample.sample.peers)
            self._fetcher.get(task.model, sources, partial(self._fetched, task), now, out)

    def _meet_aggregators(self, task: Task, now: float, out: list[Output]) -> None:
        """While it trains; and who is likely to be one of them meets the next sample."""
        members = self._activity.sort(task.sample.sample.peers, task.round + 1)
        aggregators = [p for p in members if self._trusts(p)][: self._aggregators]
        if self._me in aggregators:
            self._look_ahead(task.round + 1, now, out)
        else:
            self._sampler.warm(aggregators, now, out)

    def _judge_sender(self, task: Task) -> None:
        """Whether whoever had this node's work hands out a round without it."""
        search = self._search
        if search is None or search.delivery.head is None or task.sender not in search.targets:
            return
        handed = {} if task.model is None else task.model.manifest.lineage
        if compare(handed, search.delivery.head.manifest.lineage) in (
            Relation.AHEAD,
            Relation.CONCURRENT,
        ):
            self._distrust(task.sender)

    def _distrust(self, peer: str) -> None:
        self._distrusted[peer] = self._tasks + DISTRUST_TASKS
        self._distrusted = {p: t for p, t in self._distrusted.items() if t > self._tasks}

    def _trusts(self, peer: str) -> bool:
        return self._distrusted.get(peer, 0) <= self._tasks

    def _fetched(self, task: Task, here: bool, now: float, out: list[Output]) -> None:
        if self.task is not task:
            return
        if not here:
            self._decline("no-model", now, out)
            return
        self._bases.take(task.model, None, partial(self._train, task), now, out)

    def _train(self, task: Task, adopted: bool, now: float, out: list[Output]) -> None:
        """Also from a model that this node's gate keeps it from standing on: what is missing there
        is what it can teach. Those who decline leave a round to those whom it suits; what fewer
        than half have trained proves nothing and moves ever further away from the rest."""
        if self.task is not task:
            return
        self.phase = Phase.TRAINING

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            if self.task is not task:
                # Work that missed its round is discarded, never claimed.
                return
            if isinstance(event, RoundTrained):
                self._trained(task, event, later, outputs)
            else:
                self._decline("training", later, outputs)

        self._work.start(
            lambda t: TrainRound(t, task.model, self._steps, task.round + 1, task.sample),
            ended,
            out,
        )

    def _trained(self, task: Task, event: RoundTrained, now: float, out: list[Output]) -> None:
        self._fetcher.own(event.head)
        self._claim(event.claim)
        self._pace.trained(now - self.since)
        self.cycles += 1
        self.loss = event.loss
        fields: Fields = {"round": task.round, "steps": event.claim.claim.steps}
        out.append(Report("trained", {**fields, **coded(event.head)}))
        lineage = {} if task.model is None else task.model.manifest.lineage
        base = self._bases.base
        if base is None or compare(lineage, base.manifest.lineage) in (
            Relation.EQUAL,
            Relation.BEHIND,
        ):
            base = None
        island = base is not None and self._bases.is_island(lineage, base)
        self._deliver(
            Delivery(
                task.round + 1,
                task.sample,
                event.head,
                event.participation,
                base,
                self._bases.serving if island else None,
            ),
            now,
            out,
        )

    def _decline(self, reason: str, now: float, out: list[Output]) -> None:
        """Tell the aggregators not to wait."""
        assert self.task is not None, "nothing to decline"
        out.append(Report("round-declined", {"round": self.task.round, "reason": reason}))
        self._deliver(Delivery(self.task.round + 1, self.task.sample), now, out)

    # --- finding an aggregator -------------------------------------------------------------------

    def _deliver(self, delivery: Delivery, now: float, out: list[Output]) -> None:
        self._search = _Search(delivery)
        self._seek(self._search, now, out)

    def _seek(self, search: _Search, now: float, out: list[Output]) -> None:
        """The first of the sample that answer, then the first of all; this node is one of them."""
        self.phase = Phase.SEEKING
        round_ = search.delivery.round
        members = self._activity.sort(search.delivery.sample.sample.peers, round_)
        rest = [p for p in self._activity.order(round_) if p not in members]
        candidates = [p for p in (*members, *rest) if p not in search.failed]
        candidates.sort(key=lambda p: not self._trusts(p))
        search.draw = self._sampler.draw(
            candidates, self._aggregators, partial(self._found, search), now, out, strict=True
        )

    def _found(
        self, search: _Search, peers: tuple[str, ...], now: float, out: list[Output]
    ) -> None:
        if self._search is not search:
            return
        if not peers:
            self.finish(out)
            return
        self.phase = Phase.WAITING
        search.targets = {peer: _Target(self._until(now)) for peer in peers}
        search.pause = CHECK_SECONDS[0]
        self._await_check(search, now, out)
        for peer in peers:
            # What is said of the one before may have changed who it is that waits.
            if self._search is search and peer in search.targets:
                self._hand(search, peer, now, out)

    def _until(self, now: float) -> float:
        """How long an aggregator that begins now may take."""
        return now + 2.0 * self._pace.aggregation_seconds + CHECK_SECONDS[1]

    def _await_check(self, search: _Search, now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + max(search.pause, self._pace.ping_seconds)))
        search.pause = min(GROWTH * search.pause, CHECK_SECONDS[1])

    def _hand(self, search: _Search, peer: str, now: float, out: list[Output]) -> None:
        search.targets[peer].asked = True
        self._send(peer, search.delivery, partial(self._told, search, peer), now, out)

    def _told(
        self, search: _Search, peer: str, state: RoundState | None, now: float, out: list[Output]
    ) -> None:
        """What an aggregator says of this node's work."""
        target = search.targets.get(peer)
        if self._search is not search or target is None:
            return
        target.asked = False
        if state in ("done", "old"):
            self.finish(out)
        elif state == "unknown" and target.resent < RESENDS:
            # It was restarted, or takes another round for the current one.
            target.resent += 1
            self._hand(search, peer, now, out)
        elif state not in ("collecting", "accepted"):
            self._lost(search, peer, state is None, now, out)

    def on_timer(self, now: float, out: list[Output]) -> None:
        search = self._search
        if search is None or self.phase is not Phase.WAITING:
            return
        self._await_check(search, now, out)
        for peer, target in list(search.targets.items()):
            if self._search is not search or search.targets.get(peer) is not target:
                continue
            if target.asked or target.until <= now:
                self._lost(search, peer, target.asked, now, out)
            else:
                target.asked = True
                sample = search.delivery.sample.id
                self._check(peer, sample, partial(self._told, search, peer), now, out)

    def on_lost(self, peer: str, now: float, out: list[Output]) -> None:
        """A connection ended."""
        if self._search is not None and peer in self._search.targets:
            self._lost(self._search, peer, True, now, out)

    def _lost(
        self, search: _Search, peer: str, silent: bool, now: float, out: list[Output]
    ) -> None:
        """An aggregator is gone or of no use: when it was the last, the next candidate's turn."""
        if search.targets.pop(peer, None) is None:
            return
        search.failed.add(peer)
        if silent:
            self._activity.suspect(peer, search.delivery.round)
        else:
            self._distrust(peer)
        if not search.targets:
            out.append(Report("aggregator-lost", {"round": search.delivery.round, "peer": peer}))
            self._seek(search, now, out)

    def reports_to(self, peer: str, sample: bytes, now: float, out: list[Output]) -> bool:
        """Whether an aggregator that asks may still expect something from here.

        Trainers may find different aggregators, when one cannot reach the first in time. Whoever
        comes first in the order gets the work of all, as soon as it asks for it.
        """
        if not self.works_in(sample):
            return False
        search = self._search
        if search is not None and self.phase is Phase.WAITING and peer not in search.targets:
            order = self._activity.sort([peer, *search.targets], search.delivery.round)
            if len(search.targets) == 1 and order[0] == peer:
                search.targets = {peer: _Target(self._until(now))}
                self._hand(search, peer, now, out)
        return True

    # --- ends ------------------------------------------------------------------------------------

    def reached(self, round_: int, out: list[Output]) -> None:
        """The swarm is known to have reached this round: nobody needs to hand out an older one."""
        if self._search is not None and round_ >= self._search.delivery.round:
            self.finish(out)

    def finish(self, out: list[Output]) -> None:
        """The work is done, or nobody is left to do it for."""
        self._drop_search(out)
        self.phase = Phase.IDLE

    def _drop_search(self, out: list[Output]) -> None:
        if self._search is not None:
            if self._search.draw is not None:
                self._sampler.cancel(self._search.draw)
            self._search = None
            out.append(CancelTimer(TIMER))
