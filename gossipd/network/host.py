"""The libp2p host: built, listening, dialling, serving; everything here runs in the trio thread."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr import Direction
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP

from gossipd.network import addresses, compat, dialler, rpc
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
from gossipd.network.sockets import socket_of
from gossipd.network.streams import Inbound, open_pipe
from gossipd.network.swarm import Gate, GuardedSwarm, Upgrader, close
from gossipd.network.yamux.muxer import Muxer

log = logging.getLogger(__name__)

UPGRADE_SECONDS = 5.0
"""For the handshakes of an inbound connection. Ours: some round trips of a bad radio link."""
DISCONNECT_SECONDS = 2.0
"""How long a disconnect waits until the connection is gone; it goes on closing after that. Ours."""
FOREIGN_SECONDS = 30.0
"""How long a connection may stay that does not speak our protocols. Ours."""


@dataclass(frozen=True, slots=True)
class Settings:
    """See `libp2p_transport.Libp2pTransport`."""

    private_key: bytes
    listen: str
    port: int
    mdns: bool
    max_connections: int
    heartbeat_interval: float
    heartbeat_timeout: float
    dial_timeout: float


def _key_pair(seed: bytes) -> KeyPair:
    key = Ed25519PrivateKey.new(seed)
    return KeyPair(key, key.get_public_key())


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
        self._keys = _key_pair(settings.private_key)
        self.id = self.id_of(settings.private_key)

    @staticmethod
    def id_of(private_key: bytes) -> str:
        """The peer id of a 32-byte Ed25519 seed."""
        return str(ID.from_pubkey(_key_pair(private_key).public_key))

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
            self._swarm = self._build_swarm()
            self._links = Links(self.id, self, self._tasks)
            self._host = BasicHost(self._swarm, disable_identify_address_discovery=True)
            self._host.remove_stream_handler(IDENTIFY_PUSH)  # nothing pushed is of use to us
            inbound = Inbound(
                self._host,
                self._bridge,
                self._handlers,
                self.counters,
                self._settings.heartbeat_timeout,
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

    def _build_swarm(self) -> GuardedSwarm:
        peerstore = PeerStore()
        peerstore.add_key_pair(ID.from_pubkey(self._keys.public_key), self._keys)
        noise = NoiseTransport(self._keys, noise_privkey=create_noise_key_pair().private_key)
        swarm = GuardedSwarm(
            ID.from_pubkey(self._keys.public_key),
            peerstore,
            Upgrader({NOISE: noise}, {TProtocol(YAMUX): Muxer}),
            [TCP()],
            RetryConfig(max_retries=0),
            ConnectionConfig(
                max_connections=10**6,  # the gate counts
                min_connections=0,
                low_watermark=0,
                high_watermark=0,  # nothing is dialled or closed on libp2p's own account
                inbound_upgrade_timeout=UPGRADE_SECONDS,
                outbound_upgrade_timeout=UPGRADE_SECONDS,
                inbound_stream_protocol_negotiation_timeout=UPGRADE_SECONDS,
            ),
        )
        swarm.guard(Gate(self._full, self.refused, self._opened, self._closed), self._tasks)
        return swarm

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
        if peer == self.id:
            raise PeerUnreachable("unreachable", "that is this node itself")
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
        self, peer: str, key: bytes, buffer: memoryview, offset: int, progress_timeout: float
    ) -> None:
        await self._kept(peer).fetch(key, buffer, offset, progress_timeout)

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
        """The link of a connection that turned out to be a peer's."""
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
