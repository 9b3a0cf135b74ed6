"""Which connection to each peer is kept, and who hears about it.

Two peers that dial each other at the same time get two connections. Both keep the one that the peer
with the smaller id dialled. When the connection at hand is the one to keep, it must answer a ping
first: the peer may have started again and be dialling because the old connection is dead.
"""

from collections.abc import Sequence
from typing import Protocol

import trio
from libp2p.network.connection.swarm_connection import SwarmConn

from gossipd.network.link import Link

CONTEST_SECONDS = 3.0
"""How long the older of two connections has to show that it lives. Ours."""


class Listener(Protocol):
    """Who hears about peers."""

    def connected(self, peer: str, remote_address: str, outbound: bool) -> None: ...

    def disconnected(self, peer: str, reason: str) -> None: ...


class Links:
    """All links of one host."""

    def __init__(
        self, own: str, listener: Listener, simultaneous: float, tasks: trio.Nursery
    ) -> None:
        """`simultaneous`: connections younger than this many seconds were dialled at one time."""
        self._own = own
        self._listener = listener
        self._simultaneous = simultaneous
        self._tasks = tasks
        self._all: dict[SwarmConn, Link] = {}
        self._kept: dict[str, Link] = {}

    def __len__(self) -> int:
        return len(self._all)

    def kept(self) -> Sequence[Link]:
        return tuple(self._kept.values())

    def get(self, peer: str) -> Link | None:
        return self._kept.get(peer)

    def of(self, connection: SwarmConn) -> Link | None:
        return self._all.get(connection)

    def every(self, peer: str) -> Sequence[Link]:
        return [link for link in self._all.values() if link.peer == peer]

    def admit(self, link: Link) -> None:
        """A connection turned out to be a peer's."""
        self._all[link.connection] = link
        self._tasks.start_soon(link.run, name=f"heartbeat {link.peer}")
        incumbent = self._kept.get(link.peer)
        if incumbent is None:
            self._keep(link)
        elif self._prevails(link, incumbent):
            self._replace(incumbent, link)
        else:
            self._tasks.start_soon(self._contest, incumbent, link)

    def ended(self, connection: SwarmConn) -> None:
        """A connection is gone; another one to the same peer takes its place."""
        link = self._all.pop(connection, None)
        if link is None:
            return
        link.ended()
        if self._kept.get(link.peer) is not link:
            return
        del self._kept[link.peer]
        self._listener.disconnected(link.peer, link.reason)
        for other in self._all.values():
            if other.peer == link.peer:
                self._keep(other)
                break

    def _keep(self, link: Link) -> None:
        self._kept[link.peer] = link
        self._listener.connected(link.peer, link.remote_address, link.outbound)

    def _prevails(self, challenger: Link, incumbent: Link) -> bool:
        if challenger.outbound == incumbent.outbound:
            return True  # whoever dials a second time has lost the first connection
        dialler = self._own if challenger.outbound else challenger.peer
        return dialler == min(self._own, challenger.peer)

    def _replace(self, incumbent: Link, challenger: Link) -> None:
        simultaneous = (
            challenger.outbound != incumbent.outbound
            and challenger.since - incumbent.since < self._simultaneous
        )
        if simultaneous:
            self._kept[challenger.peer] = challenger
        else:
            self._listener.disconnected(incumbent.peer, "replaced")
            self._keep(challenger)
        self._tasks.start_soon(incumbent.retire)

    async def _contest(self, incumbent: Link, challenger: Link) -> None:
        if await incumbent.answers(CONTEST_SECONDS):
            await challenger.retire()
        else:
            incumbent.close("heartbeat")  # `ended` puts the challenger in its place
