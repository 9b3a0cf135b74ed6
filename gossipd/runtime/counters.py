"""Counters that never go back and never give a value twice, whatever happens to the power."""

import threading

from gossipd.runtime.ports import Store


class ReservedCounter:
    """Hands out values of a counter whose next block is reserved on disk before its first use.

    After a crash the rest of the block is skipped: values may be missing, never repeated. Both the
    loop and the compute worker sign, so both take.
    """

    def __init__(self, store: Store, name: str, block: int) -> None:
        self._store = store
        self._name = name
        self._block = block
        self._next = 0
        self._end = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> int:
        """Use up `count` consecutive values and return the last of them."""
        with self._lock:
            if self._next + count > self._end:
                self._next, self._end = self._store.reserve(self._name, max(self._block, count))
            self._next += count
            return self._next - 1
