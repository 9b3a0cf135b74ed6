"""How alike another node is to this one, by what both have searched for and chosen.

    S(j) = (κt + κm²) / κu, divided by the largest S of all j                             (paper)
        κt  query terms that are among the top ten of both
        κm  items that both have chosen under the same query
        κu  items that either has chosen

All three follow each vote: nothing is counted anew but what a vote has changed. (The paper's
notebook squares κt instead, and gives similarities to the wrong rows: this is its text.)
"""

from collections.abc import Collection
from heapq import nsmallest
from typing import TypeVar

from gossipd.protocol.ranking.rules import TOP_TERMS

K = TypeVar("K", str, bytes)


class _Habits:
    """What one node has searched for and chosen; of another also what it shares with us."""

    __slots__ = ("alike", "both", "items", "raw", "terms", "top")

    def __init__(self) -> None:
        self.items: dict[bytes, int] = {}
        """Item -> queries under which it was chosen."""
        self.terms: dict[str, int] = {}
        self.top: frozenset[str] = frozenset()
        self.alike: dict[bytes, int] = {}
        """Item -> queries under which we have chosen it too."""
        self.both = 0
        """Items that we have chosen too, under whatever query."""
        self.raw = 0.0


class Similarity:
    """Of all others to the node `me`."""

    def __init__(self, me: str, *, terms_alone: bool = True) -> None:
        """`terms_alone`: as in `Rules`."""
        self._me = me
        self._terms_alone = terms_alone
        self._own = _Habits()
        self._others: dict[str, _Habits] = {}
        self._changed: set[str] = set()
        self._all_changed = False
        self._largest = 0.0

    def of(self, node: str) -> float:
        """S(node), from 0 to 1; 1 for this node itself."""
        if node == self._me:
            return 1.0
        self._refresh()
        other = self._others.get(node)
        return other.raw / self._largest if other is not None and self._largest else 0.0

    def parts(self, node: str) -> tuple[int, int, int]:
        """(κt, κm, κu), for people to see."""
        own, other = self._own, self._others.get(node, _Habits())
        union = len(own.items) + len(other.items) - other.both
        return len(own.top & other.top), len(other.alike), union

    def others(self) -> Collection[str]:
        return self._others.keys()

    # --- what changes it -------------------------------------------------------------------------

    def voted(self, node: str, item: bytes, voters: Collection[str]) -> None:
        """`voters`: everybody who has chosen that item under that query, this node included."""
        who = self._own if node == self._me else self._others.setdefault(node, _Habits())
        first = item not in who.items
        who.items[item] = who.items.get(item, 0) + 1
        if who is self._own:
            if first:
                for other in self._others.values():
                    other.both += item in other.items
            for name in voters:
                if name != self._me:
                    alike = self._others[name].alike
                    alike[item] = alike.get(item, 0) + 1
            self._all_changed = True
        else:
            who.both += first and item in self._own.items
            if self._me in voters:
                who.alike[item] = who.alike.get(item, 0) + 1
            self._changed.add(node)

    def unvoted(self, node: str, item: bytes, voters: Collection[str]) -> None:
        """The opposite; `voters` without the node."""
        who = self._own if node == self._me else self._others[node]
        last = _less(who.items, item)
        if who is self._own:
            if last:
                for other in self._others.values():
                    other.both -= item in other.items
            for name in voters:
                _less(self._others[name].alike, item)
            self._all_changed = True
        else:
            who.both -= last and item in self._own.items
            if self._me in voters:
                _less(who.alike, item)
            if who.items:
                self._changed.add(node)
            else:
                del self._others[node]
                self._changed.discard(node)
                self._all_changed = True  # it may have been the largest

    def asked(self, node: str, query: str, times: int) -> None:
        """So many more clicks, or fewer, came after this query."""
        who = self._own if node == self._me else self._others.get(node)
        if who is None:
            return
        terms = query.split()
        for term in terms:
            if times > 0:
                who.terms[term] = who.terms.get(term, 0) + times
            else:
                _less(who.terms, term, -times)
        if self._top_may_change(who, terms, times):
            top = frozenset(nsmallest(TOP_TERMS, who.terms, key=lambda t: (-who.terms[t], t)))
            if top != who.top:
                who.top = top
                if who is self._own:
                    self._all_changed = True
                else:
                    self._changed.add(node)

    def _top_may_change(self, who: _Habits, terms: list[str], times: int) -> bool:
        if times < 0:
            return not who.top.isdisjoint(terms)
        if len(who.top) < TOP_TERMS:
            return True
        weakest = max((-who.terms[t], t) for t in who.top)
        return any(t not in who.top and (-who.terms[t], t) < weakest for t in terms)

    # --- counting --------------------------------------------------------------------------------

    def _refresh(self) -> None:
        if self._all_changed:
            for other in self._others.values():
                self._count(other)
        elif self._changed:
            for node in self._changed:
                self._count(self._others[node])
        else:
            return
        self._changed.clear()
        self._all_changed = False
        self._largest = max((other.raw for other in self._others.values()), default=0.0)

    def _count(self, other: _Habits) -> None:
        union = len(self._own.items) + len(other.items) - other.both
        terms = len(self._own.top & other.top) if other.alike or self._terms_alone else 0
        other.raw = (terms + len(other.alike) ** 2) / union if union else 0.0


def _less(counts: dict[K, int], key: K, by: int = 1) -> bool:
    """So many less of `key`; whether those were the last."""
    counts[key] -= by
    if counts[key] > 0:
        return False
    del counts[key]
    return True
