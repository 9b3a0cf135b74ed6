"""The transport in one process: every message is copied, links can be cut, limits hold as usual.

A cut is silent, as in the world: what is sent is lost, requests time out, and only the heartbeat
finds out. All transports of one `MemoryNetwork` share an asyncio loop.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from gossipd.network.interface import (
    Connection,
    Handlers,
    PeerUnreachable,
    PortInUse,
    RequestFailed,
    TransferInterrupted,
)
from gossipd.wire import limits

log = logging.getLogger(__name__)

T = TypeVar("T")


class MemoryNetwork:
    """What the transports are plugged into."""

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


class _End:
    """One end of a connection. Each end ends on its own, as after a cut; its twin finds out."""

    twin: "_End"

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


class MemoryTransport:
    """One node's network. `port` 0 lets the MemoryNetwork choose, and is kept afterwards."""

    def __init__(
        self,
        network: MemoryNetwork,
        peer_id: str,
        *,
        port: int = 0,
        max_connections: int = limits.CONNECTIONS,
        heartbeat_interval: float = 5.0,
        heartbeat_timeout: float = 15.0,
        dial_timeout: float = 10.0,
    ) -> None:
        self.network = network
        self._peer_id = peer_id
        self._port = port
        self._max_connections = max_connections
        self._interval = heartbeat_interval
        self._timeout = heartbeat_timeout
        self._dial_timeout = dial_timeout
        self._handlers: Handlers | None = None
        self._ends: dict[str, _End] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counters: Counter[str] = Counter(restarts=0, bytes_in=0, bytes_out=0)

    # --- Transport ------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        return self._peer_id

    @property
    def addresses(self) -> Sequence[str]:
        if self._handlers is None:
            return ()
        return (f"/ip4/127.0.0.1/tcp/{self._port}/p2p/{self._peer_id}",)

    async def start(self, handlers: Handlers) -> None:
        self._port = self.network.listen(self, self._port)
        self._handlers = handlers

    async def stop(self) -> None:
        if self._handlers is None:
            return
        self.network.unlisten(self._port)
        for end in tuple(self._ends.values()):
            self._hang_up(end, "stopped")
        self._handlers = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def dial(self, peer: str, addresses: Sequence[str], timeout: float) -> None:
        if peer in self._ends:
            return
        if self._handlers is None or peer == self._peer_id:
            raise PeerUnreachable("unreachable")
        if len(self._ends) >= self._max_connections:
            raise PeerUnreachable("full")
        reason = "unreachable"
        for address in addresses:
            remote = self.network.at(_port_of(address))
            if remote is None:
                continue
            if self.network.is_cut(self._peer_id, remote.peer_id):
                reason = "dial-timeout"
            elif remote.peer_id != peer:
                reason = "wrong-peer"
            elif remote.accepts(self._peer_id):
                ours, theirs = _End(self, remote, True), _End(remote, self, False)
                ours.twin, theirs.twin = theirs, ours
                self.join(ours)
                remote.join(theirs)
                return
        if reason == "dial-timeout":
            await asyncio.sleep(min(timeout, self._dial_timeout))
        raise PeerUnreachable(reason)

    async def disconnect(self, peer: str, reason: str) -> None:
        if peer in self._ends:
            self._hang_up(self._ends[peer], reason)

    async def request(self, peer: str, payload: bytes, timeout: float) -> bytes:
        if len(payload) > limits.MESSAGE_BYTES:
            raise RequestFailed("too-large", f"{len(payload)} bytes")
        end = self._ends.get(peer)
        if end is None:
            raise RequestFailed("disconnected")
        waiting = True
        try:
            async with asyncio.timeout(timeout), end.slots:
                waiting = False
                return await end.until_closed(self._ask(end, bytes(payload)))
        except TimeoutError:
            raise RequestFailed("busy" if waiting else "timeout") from None

    async def fetch_blob(
        self, peer: str, key: bytes, buffer: memoryview, offset: int, progress_timeout: float
    ) -> None:
        end = self._ends.get(peer)
        if end is None:
            raise TransferInterrupted("disconnected", offset)
        position = offset
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(progress_timeout) as deadline:
                blob = await end.until_closed(self._find(end, bytes(key)))
                if blob is None or offset > len(blob):
                    raise TransferInterrupted("gone", offset)
                if len(blob) != len(buffer):
                    raise TransferInterrupted("wrong-size", offset)
                while position < len(buffer):
                    piece = bytes(blob[position : position + limits.CHUNK_BYTES])
                    await end.until_closed(end.twin.send(len(piece)))
                    buffer[position : position + len(piece)] = piece
                    position += len(piece)
                    deadline.reschedule(loop.time() + progress_timeout)
        except TimeoutError:
            raise TransferInterrupted("stalled", position) from None
        except RequestFailed:
            raise TransferInterrupted("disconnected", position) from None

    def connections(self) -> Sequence[Connection]:
        return [
            Connection(
                peer=peer,
                remote_address=end.remote.where,
                outbound=end.outbound,
                round_trip=end.round_trip,
                bytes_in=end.bytes_in,
                bytes_out=end.bytes_out,
            )
            for peer, end in self._ends.items()
        ]

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    # --- between transports ---------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The address of the listening socket, as a remote sees it."""
        return f"/ip4/127.0.0.1/tcp/{self._port}"

    def count(self, name: str, number: int = 1) -> None:
        self._counters[name] += number

    def accepts(self, peer: str) -> bool:
        if self._handlers is None:
            return False
        if len(self._ends) >= self._max_connections and peer not in self._ends:
            self.count("refused-full")
            self._call(self._handlers.refused, peer, "full")
            return False
        return True

    def join(self, end: _End) -> None:
        """A connection stands; one to the same peer that is still there has been lost."""
        peer = end.remote.peer_id
        if peer in self._ends:
            self.forget(self._ends[peer], "replaced")
        self._ends[peer] = end
        assert self._handlers is not None
        self._call(self._handlers.connected, peer, end.remote.where, end.outbound)
        self._spawn(self._heartbeat(end))

    def forget(self, end: _End, reason: str) -> None:
        """This end is closed."""
        if end.closed.is_set():
            return
        end.closed.set()
        del self._ends[end.remote.peer_id]
        assert self._handlers is not None
        self._call(self._handlers.disconnected, end.remote.peer_id, reason)

    async def answer(self, peer: str, payload: bytes) -> bytes:
        """What this node says to a request; RequestFailed when its handler fails."""
        if self._handlers is None:
            raise RequestFailed("disconnected")
        self.count("requests_in")
        try:
            answer = await self._handlers.request(peer, payload)
        except Exception:
            self.count("request-errors")
            log.exception("a request of %s failed", peer)
            raise RequestFailed("failed") from None
        if len(answer) > limits.MESSAGE_BYTES:
            raise RequestFailed("too-large")
        return bytes(answer)

    async def look_up(self, peer: str, key: bytes) -> memoryview | bytes | None:
        if self._handlers is None:
            return None
        try:
            return await self._handlers.blob(peer, key)
        except Exception:
            self.count("blob-errors")
            log.exception("looking up a blob for %s failed", peer)
            return None

    # --- inside ---------------------------------------------------------------------------------

    def _hang_up(self, end: _End, reason: str) -> None:
        self.forget(end, reason)
        if not end.cut:  # else the other end finds out by its heartbeat
            end.remote.forget(end.twin, "closed")

    async def _ask(self, end: _End, payload: bytes) -> bytes:
        await end.send(len(payload))
        answer = await end.remote.answer(self._peer_id, payload)
        await end.twin.send(len(answer))
        return answer

    async def _find(self, end: _End, key: bytes) -> memoryview | bytes | None:
        await end.send(len(key))
        blob = await end.remote.look_up(self._peer_id, key)
        await end.twin.send(0)
        return blob

    async def _heartbeat(self, end: _End) -> None:
        loop = asyncio.get_running_loop()
        while not end.closed.is_set():
            await asyncio.sleep(self._interval)
            if end.cut:
                if loop.time() - end.heard >= self._timeout:
                    self.forget(end, "heartbeat")
            elif end.twin.closed.is_set():
                self.forget(end, "closed")
            else:
                end.heard = loop.time()
                end.round_trip = 0.0

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _call(self, handler: Callable[..., None], *args: object) -> None:
        """On the loop, soon, whatever it does."""
        asyncio.get_running_loop().call_soon(self._guard, handler, *args)

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        try:
            handler(*args)
        except Exception:
            self.count("handler-errors")
            log.exception("a handler of the transport failed")


def _port_of(address: str) -> int:
    """The port of /ip4/127.0.0.1/tcp/<port>…; -1 when there is none."""
    parts = address.split("/")
    known = parts[:4] == ["", "ip4", "127.0.0.1", "tcp"] and len(parts) > 4 and parts[4].isdigit()
    return int(parts[4]) if known else -1
