"""What an aggregation consists of: heads by the model they came from, bases by lineage.

Ours, for islands that meet. Averaging an island's one trainer with everybody else's heads would
mark all its island's work as contained at a tenth of its weight; measured: eight rounds lost.

    heads trained from one model   -> one group, averaged by examples
    a base that no group contains  -> one side more, with its serving model when it is an island's
    of bases that contain another  -> only the one that contains, of equal ones the smallest hash
    every group and base           -> weighed by what only it has learnt
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossipd.protocol.gossip import ISLAND_SHARE
from gossipd.protocol.lineage import Lineage, Relation, compare, join, more_in
from gossipd.protocol.round_events import Group, Offered
from gossipd.protocol.tasks import Delivery
from gossipd.protocol.view import SwarmView
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import Update


@dataclass(frozen=True, slots=True)
class Plan:
    groups: tuple[Group, ...]
    offered: tuple[Offered, ...]
    serving: Update | None
    """What the serving chain is continued from."""
    lineage: dict[bytes, int]


@dataclass(frozen=True, slots=True)
class News:
    """What one lineage holds and others do not, by the examples behind it."""

    examples: int
    class_counts: tuple[int, ...] | None
    """None where an author keeps its own secret."""
    fresh: float
    """Its share of all that its authors have taught this side."""
    shared: tuple[int, ...] | None
    """Class counts behind the rest of the lineage, which the others hold too."""


def news(view: SwarmView, lineage: Lineage, others: Lineage) -> News:
    """Every author weighs by its examples, and by the share of its steps that the others lack."""
    new = known = 0.0
    profile: list[float] = []
    shared: list[float] = []
    secret = False
    for author in sorted(lineage):
        examples = view.examples_of((author,))
        counts = view.class_counts_of((author,))
        part = max(lineage[author] - others.get(author, 0), 0) / lineage[author]
        if part:
            new += part * examples
            known += examples
            secret |= bool(examples) and counts is None
        _add(profile, counts or (), part)
        _add(shared, counts or (), 1.0 - part)
    return News(
        round(new),
        None if secret or not any(profile) else tuple(map(round, profile)),
        new / known if known else 1.0,
        tuple(map(round, shared)) or None,
    )


def _add(total: list[float], counts: Sequence[int], part: float) -> None:
    total += [0.0] * (len(counts) - len(total))
    for index, count in enumerate(counts):
        total[index] += part * count


def side(
    view: SwarmView, base: Update, serving: Update | None, others: Sequence[Lineage]
) -> Offered:
    """A base in a merge with others, weighed by what only it has learnt."""
    only = news(view, base.manifest.lineage, join(*others))
    return Offered(base, serving, only.examples, only.class_counts, only.fresh, only.shared)


class Planner:
    """Plans aggregations from what trainers have brought and from what stands here."""

    def __init__(
        self,
        view: SwarmView,
        own: Callable[[], tuple[Update | None, Update | None]],
        guests: Callable[[], Sequence[tuple[Update, Update | None]]],
        is_here: Callable[[bytes], bool],
    ) -> None:
        self._view = view
        self._own = own
        """This node's base and serving model."""
        self._guests = guests
        """The same of islands that it has heard of."""
        self._is_here = is_here

    def plan(self, deliveries: Sequence[Delivery], chain: Update | None) -> Plan:
        """`chain`: the serving model that was handed out beside the trained one, if it is here."""
        heads: dict[bytes, list[Update]] = {}
        for delivery in deliveries:
            assert delivery.head is not None, "who declines brings nothing"
            heads.setdefault(delivery.sample.sample.model, []).append(delivery.head)
        learnt: list[Lineage] = [
            join(*(h.manifest.lineage for h in heads[model])) for model in sorted(heads)
        ]
        chain = self._continued(chain)
        bases = self._maximal(deliveries, join(*learnt), chain)
        lineages = [*learnt, *(base.manifest.lineage for base, _ in bases)]

        def others(index: int) -> list[Lineage]:
            return lineages[:index] + lineages[index + 1 :]

        return Plan(
            groups=tuple(
                self._group(model, heads[model], learnt[index], others(index))
                for index, model in enumerate(sorted(heads))
            ),
            offered=tuple(
                side(self._view, base, serving, others(len(learnt) + index))
                for index, (base, serving) in enumerate(bases)
            ),
            serving=chain,
            lineage=join(*lineages),
        )

    def _continued(self, chain: Update | None) -> Update | None:
        """The chain that came with the round, unless this node predicts with a later model."""
        _, own = self._own()
        if chain is None or own is None:
            return chain or own
        behind = compare(own.manifest.lineage, chain.manifest.lineage) is Relation.BEHIND
        return own if behind else chain

    def _group(
        self, model: bytes, heads: list[Update], learnt: Lineage, others: list[Lineage]
    ) -> Group:
        view = self._view
        authors = [(author_key(head.author, head.manifest.incarnation),) for head in heads]
        only = news(view, learnt, join(*others))
        return Group(
            model,
            tuple(heads),
            tuple(map(view.examples_of, authors)),
            tuple(map(view.class_counts_of, authors)),
            only.examples,
            only.class_counts,
            only.fresh,
            only.shared,
        )

    def _maximal(
        self, deliveries: Sequence[Delivery], whole: Lineage, chain: Update | None
    ) -> list[tuple[Update, Update | None]]:
        """The bases, the own one and islands' among them, that neither the groups nor another base
        contain; with the serving models that the chain does not contain."""
        found = {base.manifest.model: (base, serving) for base, serving in self._guests()}
        found |= {d.base.manifest.model: (d.base, d.serving) for d in deliveries if d.base}
        base, serving = self._own()
        if base is not None:
            found.setdefault(base.manifest.model, (base, serving))
        fresh = {
            model: pair for model, pair in found.items() if more_in(pair[0].manifest.lineage, whole)
        }
        kept = [
            pair
            for model, pair in sorted(fresh.items())
            if not any(_contains(other, pair[0]) for other, _ in fresh.values())
        ]
        return [(base, self._beside(base, serving, chain)) for base, serving in kept]

    def _beside(self, base: Update, serving: Update | None, chain: Update | None) -> Update | None:
        """What the chain is merged with: an island's serving model, or the base in its place."""
        done = {} if chain is None else chain.manifest.lineage
        share = self._view.fresh_share
        if share(done, base.manifest.lineage) < ISLAND_SHARE:
            return None
        if serving is None or not self._is_here(serving.id):
            return base
        # Made after the islands had met, it would count the chain's side once more.
        mixed = bool(done) and share(serving.manifest.lineage, done) < ISLAND_SHARE
        return base if mixed else serving


def _contains(other: Update, base: Update) -> bool:
    relation = compare(base.manifest.lineage, other.manifest.lineage)
    if relation is Relation.EQUAL:
        return other.manifest.model < base.manifest.model
    return relation is Relation.AHEAD
