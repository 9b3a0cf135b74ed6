"""A host for a few questions: it dials, asks and goes, and nobody is to dial it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gossipd.network.interface import Handlers, Transport
from gossipd.wire.framing import encode_message
from gossipd.wire.messages import Refused

HEARTBEAT_SECONDS, HEARTBEAT_TIMEOUT = 5.0, 15.0
"""Of a connection that lasts for a few answers; as the daemon's by default."""


@asynccontextmanager
async def asking(
    seed: bytes, why: str, *, peers: int, dial_timeout: float
) -> AsyncIterator[Transport]:
    """A transport with this key for as long as the block lasts; at most `peers` connections. Who
    asks it something is told `why` nothing is answered."""
    from gossipd.network.libp2p_transport import Libp2pTransport  # a second, for who comes here

    transport = Libp2pTransport(
        seed,
        "127.0.0.1",
        0,
        mdns=False,
        max_connections=peers,
        heartbeat_interval=HEARTBEAT_SECONDS,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        dial_timeout=dial_timeout,
        announce=(),
    )
    await transport.start(_deaf(why))
    try:
        yield transport
    finally:
        await transport.stop()


def _deaf(why: str) -> Handlers:
    """For who only asks: everybody else is told `why` nothing is answered."""

    async def answer(peer: str, payload: bytes) -> bytes:
        return encode_message(Refused(code="not-serving", reason=why))

    async def nothing(peer: str, key: bytes) -> None:
        return None

    return Handlers(
        connected=lambda peer, address, outbound: None,
        disconnected=lambda peer, reason: None,
        request=answer,
        blob=nothing,
        discovered=lambda peer, addresses: None,
        refused=lambda whom, reason: None,
    )
