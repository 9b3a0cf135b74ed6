"""The libp2p host: built, listening, dialling, serving; everything here runs in the trio thread."""

from collections import Counter
from collections.abc import Callable, Sequence

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.rcmgr import Direction
from libp2p.tools.anyio_service import background_trio_service

from gossipd.network import addresses, compat, dialler, rpc
from gossipd.network.assembly import Settings, build_swarm, peer_id
from gossipd.network.bridge import Bridge
from gossipd.network.interface import (
    Connection,
    Handlers,
    NetworkError,
    PeerUnreachable,
    PortInUse,
)
from gossipd.network.link import Link, Pace, Unsupported
from gossipd.network.links import Links
from gossipd.network.pipe import Pipe, PipeBroken, PipeStalled
from gossipd.network.rpc import ProtocolViolation
from gossipd.network.sockets import socket_of
from gossipd.network.streams import Inbound, open_pipe
from gossipd.network.swarm import Gate, close
from gossipd.wire.identifiers import public_key_of

DISCONNECT_SECONDS = 2.0
"""How long a disconnect waits until the connection is gone; it goes on closing after that. Ours."""
FOREIGN_SECONDS = 30.0
"""How long a connection may stay that does not speak our protocols. Ours."""


def _is_peer_id(text: str) -> bool:
    """Ours carry their Ed25519 key; libp2p has other kinds."""
    try:
        return bool(public_key_of(text))
    except ValueError:
        return False


class NotConnected(Exception):
    """There is no connection to the peer."""


class Host:
    """One life of the libp2p side: `run` ends when asked to, or when libp2p fails."""

    def __init__(self, settings: Settings, bridge: Bridge, handlers: Handlers) -> None:
        compat.apply()
        self._settings = settings
        self._bridge = bridge
        self._handlers = handlers
        self._stopping = trio.Event()
        self._dialling: dict[str, trio.Event] = {}
        self._connections = 0
        self.counters: Counter[str] = Counter()
        self.id = peer_id(settings.private_key)

    def totals(self) -> dict[str, int]:
        """The counters, live connections included. May be called from another thread."""
        totals = Counter(self.counters)
        for connection in self.connections():
            totals["bytes_in"] += connection.bytes_in
            totals["bytes_out"] += connection.bytes_out
        return totals

    # --- life -----------------------------------------------------------------------------------

    async def run(self, listening: Callable[[int], None]) -> None:
        """`listening(port)` is called when others can dial. Raises PortInUse, or libp2p's error."""
        async with trio.open_nursery() as self._tasks:
            self._swarm = build_swarm(self._settings.private_key)
            gate = Gate(self._full, self.refused, self._opened, self._closed)
            self._swarm.guard(gate, self._tasks)
            self._links = Links(self.id, self, self._tasks)
            self._host = BasicHost(self._swarm, disable_identify_address_discovery=True)
            self._host.remove_stream_handler(IDENTIFY_PUSH)  # nothing pushed is of use to us
            inbound = Inbound(
                self._host,
                self._bridge,
                self._handlers,
                self.counters,
                self._settings.heartbeat_timeout,
                self._settings.upload,
                self._link,
                self._refuse,
                self._abort,
            )
            self._swarm.set_stream_handler(inbound.serve)
            async with background_trio_service(self._swarm):
                listening(await self._listen())
                await self._stopping.wait()
                await self._close()
            self._tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    async def _listen(self) -> int:
        settings = self._settings
        address = addresses.listening(settings.listen, settings.port)
        if not await self._swarm.listen(address):
            where = f"{settings.listen}:{settings.port}"
            if compat.port_is_taken(settings.listen, settings.port):
                raise PortInUse("port-in-use", where)
            raise NetworkError("cannot-listen", where)
        (bound,) = self._host.get_transport_addrs()
        return int(bound.value_for_protocol("tcp"))

    async def _close(self) -> None:
        async with trio.open_nursery() as nursery:
            for connection in self._swarm.get_connections():
                assert isinstance(connection, SwarmConn)
                nursery.start_soon(self._say_goodbye, connection)
        for listener in tuple(self._swarm.listeners.values()):
            await listener.close()

    async def _say_goodbye(self, connection: SwarmConn) -> None:
        link = self._links.of(connection)
        if link is not None:
            link.close("stopped")
        await close(connection)

    # --- what the transport asks ----------------------------------------------------------------

    async def dial(self, peer: str, known: Sequence[str], timeout: float) -> None:
        """At once when connected already; PeerUnreachable."""
        deadline = trio.current_time() + min(timeout, self._settings.dial_timeout)
        with trio.move_on_at(deadline):
            while peer in self._dialling:
                await self._dialling[peer].wait()
        if self._links.get(peer) is not None:
            return
        if peer == self.id or not _is_peer_id(peer):
            raise PeerUnreachable("unreachable", "not the id of another node")
        if peer in self._dialling:
            raise PeerUnreachable("dial-timeout", "another dial is under way")
        if self._full():
            raise PeerUnreachable("full", f"{self._connections} connections")
        finished = self._dialling[peer] = trio.Event()
        try:
            await self._dial(peer, known, deadline)
        finally:
            del self._dialling[peer]
            finished.set()

    async def _dial(self, peer: str, known: Sequence[str], deadline: float) -> None:
        connection = await dialler.dial(self._swarm, peer, known, deadline - trio.current_time())
        try:
            with trio.fail_at(deadline):
                pipe = await self._open(connection, rpc.PROTOCOL)
        except BaseException as error:
            self._tasks.start_soon(close, connection)
            if isinstance(error, trio.TooSlowError):
                raise PeerUnreachable("dial-timeout", "connected, but no stream") from None
            if isinstance(error, Unsupported):
                raise PeerUnreachable("unsupported", str(error)) from None
            if isinstance(error, PipeBroken | PipeStalled):
                raise PeerUnreachable("unreachable", str(error)) from None
            raise
        self._link(connection).attach(pipe)

    async def disconnect(self, peer: str, reason: str) -> None:
        links = self._links.every(peer)
        for link in links:
            link.close(reason)
        # Whoever dials next must find the connection gone, not take it for one that stands.
        with trio.move_on_after(DISCONNECT_SECONDS):
            for link in links:
                await link.gone.wait()

    async def request(self, peer: str, payload: bytes, timeout: float) -> bytes:
        return await self._kept(peer).request(payload, timeout)

    async def fetch(
        self,
        peer: str,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        await self._kept(peer).fetch(key, buffer, offset, progress_timeout, end)

    def connections(self) -> Sequence[Connection]:
        """May be called from another thread."""
        return [link.snapshot() for link in self._links.kept()]

    def _kept(self, peer: str) -> Link:
        link = self._links.get(peer)
        if link is None:
            raise NotConnected
        return link

    # --- what the swarm tells -------------------------------------------------------------------

    def refused(self, who: str, reason: str) -> None:
        self.counters[f"refused-{reason}"] += 1
        self._bridge.post(self._handlers.refused, who, reason)

    def _full(self) -> bool:
        return self._connections >= self._settings.max_connections

    def _opened(self, connection: SwarmConn) -> None:
        self._connections += 1
        self._tasks.start_soon(self._expect_protocol, connection)

    def _closed(self, connection: SwarmConn) -> None:
        self._connections -= 1
        socket = socket_of(connection)
        self.counters["bytes_in"] += socket.bytes_in
        self.counters["bytes_out"] += socket.bytes_out
        self._links.ended(connection)

    async def _expect_protocol(self, connection: SwarmConn) -> None:
        with trio.move_on_after(FOREIGN_SECONDS):
            await connection.event_closed.wait()
        if not connection.is_closed and self._links.of(connection) is None:
            self.refused(str(connection.muxed_conn.peer_id), "foreign")
            await close(connection)

    # --- what links and peers do ----------------------------------------------------------------

    def connected(self, peer: str, remote_address: str, outbound: bool) -> None:
        self._bridge.post(self._handlers.connected, peer, remote_address, outbound)

    def disconnected(self, peer: str, reason: str) -> None:
        if self._tasks.cancel_scope.cancel_called:
            return  # we have failed, or stopped: the transport tells so of everybody
        self._bridge.post(self._handlers.disconnected, peer, reason)

    def _link(self, connection: SwarmConn) -> Link:
        """The link of a connection that turned out to be a peer's. ProtocolViolation."""
        if not _is_peer_id(str(connection.muxed_conn.peer_id)):
            raise ProtocolViolation("foreign-key")
        link = self._links.of(connection)
        if link is None:
            outbound = connection.direction is Direction.OUTBOUND
            pace = Pace(self._settings.heartbeat_interval, self._settings.heartbeat_timeout)
            link = Link(connection, outbound, pace, self._open, self.refused, self._tasks)
            self._links.admit(link)
        return link

    async def _open(self, connection: SwarmConn, protocol: str) -> Pipe:
        """A new stream; PipeBroken, PipeStalled, Unsupported."""
        try:
            return await open_pipe(connection, protocol, self._settings.heartbeat_timeout)
        except PipeStalled:
            self._abort(connection, "heartbeat")
            raise

    def _refuse(self, connection: SwarmConn, reason: str) -> None:
        self.refused(str(connection.muxed_conn.peer_id), reason)
        self._abort(connection, "violation")

    def _abort(self, connection: SwarmConn, reason: str) -> None:
        link = self._links.of(connection)
        if link is not None:
            link.close(reason)
        else:
            self._tasks.start_soon(close, connection)
