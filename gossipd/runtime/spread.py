"""One blob from several peers at once, by chunk.

Each of them is asked for some chunks that nobody else is asked for: one at first, then as many as
it brings in a second. Who has nothing left to do asks for what another is late with, so the slowest
does not keep the rest waiting. Where the chunks' hashes are known each is checked when it comes:
who lied is told by name, and has cost the chunks of one question, 4 MiB at most. Where only the
whole can be checked, it is known who brought what.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gossipd.network.interface import NetworkError, TransferInterrupted, Transport
from gossipd.runtime.waits import Waits
from gossipd.wire import limits
from gossipd.wire.identifiers import digest

CHUNK = limits.CHUNK_BYTES
MOST_CHUNKS = 16
"""Asked for at once: what a liar can waste. Ours."""
QUESTION_SECONDS = 1.0
"""How long one question may take a peer, by what it brought before. Ours: ten round trips of a
radio link."""


@dataclass(slots=True)
class Partial:
    """What has come of a blob."""

    buffer: bytearray
    received: int = 0
    """All of it up to here."""
    by: dict[int, str] = field(default_factory=dict)
    """Chunk -> who brought it, of the whole ones."""

    def settle(self) -> None:
        """Bring `received` up to date with the chunks."""
        chunk = 0
        while chunk in self.by:
            chunk += 1
        self.received = max(self.received, min(chunk * CHUNK, len(self.buffer)))


class Spread:
    """One download. `run` ends when all is here, or nobody is left to ask."""

    def __init__(
        self,
        transport: Transport,
        waits: Waits,
        what: str,
        key: bytes,
        partial: Partial,
        chunks: Sequence[bytes],
        progress_timeout: float,
        blame: Callable[[str, str], None],
    ) -> None:
        """`chunks`: their hashes, where they are known; `blame(peer, reason)`: it has lied."""
        self._transport = transport
        self._waits = waits
        self._what = what
        self._key = key
        self._partial = partial
        self._chunks = chunks
        self._timeout = progress_timeout
        self._blame = blame
        self._size = len(partial.buffer)
        self._asked: dict[int, set[str]] = {}
        """Chunk -> whom it is awaited from."""
        self._left = 0
        self.failures: dict[str, NetworkError] = {}
        """Of whom nothing more is expected."""

    @property
    def complete(self) -> bool:
        return len(self._partial.by) == -(-self._size // CHUNK)

    async def run(self, peers: Sequence[str]) -> bool:
        """Whether all is here; else `failures` says of each peer why not."""
        self._left = len(peers)
        tasks = [asyncio.create_task(self._ask(peer)) for peer in peers]
        try:
            while tasks and not self.complete:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    tasks.remove(task)
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self._partial.settle()
        return self.complete

    async def _ask(self, peer: str) -> None:
        """One peer, question after question, as long as it is good for something."""
        loop = asyncio.get_running_loop()
        # Of its own: nobody overwrites what another has brought. Untouched pages cost nothing.
        scratch = np.zeros(self._size, np.uint8).data
        count = 1
        try:
            while wanted := self._claim(peer, count):
                began = loop.time()
                try:
                    await self._fetch(peer, scratch, wanted)
                finally:
                    self._release(peer, wanted)
                fitting = int(len(wanted) * QUESTION_SECONDS / max(loop.time() - began, 1e-6))
                count = max(1, min(fitting, 2 * count, MOST_CHUNKS))
        except NetworkError as error:
            self.failures[peer] = error
        finally:
            self._left -= 1

    async def _fetch(self, peer: str, scratch: memoryview, wanted: range) -> None:
        start, end = wanted.start * CHUNK, min(wanted.stop * CHUNK, self._size)
        received = start
        fetch = self._transport.fetch_blob(peer, self._key, scratch, start, self._timeout, end)
        try:
            deadline = self._timeout * (2 + len(wanted))
            await self._waits.until(self._what, peer, deadline, fetch)
            received = end
        except TransferInterrupted as error:
            received = error.received
            raise
        except TimeoutError:
            raise NetworkError("timeout") from None
        finally:
            for chunk in wanted:
                stop = min((chunk + 1) * CHUNK, self._size)
                if stop <= received:
                    self._take(peer, chunk, scratch[chunk * CHUNK : stop])

    def _take(self, peer: str, chunk: int, piece: memoryview) -> None:
        if chunk in self._partial.by:
            return
        if self._chunks and digest(bytes(piece)) != self._chunks[chunk]:
            self._blame(peer, "bad-chunk")
            raise NetworkError("bad-chunk")
        start = chunk * CHUNK
        self._partial.buffer[start : start + len(piece)] = piece
        self._partial.by[chunk] = peer

    def _claim(self, peer: str, count: int) -> range:
        """Chunks that are missing, `count` or a fair share of them; else one that somebody is late
        with."""
        total = -(-self._size // CHUNK)
        missing = [c for c in range(total) if c not in self._partial.by]
        free = [c for c in missing if not self._asked.get(c)]
        if free:
            count = min(count, -(-len(free) // max(self._left, 1)))
            stop = free[0] + 1
            while stop - free[0] < count and stop in free:
                stop += 1
            wanted = range(free[0], stop)
        else:
            late = [c for c in missing if len(self._asked[c]) == 1 and peer not in self._asked[c]]
            wanted = range(late[0], late[0] + 1) if late else range(0)
        for chunk in wanted:
            self._asked.setdefault(chunk, set()).add(peer)
        return wanted

    def _release(self, peer: str, wanted: range) -> None:
        for chunk in wanted:
            self._asked[chunk].discard(peer)
