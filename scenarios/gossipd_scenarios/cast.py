"""Who takes part in a run and what is known of each; selectors pick among them.

Lots are drawn from the scenario's seed and the place in the file where they are drawn, so that a
change of one operation leaves what others pick as it was.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from random import Random
from typing import Any

from gossipd_scenarios.schema import Selector
from gossipd_scenarios.topology import centrality


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """All nodes of a run, also those that join later."""

    names: tuple[str, ...]
    """In order; the first ones are there from the beginning."""
    islands: tuple[tuple[str, ...], ...]
    graph: Any = None
    """networkx.Graph over the names, or None: everybody may talk to everybody."""
    with_data: frozenset[str] = frozenset()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    seed: int = 0

    def pick(self, selector: Selector, candidates: Collection[str], place: str) -> tuple[str, ...]:
        """Those of `candidates` that the selector means, in the order in which it takes them.

        `place` names where it stands: what is drawn by lot depends on it and the seed."""
        among = set(candidates)
        found = [name for name in self.names if name in among and self._meets(selector, name)]
        count = selector.count
        if selector.percent is not None:
            count = round(len(found) * selector.percent / 100)
        if count is None:
            return tuple(found)
        return tuple(self._ordered(found, selector, place)[:count])

    def _meets(self, selector: Selector, name: str) -> bool:
        if selector.names and not any(fnmatchcase(name, wanted) for wanted in selector.names):
            return False
        if selector.group and name not in self.groups[selector.group]:
            return False
        if selector.outside and name in self.groups[selector.outside]:
            return False
        if selector.island is not None and name not in self.islands[selector.island]:
            return False
        return selector.data is None or (name in self.with_data) == selector.data

    def _ordered(self, names: Sequence[str], selector: Selector, place: str) -> list[str]:
        if selector.by == "name":
            return list(names)
        drawn = list(names)
        Random(f"{self.seed}/scenario/{place}").shuffle(drawn)
        if selector.by == "chance":
            return drawn
        # Equals stand in the drawn order: sorting is stable.
        rank = _ranks(self, selector.by)
        return sorted(drawn, key=lambda name: -rank.get(name, 0.0))

    def island_of(self, name: str) -> int:
        return next((i for i, island in enumerate(self.islands) if name in island), 0)


@lru_cache(maxsize=4)
def _ranks(cast: Cast, kind: str) -> dict[str, float]:
    return centrality(cast.graph, kind, cast.seed)
