"""Who chose what under which query, and what each of these votes is worth by age.

A *row* is one click as it came; a *vote* is that a node has rows for an item under a query. Values
decay forward: a vote is worth 2 to the power of when it was cast in half-lives, and what ages is
the unit in which sums are read. So nothing has to be touched as time goes by.
"""

from collections import Counter, deque
from collections.abc import Mapping

from gossipd.protocol.ranking.rules import Rules

RECENT = 1000
"""The latest rows, of which items count as popular when nothing else is known. Ours, a guess."""
FAR = 512.0
"""Half-lives after which values are brought down again; a float goes to 1023."""

Voters = dict[str, float]
"""Node -> what its vote is worth."""
NOBODY: Voters = {}


class Votes:
    """The votes of all nodes."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._queries: dict[str, dict[bytes, Voters]] = {}
        self._again: Counter[tuple[str, str, bytes]] = Counter()
        """Rows beyond the first behind a vote."""
        self._totals: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._recent: deque[bytes] = deque()
        self._popular: Counter[bytes] = Counter()
        self._epoch: float | None = None
        self._newest = 0.0

    @property
    def equal(self) -> bool:
        """Whether every vote is worth 1."""
        return self._rules.one_vote and self._rules.half_life is None

    def under(self, query: str) -> Mapping[bytes, Voters]:
        """The items that were chosen under a query."""
        return self._queries.get(query, {})

    def voters(self, query: str, item: bytes) -> Voters:
        return self.under(query).get(item, NOBODY)

    def total(self, node: str) -> float:
        """Of the values of all its votes, in units of a vote cast now."""
        return self._totals.get(node, 0.0) / self.unit

    def popular(self) -> Mapping[bytes, int]:
        """Rows of each item among the latest."""
        return self._popular

    def add(self, node: str, query: str, item: bytes, at: float) -> bool:
        """Count a row that came at `at` (Unix seconds); whether it is a new vote."""
        query = self._names.setdefault(query, query)
        value = self._value(at)
        voters = self._queries.setdefault(query, {}).setdefault(item, {})
        before = voters.get(node)
        if before is None:
            voters[node] = value
        else:
            self._again[node, query, item] += 1
            voters[node] = max(before, value) if self._rules.one_vote else before + value
        self._totals[node] = self._totals.get(node, 0.0) + voters[node] - (before or 0.0)
        self._recent.append(item)
        self._popular[item] += 1
        if len(self._recent) > RECENT:
            self._less_popular(self._recent.popleft())
        return before is None

    def remove(self, node: str, query: str, item: bytes, at: float) -> bool:
        """Take back a row that came at `at`; whether the vote goes with it."""
        items = self._queries[query]
        voters = items[item]
        before = voters[node]
        key = (node, query, item)
        if key in self._again:
            self._again[key] -= 1
            if not self._again[key]:
                del self._again[key]
            if not self._rules.one_vote:
                voters[node] = max(before - self._value(at), 0.0)
                self._totals[node] -= before - voters[node]
            return False
        del voters[node]
        self._totals[node] -= before
        if not voters:
            del items[item]
        if not items:
            del self._queries[query]
            del self._names[query]
        return True

    def forget(self, node: str) -> None:
        """It has no votes any more: what is left of its total is rounding."""
        self._totals.pop(node, None)

    def _less_popular(self, item: bytes) -> None:
        self._popular[item] -= 1
        if not self._popular[item]:
            del self._popular[item]

    # --- age -------------------------------------------------------------------------------------

    @property
    def unit(self) -> float:
        """What a vote would be worth that came with the newest one."""
        return self._power(self._newest)

    def _value(self, at: float) -> float:
        if self._rules.half_life is None:
            return 1.0
        if self._epoch is None:
            self._epoch = self._newest = at
        self._newest = max(self._newest, at)
        if self._newest - self._epoch > FAR * self._rules.half_life:
            self._rebase()
        return self._power(at)

    def _power(self, at: float) -> float:
        if self._rules.half_life is None or self._epoch is None:
            return 1.0
        return float(2.0 ** max((at - self._epoch) / self._rules.half_life, -2 * FAR))

    def _rebase(self) -> None:
        scale = 1.0 / self._power(self._newest)
        for items in self._queries.values():
            for voters in items.values():
                for node in voters:
                    voters[node] *= scale
        for node in self._totals:
            self._totals[node] *= scale
        self._epoch = self._newest
