"""Islands that were met, until the rounds contain what they have learnt.

Ours (none of the papers has lineage). While rounds go on nobody merges an island's base for itself:
the merge would be diluted by the next one. It is kept as it came, a *guest*, and

    the next aggregator merges it, once, with what was trained     (plan)
    this node predicts with both at once: the serving models blended
    others are told, in the way of a rumour, when there is much to be learnt from it

so that it takes not one round until the aggregator, and nobody's serving model, is without it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gossipd.protocol.bases import Bases
from gossipd.protocol.events import Output
from gossipd.protocol.lineage import Lineage, Relation, compare, join, more_in
from gossipd.protocol.pace import Pace
from gossipd.protocol.plan import news
from gossipd.protocol.view import SwarmView
from gossipd.wire.messages import Update

GUESTS = 4
"""Islands that are kept at once: ours; a fifth waits until it is met again."""
CARRIED = 16
"""Bases that somebody has carried here, kept at once, guests included: ours, a guess. They cost a
manifest each, and a merge of so many sides is still one round's work."""
GUEST_ROUNDS = 20
"""Rounds for which a guest is kept: ours, far less than its bodies stay on disk. Who lives on the
island offers its base to every aggregator anyway."""
RUMOUR_SHARE = 0.1
"""Of all known examples: what an island must bring for everybody to be told at once. Ours, a guess:
it costs every node two transfers, and a smaller island is merged by the next aggregator anyway."""
RUMOUR_PEERS = 3
"""Peers that are told by each: ours; a rumour that each passes on once to three others reaches 94 %
(Demers et al., 1987), the rest learns of it by pulls."""
EAGER_ROUNDS = 10
"""Rounds after a meeting in which every node looks for the newest serving model twice a round: each
of them teaches much then. Ours, measured by benchmarks/islands.py."""


@dataclass(frozen=True, slots=True)
class Guest:
    """An island's base, and its serving model if that is here too."""

    base: Update
    serving: Update | None
    round: int
    """The proven one when it came."""
    carried: bool = False
    """Nobody here can meet that island: whatever is new in it is kept until it is merged."""


class Islands:
    """Keeps guests, and says what they are worth."""

    def __init__(
        self, view: SwarmView, bases: Bases, pace: Pace, round_: Callable[[], int]
    ) -> None:
        self._view = view
        self._bases = bases
        self._pace = pace
        self._round = round_
        self._guests: list[Guest] = []
        self._eager_until = -math.inf

    @property
    def guests(self) -> list[Guest]:
        """Those whose learning is still largely new to what this node stands on."""
        self._guests = [guest for guest in self._guests if self._stays(guest)]
        return self._guests

    def _stays(self, guest: Guest) -> bool:
        if guest.carried:
            return self._bases.is_concurrent(guest.base)
        recent = guest.round >= self._round() - GUEST_ROUNDS
        return recent and self._bases.is_island(self._bases.lineage, guest.base)

    def is_news(self, base: Update) -> bool:
        """Whether a concurrent base is an island's, none that is known already, and has room."""
        known = join(self._bases.lineage, *(g.base.manifest.lineage for g in self.guests))
        room = len(self._others(base)) < GUESTS
        return room and self._bases.is_island(known, base)

    def _others(self, base: Update) -> list[Guest]:
        """The guests that would stay beside this one: those that it does not contain."""
        lineage = base.manifest.lineage
        contained = (Relation.AHEAD, Relation.EQUAL)
        return [
            g for g in self._guests if compare(g.base.manifest.lineage, lineage) not in contained
        ]

    def take_in(
        self,
        base: Update,
        serving: Update | None,
        now: float,
        out: list[Output],
        *,
        carried: bool = False,
    ) -> bool:
        """Keep what is here; whether it is worth telling others."""
        guests = self._others(base)
        if not (self._may_wait(base, guests) if carried else self.is_news(base)):
            return False
        self._guests = [*guests, Guest(base, serving, self._round(), carried)]
        if not self._is_weighty(base.manifest.lineage):
            return False
        self._eager_until = now + EAGER_ROUNDS * (self._pace.median_round or 0.0)
        self._bases.blend(serving or base, self._round(), now, out)
        return True

    @staticmethod
    def _may_wait(base: Update, guests: list[Guest]) -> bool:
        """Whether a base that was carried here has room beside these, and is in none of them."""
        lineages = (guest.base.manifest.lineage for guest in guests)
        news = all(more_in(base.manifest.lineage, lineage) for lineage in lineages)
        return news and len(guests) < CARRIED

    def pause(self, now: float) -> float:
        """Seconds until the next pull, at most: endless but shortly after a meeting."""
        round_ = self._pace.median_round
        return math.inf if round_ is None or not self.is_eager(now) else round_ / 2.0

    def is_eager(self, now: float) -> bool:
        """Whether an island was met some rounds ago."""
        return now < self._eager_until

    def _is_weighty(self, lineage: Lineage) -> bool:
        own = self._bases.lineage
        theirs = news(self._view, lineage, own).examples
        return theirs >= RUMOUR_SHARE * (theirs + self._view.examples_of(own))
