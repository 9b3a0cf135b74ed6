"""Ten thousand strangers at one daemon's door: who connects, says something or nothing, and goes.

    python -m benchmarks.knocks MULTIADDRESS COUNT SECONDS

A process of its own beside `soak`. Of ten connections four are bare TCP (closed at once, closed
after bytes that mean nothing, reset, and closed after the first message of the handshake's
negotiation); six are libp2p's whole handshake by one key that nobody has seen before, three of them
with the Hello of another swarm. They come evenly over the seconds given. Prints how many of each
kind there were as one JSON object.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections import Counter
from random import Random

from gossipd.network.interface import Handlers, NetworkError
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.wire.framing import encode_message
from gossipd.wire.messages import Hello

BARE = ("nothing", "noise", "reset", "half")
HANDSHAKES = 6
ROUND = len(BARE) + HANDSHAKES
PATIENCE_SECONDS = 20.0
MULTISTREAM = b"\x13/multistream/1.0.0\n"
AT_ONCE = 2
"""Visitors at a time: the machine's cores."""


async def knock(address: str, count: int, seconds: float) -> Counter[str]:
    """What became of `count` connections to the daemon at this complete multiaddress."""
    outcomes: Counter[str] = Counter()
    rng = Random(0)
    began = time.monotonic()
    rounds = iter(range(-(-count // ROUND)))

    async def visitor() -> None:
        for number in rounds:
            due = began + seconds * number * ROUND / count
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for kind in BARE:
                await asyncio.to_thread(_bare, address, kind, rng)
                outcomes[kind] += 1
            outcomes.update(await _handshakes(address, rng))

    await asyncio.gather(*(visitor() for _ in range(AT_ONCE)))
    outcomes["seconds"] = round(time.monotonic() - began)
    return outcomes


def _bare(address: str, kind: str, rng: Random) -> None:
    parts = address.split("/")
    with socket.create_connection((parts[2], int(parts[4])), PATIENCE_SECONDS) as door:
        if kind == "noise":
            door.sendall(rng.randbytes(200))
        elif kind == "half":
            door.sendall(MULTISTREAM)
        elif kind == "reset":
            door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _handshakes(address: str, rng: Random) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    daemon = address.rsplit("/", 1)[1]
    stranger = Libp2pTransport(
        os.urandom(32),
        "127.0.0.1",
        0,
        mdns=False,
        max_connections=4,
        heartbeat_interval=5.0,
        heartbeat_timeout=15.0,
        dial_timeout=PATIENCE_SECONDS,
    )
    await stranger.start(_deaf())
    try:
        for number in range(HANDSHAKES):
            try:
                await stranger.dial(daemon, [address], PATIENCE_SECONDS)
                if number % 2:
                    await stranger.request(daemon, _hello(rng), PATIENCE_SECONDS)
                outcomes["greeted" if number % 2 else "connected"] += 1
            except NetworkError as error:
                outcomes[error.reason] += 1
            await stranger.disconnect(daemon, "enough")
    finally:
        await stranger.stop()
    return outcomes


def _hello(rng: Random) -> bytes:
    elsewhere = rng.randbytes(32)
    return encode_message(
        Hello(
            swarm=elsewhere,
            task=elsewhere,
            layout=elsewhere,
            genesis=elsewhere,
            record=b"",
            claim=b"",
        )
    )


def _deaf() -> Handlers:
    async def nothing(peer: str, payload: bytes) -> bytes:
        return b""

    return Handlers(
        connected=lambda peer, where, outbound: None,
        disconnected=lambda peer, reason: None,
        request=nothing,
        blob=nothing,
        discovered=lambda peer, addresses: None,
        refused=lambda whom, reason: None,
    )


if __name__ == "__main__":
    counted = asyncio.run(knock(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    sys.stdout.write(json.dumps(counted) + "\n")
