"""What to choose: the items for a query, best first.

    score(item) = Σ over j of clicks_j(item under the query) · (S(j) + F)                  (paper)

A node's sum of clicks is scaled down to `Rules.cap` where it is above (ours). An item whose own
metadata match the query comes before every one that is known from clicks alone; a query that nobody
has asked gets the metadata's matches, else what has been popular of late (paper). Ties: the lowest
item, as in the paper, so that nobody's order of arrival decides.
"""

from collections.abc import Sequence
from heapq import nsmallest
from operator import mul
from random import Random

from msgspec import Struct

from gossipd.protocol.ranking.catalogue import Catalogue
from gossipd.protocol.ranking.rules import EXPLORATION, Rules
from gossipd.protocol.ranking.similarity import Similarity
from gossipd.protocol.ranking.votes import Voters, Votes
from gossipd.wire.clicks import normal


class Ranked(Struct, frozen=True):
    """An item's place in a ranking, and why."""

    item: bytes
    score: float
    """0 where nobody has chosen it under this query."""
    matches: bool
    """Whether its own metadata match."""
    voters: int


class Part(Struct, frozen=True):
    """What one node's vote adds to a score: `value` · (`similarity` + `unlike`) · `scale`."""

    node: str
    similarity: float
    terms: int
    items: int
    union: int
    """κt, κm, κu."""
    unlike: float
    value: float
    scale: float
    """Below 1 for a node whose votes are above the cap."""

    @property
    def score(self) -> float:
        return self.value * (self.similarity + self.unlike) * self.scale


class Ranking:
    """Rows in, rankings out: what node `me` knows of everybody's choices."""

    def __init__(self, me: str, rules: Rules, catalogue: Catalogue) -> None:
        self._me = me
        self._rules = rules
        self._catalogue = catalogue
        self._votes = Votes(rules)
        self._similarity = Similarity(me, terms_alone=rules.terms_alone)
        self._rows: dict[str, int] = {me: 0}
        self._weights: dict[str, float] = {}
        self._weighed = False

    # --- rows ------------------------------------------------------------------------------------

    def add(self, node: str, query: str, item: bytes, at: float) -> None:
        """A row that came at `at` (Unix seconds); `query` as `normal` makes it."""
        self._weighed = False
        self._rows[node] = self._rows.get(node, 0) + 1
        new = self._votes.add(node, query, item, at)
        if new:
            self._similarity.voted(node, item, self._votes.voters(query, item))
        if new or not self._rules.one_vote:
            self._similarity.asked(node, query, 1)

    def remove(self, node: str, query: str, item: bytes, at: float) -> None:
        """The opposite, with what it was added with."""
        self._weighed = False
        gone = self._votes.remove(node, query, item, at)
        if gone or not self._rules.one_vote:
            self._similarity.asked(node, query, -1)
        if gone:
            self._similarity.unvoted(node, item, self._votes.voters(query, item))
        self._rows[node] -= 1
        if not self._rows[node] and node != self._me:
            del self._rows[node]
            self._votes.forget(node)

    @property
    def rows(self) -> int:
        """That count, of all nodes."""
        return sum(self._rows.values())

    def has_voted(self, node: str, query: str, item: bytes) -> bool:
        return node in self._votes.voters(normal(query), item)

    # --- rankings --------------------------------------------------------------------------------

    def rank(self, query: str, limit: int | None = None) -> list[Ranked]:
        """The items for a query, best first; at most `limit`."""
        query = normal(query)
        matching = self._catalogue.matching(query)
        under = self._votes.under(query)
        if not under and not matching:
            return self._popular(limit)
        self._weigh()
        scores = {item: self._score(voters) for item, voters in under.items()}
        order = _first([(-scores.get(item, 0.0), item) for item in matching], limit)
        left = None if limit is None else limit - len(order)
        order += _first([(-score, i) for i, score in scores.items() if i not in matching], left)
        return [
            Ranked(item, -score, item in matching, len(under.get(item, ())))
            for score, item in order
        ]

    def _score(self, voters: Voters) -> float:
        weight = map(self._weights.__getitem__, voters)
        return sum(weight if self._votes.equal else map(mul, weight, voters.values()))

    def _popular(self, limit: int | None) -> list[Ranked]:
        popular = self._votes.popular()
        order = sorted(popular, key=lambda item: (-popular[item], item))
        return [Ranked(item, 0.0, False, popular[item]) for item in order[:limit]]

    def explain(self, query: str, item: bytes) -> list[Part]:
        """The parts of an item's score, largest first."""
        voters, unit = self._votes.voters(normal(query), item), self._votes.unit
        parts = [
            Part(
                node,
                self._similarity.of(node),
                *self._similarity.parts(node),
                self._rules.unlike,
                value / unit,
                self._scale(node),
            )
            for node, value in voters.items()
        ]
        return sorted(parts, key=lambda part: (-part.score, part.node))

    def similarity(self, node: str) -> float:
        return self._similarity.of(node)

    def _weigh(self) -> None:
        if not self._weighed:
            unlike, unit = self._rules.unlike, self._votes.unit
            self._weights = {
                node: (self._similarity.of(node) + unlike) * self._scale(node) / unit
                for node in self._rows
            }
            self._weighed = True

    def _scale(self, node: str) -> float:
        cap = self._rules.cap
        total = self._votes.total(node)
        return 1.0 if cap is None or total <= cap else cap / total


def _first(found: list[tuple[float, bytes]], limit: int | None) -> list[tuple[float, bytes]]:
    return sorted(found) if limit is None else nsmallest(limit, found)


def explore(shown: Sequence[Ranked], rng: Random, chance: float = EXPLORATION) -> list[Ranked]:
    """The same with two random places swapped by chance (paper): what is low may be found."""
    order = list(shown)
    if len(order) > 1 and rng.random() < chance:
        a, b = rng.sample(range(len(order)), 2)
        order[a], order[b] = order[b], order[a]
    return order
