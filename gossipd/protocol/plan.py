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


def side(
    view: SwarmView, base: Update, serving: Update | None, others: Sequence[Lineage]
) -> Offered:
    """A base in a merge with others, weighed by what only it has learnt."""
    only = more_in(base.manifest.lineage, join(*others))
    return Offered(base, serving, view.examples_of(only), view.class_counts_of(only))


class Planner:
    """Plans aggregations from what trainers have brought and from what stands here."""

    def __init__(
        self,
        view: SwarmView,
        own: Callable[[], tuple[Update | None, Update | None]],
        is_here: Callable[[bytes], bool],
    ) -> None:
        self._view = view
        self._own = own
        """This node's base and serving model."""
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
        bases = self._maximal(deliveries, join(*learnt))
        lineages = [*learnt, *(base.manifest.lineage for base, _ in bases)]

        def others(index: int) -> list[Lineage]:
            return lineages[:index] + lineages[index + 1 :]

        return Plan(
            groups=tuple(
                self._group(heads[model], learnt[index], others(index))
                for index, model in enumerate(sorted(heads))
            ),
            offered=tuple(
                side(self._view, base, serving, others(len(learnt) + index))
                for index, (base, serving) in enumerate(bases)
            ),
            serving=self._continued(chain),
            lineage=join(*lineages),
        )

    def _continued(self, chain: Update | None) -> Update | None:
        """The chain that came with the round, unless this node predicts with a later model."""
        _, own = self._own()
        if chain is None or own is None:
            return chain or own
        behind = compare(own.manifest.lineage, chain.manifest.lineage) is Relation.BEHIND
        return own if behind else chain

    def _group(self, heads: list[Update], learnt: Lineage, others: list[Lineage]) -> Group:
        view = self._view
        weights = tuple(
            view.examples_of((author_key(h.author, h.manifest.incarnation),)) for h in heads
        )
        only = more_in(learnt, join(*others))
        return Group(tuple(heads), weights, view.examples_of(only), view.class_counts_of(only))

    def _maximal(
        self, deliveries: Sequence[Delivery], whole: Lineage
    ) -> list[tuple[Update, Update | None]]:
        """The bases, the own one among them, that neither the groups nor another base contain."""
        found = {d.base.manifest.model: (d.base, d.serving) for d in deliveries if d.base}
        base, serving = self._own()
        if base is not None:
            island = self._view.fresh_share(whole, base.manifest.lineage) >= ISLAND_SHARE
            found.setdefault(base.manifest.model, (base, serving if island else None))
        fresh = {
            model: pair for model, pair in found.items() if more_in(pair[0].manifest.lineage, whole)
        }
        kept = [
            pair
            for model, pair in sorted(fresh.items())
            if not any(_contains(other, pair[0]) for other, _ in fresh.values())
        ]
        return [(b, s if s is not None and self._is_here(s.id) else None) for b, s in kept]


def _contains(other: Update, base: Update) -> bool:
    relation = compare(base.manifest.lineage, other.manifest.lineage)
    if relation is Relation.EQUAL:
        return other.manifest.model < base.manifest.model
    return relation is Relation.AHEAD
