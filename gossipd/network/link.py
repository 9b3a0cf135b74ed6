"""One connection to a peer that speaks our protocols: what we ask over it, and whether it lives."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
from libp2p.network.connection.swarm_connection import SwarmConn

from gossipd.network import blobs, rpc
from gossipd.network.blobs import BlobClient
from gossipd.network.interface import Connection, RequestFailed, TransferInterrupted
from gossipd.network.pipe import Pipe, PipeBroken, PipeStalled
from gossipd.network.rpc import ProtocolViolation, RpcClient
from gossipd.network.sockets import socket_of
from gossipd.network.swarm import close

log = logging.getLogger(__name__)

PATIENCE = 4
"""How many times the heartbeat's timeout a peer may leave pings unanswered while bytes of it
arrive. Ours: a minute of what a slow line has queued."""
RETIRE_SECONDS = 1.0
"""How long the other side may still use a connection that lost against another one. Ours."""

OpenPipe = Callable[[SwarmConn, str], Awaitable[Pipe]]


class Unsupported(Exception):
    """The peer is a libp2p host, but does not speak the protocol."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a link is checked, and how long nothing may move, in seconds."""

    interval: float
    timeout: float


class Link:
    """A connection with our streams on it. Everything here runs in the trio thread."""

    def __init__(
        self,
        connection: SwarmConn,
        outbound: bool,
        pace: Pace,
        open_pipe: OpenPipe,
        violated: Callable[[str, str], None],
        tasks: trio.Nursery,
    ) -> None:
        self.connection = connection
        self.peer = str(connection.muxed_conn.peer_id)
        self.outbound = outbound
        self._reason: str | None = None
        self.gone = trio.Event()
        self.round_trip: float | None = None
        self._blobs = BlobClient(lambda: open_pipe(connection, blobs.PROTOCOL), self._discard)
        self._socket = socket_of(connection)
        self._pace = pace
        self._open = open_pipe
        self._violated = violated
        self._tasks = tasks
        self._scope = trio.CancelScope()
        self._client: RpcClient | None = None
        self._opening: trio.Event | None = None
        self.remote_address = self._address()

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """The heartbeat, until the connection has ended.

        Pings keep both ends talking, and silence is what counts: an answer may be held back behind
        a body on a slow line, and the bytes of that body show a living peer. But not for ever.
        """
        with self._scope:
            answered = trio.current_time()
            while True:
                await trio.sleep(self._pace.interval)
                if await self.answers(self._pace.interval):
                    answered = trio.current_time()
                silence = trio.current_time() - self._socket.last_received
                unanswered = trio.current_time() - answered
                if silence >= self._pace.timeout or unanswered >= PATIENCE * self._pace.timeout:
                    self.close("heartbeat")

    def attach(self, pipe: Pipe) -> None:
        """Use a stream that was opened before the link stood."""
        if self._client is None:
            self._start(pipe)
        else:
            self._discard(pipe)

    def close(self, reason: str) -> None:
        """End the connection; who closes first gives the reason."""
        if self._reason is None:
            self._reason = reason
            self._tasks.start_soon(close, self.connection)
            self._scope.cancel()

    @property
    def reason(self) -> str:
        """Why it ended: by the first of us to close it, else it was the other side."""
        return self._reason or "closed"

    def ended(self) -> None:
        """The connection is gone."""
        self._scope.cancel()
        self.gone.set()

    async def retire(self) -> None:
        """Another connection to the same peer is kept: let the other side notice, then close."""
        await trio.sleep(RETIRE_SECONDS)
        self.close("retired")

    async def answers(self, timeout: float) -> bool:
        """Whether the peer is there: a ping, on this connection."""
        try:
            client = await self._rpc()
            self.round_trip = await client.ping(timeout)
        except (RequestFailed, PipeBroken):
            return False
        return True

    # --- use ------------------------------------------------------------------------------------

    async def request(self, payload: bytes, timeout: float) -> bytes:
        if self._client is not None:
            return await self._client.request(payload, timeout)
        with trio.move_on_after(timeout) as deadline:
            try:
                client = await self._rpc()
            except PipeBroken as error:
                raise RequestFailed("disconnected", str(error)) from None
            left = max(0.0, deadline.deadline - trio.current_time())
            deadline.deadline = float("inf")  # the client keeps the time from here on
            return await client.request(payload, left)
        raise RequestFailed("timeout", "no stream to the peer")

    async def fetch(
        self,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        try:
            await self._blobs.fetch(key, buffer, offset, progress_timeout, end)
        except Unsupported as error:
            raise TransferInterrupted("disconnected", offset, str(error)) from None

    def snapshot(self) -> Connection:
        return Connection(
            peer=self.peer,
            remote_address=self.remote_address,
            outbound=self.outbound,
            round_trip=self.round_trip,
            bytes_in=self._socket.bytes_in,
            bytes_out=self._socket.bytes_out,
        )

    async def _rpc(self) -> RpcClient:
        """Our requests' stream, opened at the first use; PipeBroken."""
        if self._client is None:
            if self._opening is None:
                self._opening = trio.Event()
                self._tasks.start_soon(self._open_rpc, self._opening)
            await self._opening.wait()
        if self._client is None:
            raise PipeBroken("no stream for requests")
        return self._client

    async def _open_rpc(self, opened: trio.Event) -> None:
        """In a task of its own: the request that asked for it may give up, others go on."""
        try:
            self.attach(await self._open(self.connection, rpc.PROTOCOL))
        except (PipeBroken, PipeStalled, Unsupported) as error:
            log.debug("no stream to %s: %s", self.peer, error)
        finally:
            self._opening = None
            opened.set()

    def _start(self, pipe: Pipe) -> None:
        self._client = RpcClient(pipe, self._pace.timeout)
        self._tasks.start_soon(self._run_client, self._client, name=f"rpc to {self.peer}")

    async def _run_client(self, client: RpcClient) -> None:
        try:
            self.close(await client.run())
        except ProtocolViolation as violation:
            self._violated(self.peer, violation.reason)
            self.close("violation")

    def _discard(self, pipe: Pipe) -> None:
        pipe.broken = True
        self._tasks.start_soon(pipe.reset)

    def _address(self) -> str:
        remote = self._socket.get_remote_address()
        if remote is None:
            return ""
        host, port = remote
        return f"/ip{6 if ':' in host else 4}/{host}/tcp/{port}"
