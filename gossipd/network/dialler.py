"""Dialling one peer at several addresses, bounded in time, with a reason when nothing answers."""

import logging
from collections.abc import Sequence

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossipd.network import addresses
from gossipd.network.interface import PeerUnreachable
from gossipd.network.swarm import GuardedSwarm, close

log = logging.getLogger(__name__)

HEAD_START_SECONDS = 0.25
"""How long an address has before the next one is tried beside it (RFC 8305, section 5)."""


async def dial(swarm: GuardedSwarm, peer: str, known: Sequence[str], timeout: float) -> SwarmConn:
    """A connection to `peer`, whichever of the addresses answers first; PeerUnreachable."""
    usable = [found for text in known if (found := addresses.dialable(text, peer)) is not None]
    if not usable:
        raise PeerUnreachable("unreachable", f"no usable address among {list(known)}")
    attempt = _Attempt(swarm, ID.from_string(peer))
    with trio.move_on_after(timeout) as deadline:
        await attempt.run(usable)
    if attempt.connection is not None:
        return attempt.connection
    if deadline.cancelled_caught:
        raise PeerUnreachable("dial-timeout", f"{len(usable)} addresses")
    raise PeerUnreachable(*attempt.failure)


class _Attempt:
    """The addresses of one peer, tried one after the other with overlap; the first one wins."""

    def __init__(self, swarm: GuardedSwarm, peer: ID) -> None:
        self._swarm = swarm
        self._peer = peer
        self.connection: SwarmConn | None = None
        self.failure = ("unreachable", "")

    async def run(self, usable: Sequence[Multiaddr]) -> None:
        async with trio.open_nursery() as nursery:
            for address in usable:
                failed = trio.Event()
                nursery.start_soon(self._try, address, failed, nursery.cancel_scope)
                with trio.move_on_after(HEAD_START_SECONDS):
                    await failed.wait()

    async def _try(self, address: Multiaddr, failed: trio.Event, others: trio.CancelScope) -> None:
        try:
            connection = await self._swarm.dial_addr(address, self._peer)
        except BaseLibp2pError as error:
            log.debug("no connection to %s at %s: %s", self._peer, address, error)
            self._note(error)
            failed.set()
            return
        assert isinstance(connection, SwarmConn)
        if self.connection is None:
            self.connection = connection
            others.cancel()
        else:
            await close(connection)

    def _note(self, error: BaseException) -> None:
        """Keep the most telling reason: somebody else answered."""
        detail = _root(error)
        if "mismatch" in f"{error} {detail}" or "does not correspond" in f"{error} {detail}":
            self.failure = ("wrong-peer", detail)
        elif self.failure[0] != "wrong-peer":
            self.failure = ("unreachable", detail)


def _root(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"
