"""libp2p's swarm, with the ways in bounded and every connection's tasks ended with the connection.

Upstream keeps one slot and one sleeping task for every inbound connection of its life (after 250
of them it refuses everybody), lets one failing connection end the whole service, and accepts any
number of connections from one address. The two methods that do so are replaced here; dialling, the
upgrade and the streams stay libp2p's.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from libp2p.abc import IMuxedConn, ISecureConn
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectError
from libp2p.transport.exceptions import MuxerUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from gossipd.network.sockets import socket_of
from gossipd.wire import limits

if TYPE_CHECKING:
    from libp2p.metrics.swarm import SwarmEvent

log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.5
"""For saying goodbye to a peer before its socket is closed under it. Ours."""
PATIENCE_SECONDS = 1.0
"""A handshake older than this gives way to a newcomer when there is no room. Ours: honest ones take
some round trips."""


class Upgrader(TransportUpgrader):
    """libp2p's, but it asks the muxer's table: upstream always makes its own yamux."""

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        try:
            muxer = await self.muxer_multistream.select_transport(conn)
        except (MultiselectError, MultiselectClientError) as error:
            raise MuxerUpgradeFailure("no muxer in common") from error
        return muxer(conn, peer_id)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the swarm asks and tells its owner; all in the trio thread."""

    full: Callable[[], bool]
    """Whether no further connection may stand."""
    refused: Callable[[str, str], None]
    """(remote address, reason)"""
    opened: Callable[[SwarmConn], None]
    closed: Callable[[SwarmConn], None]


@dataclass(eq=False, slots=True)
class _Arrival:
    """An inbound socket, from accept to close."""

    host: str
    since: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    upgraded: bool = False


class GuardedSwarm(Swarm):
    """A swarm for one host; `gate` and `tasks` must be set before it listens or dials."""

    gate: Gate
    tasks: trio.Nursery

    def guard(self, gate: Gate, tasks: trio.Nursery) -> None:
        self.gate = gate
        self.tasks = tasks
        self._arrivals: list[_Arrival] = []
        self._inbound_limiter.total_tokens = math.inf  # ours is below, and frees its places

    async def _do_handle_inbound_connection(
        self, read_write_closer: ReadWriteCloser, maddr: Multiaddr, failure_event: "SwarmEvent"
    ) -> None:
        remote = read_write_closer.get_remote_address()
        host = remote[0] if remote else ""
        reason = self._reason_to_refuse(host)
        if reason is not None:
            self.gate.refused(f"{host}", reason)
            await read_write_closer.close()
            return
        arrival = _Arrival(host, trio.current_time())
        self._arrivals.append(arrival)
        try:
            with arrival.scope:
                await self._upgrade(RawConnection(read_write_closer, False), maddr, arrival)
            if arrival.scope.cancelled_caught:
                self.gate.refused(host, "too-slow")
        finally:
            self._arrivals.remove(arrival)
            with trio.CancelScope(shield=True):
                await read_write_closer.close()

    def _reason_to_refuse(self, host: str) -> str | None:
        if self.gate.full():
            return "full"
        hosts = Counter(arrival.host for arrival in self._arrivals)
        if hosts[host] >= limits.CONNECTIONS_PER_ADDRESS:
            return None if self._evict(host) else "address-full"
        if len(self._arrivals) >= limits.CONNECTIONS:
            return None if self._evict(None) else "full"
        return None

    def _evict(self, host: str | None) -> bool:
        """Make room by ending the oldest handshake that has had its time."""
        now = trio.current_time()
        for arrival in self._arrivals:
            if (
                not arrival.upgraded
                and not arrival.scope.cancel_called
                and host in (None, arrival.host)
                and now - arrival.since > PATIENCE_SECONDS
            ):
                arrival.scope.cancel()
                return True
        return False

    async def _upgrade(self, raw: RawConnection, maddr: Multiaddr, arrival: _Arrival) -> None:
        try:
            muxed = await self.upgrade_inbound_raw_conn(raw, maddr)
        except Exception as error:  # noqa: BLE001 - a stranger's bytes, and six parsers of upstream
            log.debug("no connection from %s: %s", arrival.host, error)
            self.gate.refused(arrival.host, "full" if self.gate.full() else "handshake")
            return
        arrival.upgraded = True
        await muxed.event_closed.wait()  # type: ignore[attr-defined]

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> SwarmConn:
        if self.gate.full():
            raise SwarmException("full")  # it became so during the handshakes
        connection = SwarmConn(muxed_conn, self, direction)
        connection.set_transport_info(
            muxed_conn.get_transport_addresses(), muxed_conn.get_connection_type()
        )
        self.connections.setdefault(muxed_conn.peer_id, []).append(connection)
        self.tasks.start_soon(self._tend, connection, name=f"connection {muxed_conn.peer_id}")
        await muxed_conn.event_started.wait()
        await connection.event_started.wait()
        return connection

    async def _tend(self, connection: SwarmConn) -> None:
        """A connection's tasks, from its start until nothing of it is left."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.start)
                self.gate.opened(connection)
                await connection.muxed_conn.start()  # until the muxer has ended
                nursery.cancel_scope.cancel()
        except* Exception:
            log.exception("the connection to %s failed", connection.muxed_conn.peer_id)
        finally:
            connection.event_closed.set()
            self.remove_conn(connection)
            self.gate.closed(connection)
            with trio.CancelScope(shield=True):
                await socket_of(connection).close()
            connection.muxed_conn.event_closed.set()  # type: ignore[attr-defined]


async def close(connection: SwarmConn) -> None:
    """End a connection, politely if the peer lets us, within CLOSE_SECONDS in any case."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(CLOSE_SECONDS):
            await connection.muxed_conn.close()
            await connection.muxed_conn.event_closed.wait()  # type: ignore[attr-defined]
        await socket_of(connection).close()
