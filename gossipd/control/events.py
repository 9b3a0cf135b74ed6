"""What happens in the daemon, as a numbered stream that several readers follow by long poll.

The CLI, a dashboard and the scenario engine read the same stream, each at its own cursor. The log
belongs to the asyncio loop: append and read there only.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from gossipd.control.ring import Batch, Ring

CAPACITY = 4096
"""Events kept in memory. Ours: about an hour of a busy node."""


class EventLog:
    """Events {"seq", "time" (Unix seconds), "kind", ...fields}; fields are plain JSON values."""

    def __init__(self, capacity: int = CAPACITY, wall: Callable[[], float] = time.time) -> None:
        self._ring = Ring(capacity)
        self._wall = wall
        self._arrived = asyncio.Event()
        self._closed = False

    @property
    def run(self) -> str:
        """Names this log; a restarted daemon has another one."""
        return self._ring.run

    @property
    def last(self) -> int:
        """Sequence number of the newest event, 0 when there is none."""
        return self._ring.last

    def append(self, kind: str, **fields: Any) -> int:
        """Record an event, wake who waits, and return its sequence number."""
        seq = self._ring.append({"time": self._wall(), "kind": kind, **fields})
        self._wake()
        return seq

    def since(self, seq: int, limit: int = 1000, *, newest: bool = False) -> Batch:
        """At most `limit` events after `seq`."""
        return self._ring.since(seq, limit, newest=newest)

    async def wait(self, seq: int, timeout: float) -> None:
        """Return once there is an event after `seq`, after `timeout` seconds, or on close."""
        if self.last > seq or self._closed:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Let every reader go at once: the daemon stops. What was recorded stays readable."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
