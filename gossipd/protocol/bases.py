"""Base and serving model of a node that works in rounds, and how better ones come to stand there.

Ours (none of the papers has lineage). Compared are bases only, by lineage:

    ahead                      -> adopted, after the gate
    equal, smaller hash        -> adopted, so that a quiet swarm ends on one model
    concurrent                 -> left to the next aggregator, to whom this node's base is offered
                                  (see `islands`); merged here only when no rounds go on

The serving model is one chain that the aggregators make; a node takes it as it comes by. Of two
concurrent ones it keeps the one that has learnt more; islands' are blended.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gossipd.protocol.events import Fields, Output, Report
from gossipd.protocol.gossip import ISLAND_SHARE
from gossipd.protocol.lineage import Lineage, Relation, compare, is_news, join
from gossipd.protocol.plan import side
from gossipd.protocol.round_events import (
    Adopt,
    Adopted,
    Aggregate,
    Blend,
    Blended,
    RoundAggregated,
    RoundWorkFailed,
)
from gossipd.protocol.view import SwarmView
from gossipd.protocol.work import Ended, Work
from gossipd.wire.messages import Update

HALF_LEARNT = 1000
"""Steps after which half of what an author can teach counts as learnt: ours, a guess. A missing
island must weigh more than some rounds' steps, and a little more of everything something."""

Then = Callable[[bool, float, list[Output]], None]
Click = Callable[[tuple[str, ...], float | None, float], None]
"""(whose models were merged, by how much the loss fell, now)"""


def ignore(ok: bool, now: float, out: list[Output]) -> None:
    """For whoever does not care how it ends."""


@dataclass(frozen=True, slots=True)
class _Wish:
    base: Update | None
    serving: Update | None
    judged: bool
    then: Then


class Bases:
    """Changes what a node stands on, one change at a time: the lineage never shrinks."""

    def __init__(self, view: SwarmView, work: Work, click: Click) -> None:
        """`click`: what a merge with somebody's model has gained here. A round's own model is no
        choice of anybody's, and counts for nobody."""
        self._view = view
        self._click = click
        self._work = work
        self._wishes: deque[_Wish] = deque()
        self._busy = False
        self._merging = False
        self._blending = False
        self.base: Update | None = None
        self.serving: Update | None = None
        self.adopted = 0
        self.merged = 0
        self.gated = 0
        self.last_failure: str | None = None

    @property
    def lineage(self) -> Lineage:
        return {} if self.base is None else self.base.manifest.lineage

    @property
    def model(self) -> bytes | None:
        return None if self.base is None else self.base.manifest.model

    # --- comparing -------------------------------------------------------------------------------

    def is_better(self, base: Update) -> bool:
        """Whether a base may simply be adopted."""
        theirs = base.manifest
        return compare(self.lineage, theirs.lineage) is not Relation.CONCURRENT and is_news(
            self.lineage, self.model, theirs.lineage, theirs.model
        )

    def is_concurrent(self, base: Update) -> bool:
        return compare(self.lineage, base.manifest.lineage) is Relation.CONCURRENT

    def is_island(self, own: Lineage, update: Update) -> bool:
        """Whether an update brings so much unseen learning that its serving model pays."""
        return self._view.fresh_share(own, update.manifest.lineage) >= ISLAND_SHARE

    def is_apart(self, own: Lineage, update: Update) -> bool:
        """Whether neither knows much of the other: an island's model, and not one that was made
        after the islands had met."""
        share = self._view.fresh_share(update.manifest.lineage, own)
        return self.is_island(own, update) and share >= ISLAND_SHARE

    def is_fresher(self, serving: Update) -> bool:
        """Whether a serving model may simply take the place of the own one."""
        if self.serving is None:
            return True
        own, theirs = self.serving.manifest, serving.manifest
        relation = compare(own.lineage, theirs.lineage)
        if relation is Relation.AHEAD or relation is Relation.BEHIND:
            return relation is Relation.AHEAD
        gain = lead = 0.0
        if relation is Relation.CONCURRENT:
            if self.is_foreign(serving):
                return False
            gain, lead = self._learnt(theirs.lineage), self._learnt(own.lineage)
        return (-gain, -theirs.round, theirs.model) < (-lead, -own.round, own.model)

    def _learnt(self, lineage: Lineage) -> float:
        """How much stands behind a lineage. A number for each, so that three models cannot each be
        better than the next one; no author counts for more than its examples, whatever it claims
        to have trained."""
        return sum(
            self._view.examples_of((author,)) * lineage[author] / (lineage[author] + HALF_LEARNT)
            for author in sorted(lineage)
        )

    def is_foreign(self, serving: Update) -> bool:
        """Whether a serving model is an island's, and this node's one is to it."""
        return self.serving is not None and self.is_apart(self.serving.manifest.lineage, serving)

    # --- adopting --------------------------------------------------------------------------------

    def take(
        self,
        base: Update | None,
        serving: Update | None,
        then: Then,
        now: float,
        out: list[Output],
        *,
        judged: bool = False,
    ) -> None:
        """Adopt what is better of these, whose bodies are here; `then(False)` only when it was
        better and could not be adopted. `judged`: the gate has passed the base already."""
        self._wishes.append(_Wish(base, serving, judged, then))
        self._next(now, out)

    def _next(self, now: float, out: list[Output]) -> None:
        if self._busy or not self._wishes:
            return
        wish = self._wishes.popleft()
        base = wish.base if wish.base is not None and self.is_better(wish.base) else None
        fresher = wish.serving is not None and self.is_fresher(wish.serving)
        serving = wish.serving if fresher else None
        if base is None and serving is None:
            wish.then(True, now, out)
            self._next(now, out)
            return

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            self._busy = False
            if isinstance(event, Adopted):
                self.base = base or self.base
                self.serving = serving or self.serving
                self.adopted += base is not None
                self.last_failure = None
            elif isinstance(event, RoundWorkFailed):
                self.failed("adopt", event, outputs)
            wish.then(isinstance(event, Adopted), later, outputs)
            self._next(later, outputs)

        self._busy = True
        self._work.start(lambda t: Adopt(t, base, serving, not wish.judged), ended, out)

    def failed(self, task: str, event: RoundWorkFailed, out: list[Output]) -> None:
        """Count and tell what the gate refused or the disk did not take."""
        if event.gate:
            self.gated += 1
        else:
            self.last_failure = f"{task}: {event.reason}"
        fields: Fields = {"task": task, "reason": event.reason, "gate": event.gate}
        out.append(Report("learning-failed", fields))

    # --- merging ---------------------------------------------------------------------------------

    def merge(
        self, theirs: Update, serving: Update | None, round_: int, now: float, out: list[Output]
    ) -> None:
        """Merge a concurrent base whose body is here; one merge at a time, others come again."""
        if self._merging or self.base is None or not self.is_concurrent(theirs):
            return
        own = self.base.manifest.lineage
        sides = (
            side(self._view, self.base, self.serving, [theirs.manifest.lineage]),
            side(self._view, theirs, serving, [own]),
        )
        lineage = join(own, theirs.manifest.lineage)

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            self._merging = False
            if isinstance(event, RoundAggregated):
                self.merged += 1
                self._click((theirs.author,), event.gain, later)
                self.take(event.base, event.serving, ignore, later, outputs, judged=True)
                outputs.append(Report("merged", {"models": 2, "author": theirs.author}))
            elif isinstance(event, RoundWorkFailed):
                self.failed("merge", event, outputs)

        self._merging = True
        chain = self.serving
        self._work.start(lambda t: Aggregate(t, round_, (), sides, chain, lineage), ended, out)

    def blend(self, theirs: Update, round_: int, now: float, out: list[Output]) -> None:
        """Predict with an island's serving model, whose body is here, beside the own one."""
        own = self.serving
        if own is None or not self.is_foreign(theirs):
            self.take(None, theirs, ignore, now, out)
            return
        if self._blending:
            return
        sides = (
            side(self._view, own, own, [theirs.manifest.lineage]),
            side(self._view, theirs, theirs, [own.manifest.lineage]),
        )
        lineage = join(own.manifest.lineage, theirs.manifest.lineage)

        def ended(event: Ended, later: float, outputs: list[Output]) -> None:
            self._blending = False
            if isinstance(event, Blended):
                self._click((theirs.author,), event.gain, later)
                self.take(None, event.serving, ignore, later, outputs)
            elif isinstance(event, RoundWorkFailed):
                self.failed("blend", event, outputs)

        self._blending = True
        self._work.start(lambda t: Blend(t, round_, sides, lineage), ended, out)
