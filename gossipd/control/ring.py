"""A bounded memory of what happened: numbered rows, of which the oldest are dropped first."""

import secrets
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

Row = dict[str, Any]


class Batch(NamedTuple):
    """What a reader gets, and where it goes on."""

    rows: list[Row]
    next: int
    """The `since` of the next read; rows that a filter passed over are behind it."""
    missed: int
    """How many rows after the asked-for one were dropped before they were read."""


class Ring:
    """Rows carry "seq" 1, 2, 3, ... in the order in which they were appended.

    A reader that is slower than the ring loses the oldest rows and is told how many. `run` tells
    one ring from the next: a cursor of another run counts from the beginning.
    """

    def __init__(self, capacity: int) -> None:
        self.run = secrets.token_hex(4)
        self.last = 0
        self._rows: deque[Row] = deque(maxlen=capacity)

    def append(self, row: Row) -> int:
        """Number a row and keep it. Returns its sequence number."""
        self.last += 1
        self._rows.append({"seq": self.last, **row})
        return self.last

    def since(
        self,
        seq: int,
        limit: int,
        *,
        newest: bool = False,
        keep: Callable[[Row], bool] = lambda row: True,
    ) -> Batch:
        """At most `limit` rows after `seq`: the oldest of them, or with `newest` the newest."""
        rows = list(
            self._rows
        )  # one atomic copy: a row may be appended by another thread meanwhile
        last = rows[-1]["seq"] if rows else 0
        first = rows[0]["seq"] if rows else 1
        if seq > last:
            return Batch([], last, 0)
        missed = max(0, first - 1 - seq)
        kept = [row for row in islice(rows, max(0, seq + 1 - first), None) if keep(row)]
        if len(kept) <= limit:
            return Batch(kept, last, missed)
        if newest:
            return Batch(kept[-limit:], last, missed)
        return Batch(kept[:limit], kept[limit - 1]["seq"], missed)
