"""`network.interface.Transport` over simulated links: the limits, reasons and events of the others.

Whatever one node does to another happens in the other's process, so that a dead node does nothing.
A fault in a handler fails what was asked, as over libp2p; and it is raised, since a simulation in
which it happens is broken.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ParamSpec

from gossipd.network.interface import (
    Connection,
    Handlers,
    PeerUnreachable,
    RequestFailed,
    TransferInterrupted,
)
from gossipd.simulation.connection import Call, Download, End
from gossipd.simulation.loop import Process
from gossipd.simulation.network import SimNetwork
from gossipd.simulation.traffic import Traffic, kind_of
from gossipd.wire import limits

P = ParamSpec("P")

PIECE = 64 * limits.KIB
"""Bytes of a body that are sent at a time: about the longest frame of `network.yamux`. What is
asked meanwhile waits for one of them."""
HANDSHAKE_ROUND_TRIPS = 3
"""TCP, Noise and yamux over libp2p, before the first byte of ours."""


class SimTransport:
    """One node's network in one of its lives."""

    def __init__(
        self,
        network: SimNetwork,
        process: Process,
        peer_id: str,
        where: str,
        *,
        uplink: float | None = None,
        traffic: Traffic | None = None,
        max_connections: int = limits.CONNECTIONS,
        heartbeat_interval: float = 5.0,
        heartbeat_timeout: float = 15.0,
        dial_timeout: float = 10.0,
        step: Callable[[str], None] = lambda effect: None,
    ) -> None:
        """`where` is a multiaddress to listen at; `uplink` is in bytes per second, None endless;
        `step` is called before anything is sent."""
        self.network = network
        self.process = process
        self.uplink = uplink
        self.traffic = traffic or Traffic()
        self.heartbeat_interval = heartbeat_interval
        self.heartbeat_timeout = heartbeat_timeout
        self.silent = False
        """Gone without a word, as when the power fails."""
        self.frozen = False
        """Its process stands still: what is sent to it waits, and it answers nobody."""
        self.peer_id = peer_id
        self._where = where
        self._max_connections = max_connections
        self._dial_timeout = dial_timeout
        self._step = step
        self._handlers: Handlers | None = None
        self._ends: dict[str, End] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._next_task = 0
        self._counters: Counter[str] = Counter(restarts=0)
        self._busy_until = 0.0

    # --- Transport -------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return 0 if self._handlers is None else int(self._where.split("/")[4])

    @property
    def addresses(self) -> Sequence[str]:
        return () if self._handlers is None else (f"{self._where}/p2p/{self.peer_id}",)

    async def start(self, handlers: Handlers) -> None:
        self.network.listen(self, self._where)
        self._handlers = handlers

    async def stop(self) -> None:
        if self._handlers is None:
            return
        self.network.unlisten(self._where)
        for end in tuple(self._ends.values()):
            self._hang_up(end, "stopped")
        self._handlers = None
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def dial(self, peer: str, addresses: Sequence[str], timeout: float) -> None:
        if peer in self._ends:
            return
        if self._handlers is None or peer == self.peer_id:
            raise PeerUnreachable("unreachable")
        if len(self._ends) >= self._max_connections:
            raise PeerUnreachable("full")
        self._step("dial")
        reason = "unreachable"
        for address in addresses:
            remote = self.network.at(address.rsplit("/p2p/", 1)[0])
            if remote is None:
                continue
            if not self.network.answers(self, remote):
                reason = "dial-timeout"
                continue
            there = self.network.way(self.peer_id, remote.peer_id).latency
            back = self.network.way(remote.peer_id, self.peer_id).latency
            await asyncio.sleep(HANDSHAKE_ROUND_TRIPS * (there + back))
            if peer in self._ends:
                return  # they were faster
            if self._handlers is None:
                raise PeerUnreachable("unreachable")
            if not self.network.answers(self, remote):
                reason = "dial-timeout"
            elif remote.peer_id != peer:
                reason = "wrong-peer"
            elif remote.accepts(self.peer_id):
                self.network.join(self, remote)
                return
        if reason == "dial-timeout":
            await asyncio.sleep(min(timeout, self._dial_timeout))
            if peer in self._ends:
                return
        raise PeerUnreachable(reason)

    async def disconnect(self, peer: str, reason: str) -> None:
        if peer in self._ends:
            self._step("disconnect")
            self._hang_up(self._ends[peer], reason)

    async def request(self, peer: str, payload: bytes, timeout: float) -> bytes:
        if len(payload) > limits.MESSAGE_BYTES:
            raise RequestFailed("too-large", f"{len(payload)} bytes")
        end = self._ends.get(peer)
        if end is None:
            raise RequestFailed("disconnected")
        loop = asyncio.get_running_loop()
        call = Call(bytes(payload), loop.create_future())
        timer = loop.call_later(timeout, call.expire)
        number = end.begin(call)
        if end.may_send(number):
            self._ask(end, number, call)
        try:
            return await call.answer
        finally:
            timer.cancel()
            next_one = end.finish(number)
            if next_one is not None:
                waiting = end.open[next_one]
                assert isinstance(waiting, Call), "only requests wait for a slot"
                self._ask(end, next_one, waiting)

    def _ask(self, end: End, number: int, call: Call) -> None:
        call.sent = True
        self._step("request")
        ask = partial(end.remote.on_request, end.twin, number, call.payload)
        self.network.send(end, len(call.payload), self._kind_of(call.payload), ask)

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
        self._step("fetch")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        download = Download(buffer, offset, end, progress_timeout, done)
        number = link.begin(download)
        ask = partial(link.remote.on_fetch, link.twin, number, bytes(key), offset, end)
        self.network.send(link, len(key), "fetch", ask)
        try:
            await done
        finally:
            download.unwatch()
            del link.open[number]

    def connections(self) -> Sequence[Connection]:
        return [
            Connection(
                peer=peer,
                remote_address=end.remote.where,
                outbound=end.outbound,
                round_trip=end.way.latency + end.twin.way.latency,
                bytes_in=end.bytes_in,
                bytes_out=end.bytes_out,
            )
            for peer, end in self._ends.items()
        ]

    def counters(self) -> dict[str, int]:
        return {
            **self._counters,
            "bytes_in": self.traffic.received.total(),
            "bytes_out": self.traffic.sent.total(),
        }

    # --- between transports ----------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The address of the listening socket, as a remote sees it."""
        return self._where

    def accepts(self, peer: str) -> bool:
        if self._handlers is None:
            return False
        if len(self._ends) >= self._max_connections and peer not in self._ends:
            self._counters["refused-full"] += 1
            self._call(self._handlers.refused, peer, "full")
            return False
        return True

    def join(self, end: End) -> None:
        """A connection stands; one to the same peer that is still there has been lost."""
        peer = end.remote.peer_id
        if peer in self._ends:
            self.forget(self._ends[peer], "replaced")
        self._ends[peer] = end
        assert self._handlers is not None, "who does not listen cannot be reached"
        self._call(self._handlers.connected, peer, end.remote.where, end.outbound)

    def forget(self, end: End, reason: str) -> None:
        """This end is closed."""
        if end.closed:
            return
        end.close()
        self.network.leave(end)
        del self._ends[end.remote.peer_id]
        assert self._handlers is not None, "what has stopped has no connections"
        self._call(self._handlers.disconnected, end.remote.peer_id, reason)

    def upload(self, size: int) -> float:
        """Queue bytes on the way out of this node; the moment when the last of them has left."""
        now = self.network.loop.now
        if self.uplink is None:
            return now
        self._busy_until = max(now, self._busy_until) + size / self.uplink
        return self._busy_until

    def vanish(self, *, silently: bool) -> None:
        """The process has ended. Its host closes its connections, unless the host is gone too."""
        self.silent = silently
        if not silently:
            self.network.unlisten(self._where)
        for end in tuple(self._ends.values()):
            end.closed = True
            self.network.leave(end)
            if silently:
                self.network.go_silent(end)
            else:
                self.network.tell_closed(end, "reset")
        self._ends.clear()
        self._handlers = None

    def _hang_up(self, end: End, reason: str) -> None:
        self.forget(end, reason)
        self.network.tell_closed(end, "closed")

    # --- answering -------------------------------------------------------------------------------

    def on_request(self, end: End, number: int, payload: bytes) -> None:
        """A peer asks. In this node's process, as all of the following."""
        self._counters["requests_in"] += 1
        self._spawn(self._answer, end, number, payload)

    async def _answer(self, end: End, number: int, payload: bytes) -> None:
        if self._handlers is None:
            return
        try:
            answer = await self._handlers.request(end.remote.peer_id, payload)
        except Exception:
            self._counters["request-errors"] += 1
            self._reply(
                end, 0, "failed", partial(end.remote.on_failure, end.twin, number, "failed")
            )
            raise
        if len(answer) > limits.MESSAGE_BYTES:
            deliver = partial(end.remote.on_failure, end.twin, number, "too-large")
            self._reply(end, 0, "failed", deliver)
        else:
            deliver = partial(end.remote.on_answer, end.twin, number, bytes(answer))
            self._reply(end, len(answer), self._kind_of(answer), deliver)

    def on_answer(self, end: End, number: int, answer: bytes) -> None:
        call = end.open.get(number)
        if isinstance(call, Call) and not call.answer.done():
            call.answer.set_result(answer)

    def on_failure(self, end: End, number: int, reason: str) -> None:
        if (call := end.open.get(number)) is not None:
            call.fail(reason)

    def on_fetch(self, end: End, number: int, key: bytes, offset: int, stop: int | None) -> None:
        """A peer wants a blob."""
        self._spawn(self._upload_blob, end, number, key, offset, stop)

    async def _upload_blob(
        self, end: End, number: int, key: bytes, offset: int, stop: int | None
    ) -> None:
        if self._handlers is None:
            return
        blob: memoryview | bytes | None = None
        try:
            blob = await self._handlers.blob(end.remote.peer_id, key)
        except Exception:
            self._counters["blob-errors"] += 1
            self._reply(end, 0, "body", partial(end.remote.on_failure, end.twin, number, "gone"))
            raise
        if blob is None or offset > len(blob):
            self._reply(end, 0, "body", partial(end.remote.on_failure, end.twin, number, "gone"))
            return
        # One piece after the other, so that other messages find their way in between.
        stop = len(blob) if stop is None else min(stop, len(blob))
        for start in range(offset, max(stop, offset + 1), PIECE):
            if number not in end.twin.open:
                return  # the asker has hung up on this stream
            piece = bytes(blob[start : min(start + PIECE, stop)])
            deliver = partial(end.remote.on_piece, end.twin, number, len(blob), piece)
            left = self._reply(end, len(piece), "body", deliver)
            if left is None:
                return  # nothing passes any more
            if left > self.network.loop.now:
                await asyncio.sleep(left - self.network.loop.now)

    def on_piece(self, end: End, number: int, size: int, piece: bytes) -> None:
        download = end.open.get(number)
        if isinstance(download, Download):
            download.take(size, piece)

    def _reply(self, end: End, size: int, kind: str, deliver: Callable[[], None]) -> float | None:
        if end.closed:
            return None
        self._step("reply")
        return self.network.send(end, size, kind, deliver)

    def _kind_of(self, payload: bytes) -> str:
        """What is about to be sent, counted as far as it is about the swarm."""
        kind, swarm = kind_of(payload)
        self.traffic.swarm[kind] += swarm
        return kind

    # --- inside ----------------------------------------------------------------------------------

    def _spawn(
        self, work: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        number = self._next_task = self._next_task + 1

        async def noted() -> None:
            try:
                await work(*args, **kwargs)
            finally:
                self._tasks.pop(number, None)

        self._tasks[number] = self.process.spawn(noted())

    def _call(self, handler: Callable[..., None], *args: object) -> None:
        """In this node's process, soon."""
        self.process.post(self._guard, handler, *args)

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        try:
            handler(*args)
        except Exception:
            self._counters["handler-errors"] += 1
            raise
