"""The transport in one process: every message is copied, links can be cut, limits hold as usual."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gossipd.network.interface import (
    Connection,
    Handlers,
    PeerUnreachable,
    RequestFailed,
    TransferInterrupted,
)
from gossipd.network.memory_network import End, MemoryNetwork
from gossipd.wire import limits

__all__ = ["MemoryNetwork", "MemoryTransport"]

log = logging.getLogger(__name__)


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
        self._ends: dict[str, End] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counters: Counter[str] = Counter(restarts=0, bytes_in=0, bytes_out=0)

    # --- Transport ------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        return self._peer_id

    @property
    def port(self) -> int:
        return 0 if self._handlers is None else self._port

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
                ours, theirs = End(self, remote, True), End(remote, self, False)
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
        self,
        peer: str,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        link = self._ends.get(peer)
        if link is None:
            raise TransferInterrupted("disconnected", offset)
        position = offset
        end = len(buffer) if end is None else end
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(progress_timeout) as deadline:
                blob = await link.until_closed(self._find(link, bytes(key)))
                if blob is None or offset > len(blob):
                    raise TransferInterrupted("gone", offset)
                if len(blob) != len(buffer):
                    raise TransferInterrupted("wrong-size", offset)
                while position < end:
                    piece = bytes(blob[position : min(position + limits.CHUNK_BYTES, end)])
                    await link.until_closed(link.twin.send(len(piece)))
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

    def join(self, end: End) -> None:
        """A connection stands; one to the same peer that is still there has been lost."""
        peer = end.remote.peer_id
        if peer in self._ends:
            self.forget(self._ends[peer], "replaced")
        self._ends[peer] = end
        assert self._handlers is not None
        self._call(self._handlers.connected, peer, end.remote.where, end.outbound)
        self._spawn(self._heartbeat(end))

    def forget(self, end: End, reason: str) -> None:
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

    def _hang_up(self, end: End, reason: str) -> None:
        self.forget(end, reason)
        if not end.cut:  # else the other end finds out by its heartbeat
            end.remote.forget(end.twin, "closed")

    async def _ask(self, end: End, payload: bytes) -> bytes:
        await end.send(len(payload))
        answer = await end.remote.answer(self._peer_id, payload)
        await end.twin.send(len(answer))
        return answer

    async def _find(self, end: End, key: bytes) -> memoryview | bytes | None:
        await end.send(len(key))
        blob = await end.remote.look_up(self._peer_id, key)
        await end.twin.send(0)
        return blob

    async def _heartbeat(self, end: End) -> None:
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
