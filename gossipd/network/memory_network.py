"""What the in-memory transports are plugged into: ports, cuts, and the two ends of a connection.

A cut is silent, as in the world: what is sent is lost, requests time out, and only the heartbeat
finds out.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from gossipd.network.interface import PortInUse, RequestFailed
from gossipd.wire import limits

if TYPE_CHECKING:
    from gossipd.network.memory import MemoryTransport

T = TypeVar("T")


class MemoryNetwork:
    """All its transports share an asyncio loop."""

    def __init__(self) -> None:
        self._listening: dict[int, MemoryTransport] = {}
        self._cut: set[frozenset[str]] = set()

    def cut(self, a: str, b: str) -> None:
        """Lose everything between two peers from now on."""
        self._cut.add(frozenset((a, b)))

    def heal(self, a: str, b: str) -> None:
        self._cut.discard(frozenset((a, b)))

    def partition(self, *groups: Iterable[str]) -> None:
        """Cut every link between peers of different groups."""
        sides = [tuple(group) for group in groups]
        for index, side in enumerate(sides):
            for other in sides[index + 1 :]:
                self._cut.update(frozenset((a, b)) for a in side for b in other)

    def heal_all(self) -> None:
        self._cut.clear()

    def is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._cut

    def listen(self, transport: "MemoryTransport", port: int) -> int:
        """Port 0 means a free one. Raises PortInUse."""
        if port in self._listening:
            raise PortInUse("port-in-use", str(port))
        if port == 0:
            port = max(self._listening, default=0) + 1
        self._listening[port] = transport
        return port

    def unlisten(self, port: int) -> None:
        self._listening.pop(port, None)

    def at(self, port: int) -> "MemoryTransport | None":
        return self._listening.get(port)


class End:
    """One end of a connection. Each end ends on its own, as after a cut; its twin finds out."""

    twin: "End"

    def __init__(self, owner: "MemoryTransport", remote: "MemoryTransport", outbound: bool) -> None:
        self.owner = owner
        self.remote = remote
        self.outbound = outbound
        self.closed = asyncio.Event()
        self.slots = asyncio.Semaphore(limits.REQUESTS_IN_FLIGHT)
        self.bytes_in = 0
        self.bytes_out = 0
        self.heard = asyncio.get_running_loop().time()
        self.round_trip: float | None = None

    async def send(self, size: int) -> None:
        """Let `size` bytes pass to the twin, or lose them: then nothing comes for ever."""
        await asyncio.sleep(0)
        if self.cut:
            await asyncio.get_running_loop().create_future()
        if self.twin.closed.is_set():
            self.owner.forget(self, "closed")
            raise RequestFailed("disconnected")
        self.bytes_out += size
        self.twin.bytes_in += size
        self.owner.count("bytes_out", size)
        self.remote.count("bytes_in", size)

    @property
    def cut(self) -> bool:
        return self.owner.network.is_cut(self.owner.peer_id, self.remote.peer_id)

    async def until_closed(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; RequestFailed("disconnected") when this end is closed before."""
        task = asyncio.ensure_future(work)
        closed = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait({task, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise RequestFailed("disconnected")
            return task.result()
        finally:
            task.cancel()
            closed.cancel()
