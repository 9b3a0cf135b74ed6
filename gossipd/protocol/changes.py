"""In which order things became known here: what is new since a moment, and nothing else.

Moments are revisions, counted up with every change. They mean something on this node and in this
life only; a peer that is told one hands it back when it asks again.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar

SLACK = 64
"""Superseded entries that are kept beside as many as there are keys: making room is rare."""

K = TypeVar("K")


class Changes(Generic[K]):
    """The keys of things that change, in the order of their last changes. A key and eight bytes
    for each, up to twice."""

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._at = array("Q")
        self._room = SLACK
        self.revision = 0

    def __len__(self) -> int:
        """Entries that are kept."""
        return len(self._keys)

    def add(self, key: K) -> None:
        """It is new, or has changed."""
        self.extend((key,))

    def extend(self, keys: Iterable[K]) -> None:
        """All of these, in this order."""
        self._keys.extend(keys)
        before, self.revision = self.revision, self.revision + len(self._keys) - len(self._at)
        self._at.extend(range(before + 1, self.revision + 1))
        if len(self._keys) > self._room:
            self._compact()

    def since(self, revision: int) -> list[K]:
        """What has changed after `revision`, each key once."""
        return list(dict.fromkeys(self._keys[bisect_right(self._at, revision) :]))

    def _compact(self) -> None:
        last = dict(zip(self._keys, self._at, strict=True))
        if len(last) < len(self._keys):
            self._keys = sorted(last, key=last.__getitem__)
            self._at = array("Q", map(last.__getitem__, self._keys))
        self._room = 2 * len(last) + SLACK
