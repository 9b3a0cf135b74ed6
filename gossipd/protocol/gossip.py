"""The asynchronous way of learning: train, show the head to a few peers, merge what came.

Each node runs cycles on its own clock, without any round or barrier (arXiv 2404.04616 for the
buffer and its variance-corrected average; lineage and island merges are ours):

    IDLE --cycle due--> MERGING (if anything is buffered) --> TRAINING (unless paused) --> IDLE
                                                                 \\-> head offered to `fanout` peers

What a merge does follows from the lineages:

    behind                       -> dropped
    equal, smaller content hash  -> adopted, so that a quiet swarm ends on one model
    ahead of everything here     -> adopted (fast-forward)
    concurrent                   -> one average over the buffer; an island, that is a side with a
                                    large share of unseen learning, is merged alone, weighed by
                                    what each side has learnt, its serving model beside its head
"""

import enum
from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from gossipd.protocol.events import Merge, Output, Report, SetTimer, Side, Train
from gossipd.protocol.exchange import recency
from gossipd.protocol.host import Host
from gossipd.protocol.lineage import Lineage, Relation, compare, is_news, join, more_in
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import Update

CYCLE_TIMER = "gossip.cycle"
ISLAND_SHARE = 0.25
"""Share of unseen learning from which a side counts as an island. Ours: neighbours that exchange
every cycle stay below .05 after their first minute, islands that meet stand at .3 to 1."""
SET_ASIDE = 16
"""Updates that the gate refused and that are tried again."""
RETRY_CYCLES = 10
"""Cycles of own training before what the gate refused is tried again."""
FAILURE_PAUSE = 5.0
"""Seconds of rest after training or merging failed (diverged, disk full), so as not to spin."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's choice; config.py says where the defaults come from."""

    cycle_seconds: float
    local_steps: int
    """Mini-batches per cycle; 0: it merges and relays only, as a node without data does."""
    fanout: int
    buffer: int
    exchange: bool


class Phase(enum.Enum):
    IDLE = "idle"
    MERGING = "merging"
    TRAINING = "training"


@dataclass(slots=True)
class _Buffered:
    update: Update
    serving: Update | None = None


class Gossip:
    """One node's cycles and its buffer of arrived heads."""

    def __init__(self, settings: Settings, host: Host, rng: Random) -> None:
        self._settings = settings
        self._has_examples = host.has_examples
        self._view = host.view
        self._rng = rng
        self._buffer: OrderedDict[str, _Buffered] = OrderedDict()
        self._merging: list[_Buffered] = []
        self._aside: dict[bytes, tuple[int, _Buffered]] = {}
        self._merged_since_training = False
        self._began = 0.0
        self.phase = Phase.IDLE
        self.paused = False
        self.head: Update | None = None
        self.cycles = 0
        self.merged = 0
        self.adopted = 0
        self.gated = 0
        self.loss: float | None = None
        """Mean training loss of the last cycle."""
        self.last_failure: str | None = None
        """Why learning stands still; None while it goes on."""

    # --- what this node stands on ----------------------------------------------------------------

    @property
    def lineage(self) -> Lineage:
        return {} if self.head is None else self.head.manifest.lineage

    @property
    def model(self) -> bytes | None:
        return None if self.head is None else self.head.manifest.model

    def holds(self, update_id: bytes) -> bool:
        """Whether an update is here, waiting for a merge or for another try."""
        return (
            any(b.update.id == update_id for b in self._buffer.values())
            or any(b.update.id == update_id for b in self._merging)
            or update_id in self._aside
        )

    def waiting(self) -> list[Update]:
        """Others' heads that are here and not merged yet, with the serving models beside them."""
        here = [*self._merging, *self._buffer.values(), *(b for _, b in self._aside.values())]
        return [u for b in here for u in (b.update, b.serving) if u is not None]

    def is_island(self, update: Update) -> bool:
        """Whether an update brings so much unseen learning that its serving model pays."""
        if self.head is None:
            return True
        return self._view.fresh_share(self.lineage, update.manifest.lineage) >= ISLAND_SHARE

    # --- the cycle -------------------------------------------------------------------------------

    def start(self, now: float, out: list[Output]) -> None:
        # A random first pause keeps daemons that were started together from working in step.
        pause = self._rng.uniform(0.0, self._settings.cycle_seconds)
        out.append(SetTimer(CYCLE_TIMER, now + pause))

    def on_timer(self, now: float, out: list[Output]) -> None:
        if self.phase is Phase.IDLE:
            self._began = now
            self._work(now, out)

    def set_paused(self, paused: bool, now: float, out: list[Output]) -> None:
        """Stop or resume training; merging goes on, so that a paused node stays up to date."""
        if self.paused and not paused and self.phase is Phase.IDLE:
            out.append(SetTimer(CYCLE_TIMER, now))
        self.paused = paused

    def arrived(
        self, update: Update, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        """A head is here and decoded. The newest of each author waits for the next merge."""
        waiting = self._buffer.get(update.author)
        if waiting is None or recency(waiting.update) < recency(update):
            self._buffer.pop(update.author, None)
            self._buffer[update.author] = _Buffered(update, serving)
        if len(self._buffer) >= self._settings.buffer and self.phase is Phase.IDLE:
            self._began = now
            self._merge(now, out)

    def _work(self, now: float, out: list[Output]) -> None:
        self._retry_aside()
        if self._merge(now, out):
            return
        self._train(now, out)

    def _train(self, now: float, out: list[Output]) -> None:
        if self.paused or self._settings.local_steps == 0 or not self._has_examples():
            self._rest(now, out)
            return
        self.phase = Phase.TRAINING
        fold = not self._merged_since_training
        out.append(Train(dict(self.lineage), self._settings.local_steps, fold))

    def _rest(self, now: float, out: list[Output], at_least: float = 0.0) -> None:
        self.phase = Phase.IDLE
        interval = self._settings.cycle_seconds * self._rng.uniform(0.8, 1.2)
        out.append(SetTimer(CYCLE_TIMER, max(self._began + interval, now + at_least)))

    # --- merging ---------------------------------------------------------------------------------

    def _merge(self, now: float, out: list[Output]) -> bool:
        """Plan one merge of what is buffered; False when there is nothing to do."""
        candidates = self._maximal()
        if not candidates:
            return False
        ahead = [b for b in candidates if compare(self.lineage, b.update.manifest.lineage)
                 in (Relation.AHEAD, Relation.EQUAL)]  # fmt: skip
        islands = [b for b in candidates if b not in ahead and self.is_island(b.update)]
        if islands and not ahead:
            plan = self._plan_island(islands[0])
        else:
            # Islands wait for the next merge, when what continues the own head is in it.
            near = [b for b in candidates if b not in islands]
            if ahead and len(near) == 1:
                plan = self._plan_adoption(ahead[0])
            else:
                plan = self._plan_buffer(near, own=not ahead)
        self._merging = [
            b for b in candidates if any(b.update is side.update for side in plan.sides)
        ]
        for buffered in self._merging:
            self._buffer.pop(buffered.update.author, None)
        self.phase = Phase.MERGING
        out.append(plan)
        return True

    def _maximal(self) -> list[_Buffered]:
        """The buffered updates that are news and not contained in another one; drops the rest."""
        fresh = [
            b
            for b in self._buffer.values()
            if is_news(self.lineage, self.model, b.update.manifest.lineage, b.update.manifest.model)
        ]
        kept = [b for b in fresh if not any(self._contained(b, other) for other in fresh)]
        self._buffer = OrderedDict((b.update.author, b) for b in kept)
        return kept

    @staticmethod
    def _contained(buffered: _Buffered, other: _Buffered) -> bool:
        if buffered is other:
            return False
        mine, theirs = buffered.update.manifest, other.update.manifest
        relation = compare(mine.lineage, theirs.lineage)
        if relation is Relation.EQUAL:
            # Of several with one lineage exactly one stays: the smallest (hash, author).
            return (theirs.model, other.update.author) < (mine.model, buffered.update.author)
        return relation is Relation.AHEAD

    def _plan_adoption(self, buffered: _Buffered) -> Merge:
        manifest = buffered.update.manifest
        side = Side(buffered.update, 0, None, buffered.serving)
        return Merge("adopt", (side,), join(self.lineage, manifest.lineage))

    def _plan_island(self, buffered: _Buffered) -> Merge:
        theirs = buffered.update.manifest.lineage
        here, there = more_in(self.lineage, theirs), more_in(theirs, self.lineage)
        view = self._view
        sides = (
            Side(None, view.examples_of(here), view.class_counts_of(here)),
            Side(
                buffered.update,
                view.examples_of(there),
                view.class_counts_of(there),
                buffered.serving,
            ),
        )
        return Merge("concurrent", sides, join(self.lineage, theirs))

    def _plan_buffer(self, candidates: list[_Buffered], *, own: bool) -> Merge:
        sides = [Side(None, 0, None)] if own else []
        for update in (b.update for b in candidates):
            author = author_key(update.author, update.manifest.incarnation)
            sides.append(Side(update, self._view.examples_of((author,)), None))
        lineages = [b.update.manifest.lineage for b in candidates]
        return Merge("buffer", tuple(sides), join(self.lineage, *lineages))

    # --- results ---------------------------------------------------------------------------------

    def on_merged(self, head: Update, now: float, out: list[Output]) -> None:
        """The merge is committed; training goes on from it."""
        contributors = len(self._merging)
        if head.id in {b.update.id for b in self._merging}:
            self.adopted += 1
        else:
            self.merged += contributors
        self._merging = []
        self.head = head
        self._merged_since_training = True
        out.append(Report("merged", {"models": contributors, "head": head.manifest.model.hex()}))
        self._train(now, out)

    def on_trained(self, head: Update, loss: float, now: float, out: list[Output]) -> None:
        self.head = head
        self.loss = loss
        self.last_failure = None
        self.cycles += 1
        self._merged_since_training = False
        self._rest(now, out)

    def on_failed(self, task: str, reason: str, gate: bool, now: float, out: list[Output]) -> None:
        """Nothing was committed. What the gate refused is set aside, the rest is simply dropped."""
        if not gate:
            self.last_failure = f"{task}: {reason}"
        else:
            self.gated += 1
            for buffered in self._merging:
                self._aside[buffered.update.id] = (self.cycles + RETRY_CYCLES, buffered)
            while len(self._aside) > SET_ASIDE:
                del self._aside[next(iter(self._aside))]
        self._merging = []
        if task == "merge" and gate:
            self._train(now, out)
        else:
            self._rest(now, out, FAILURE_PAUSE)

    def _retry_aside(self) -> None:
        for update_id, (due, buffered) in list(self._aside.items()):
            if self.cycles >= due:
                del self._aside[update_id]
                self._buffer.setdefault(buffered.update.author, buffered)
