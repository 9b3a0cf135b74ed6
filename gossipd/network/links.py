"""Which connection to each peer is kept, and who hears about it.

Two peers that dial each other at the same time get two connections. Both keep the one that the peer
with the smaller id dialled. The older one must answer a ping first: the peer may have started again
and be dialling because it is dead, and then that is a new acquaintance.
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

    def __init__(self, own: str, listener: Listener, tasks: trio.Nursery) -> None:
        self._own = own
        self._listener = listener
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
        elif link.outbound == incumbent.outbound:
            incumbent.close("replaced")  # whoever dials a second time has lost the first connection
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

    async def _contest(self, incumbent: Link, challenger: Link) -> None:
        """Decide between two connections; if one ends meanwhile, `ended` keeps the other."""
        if not await incumbent.answers(CONTEST_SECONDS):
            incumbent.close("replaced")
            return
        if (
            self._kept.get(incumbent.peer) is not incumbent
            or challenger.connection not in self._all
        ):
            return
        dialler = self._own if challenger.outbound else challenger.peer
        if dialler == min(self._own, challenger.peer):
            self._kept[challenger.peer] = challenger
            await incumbent.retire()
        else:
            await challenger.retire()
