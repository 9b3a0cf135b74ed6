"""Noise messages of a connection whose handshake is over, as many at once as are there.

Upstream reads and writes each message by itself, through six coroutines, and each write is a system
call and a trip through trio's scheduler: two thirds of what moving a body cost.
"""

from libp2p.abc import IRawConnection
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from noise.connection import NoiseConnection  # type: ignore[import-untyped]

from gossipd.network.sockets import BufferedTCPStream

LENGTH_BYTES = 2
"""Of a message's length, big-endian, before it."""


class BatchedNoise(NoiseTransportReadWriter):
    """Takes the place of libp2p's own under a secured connection; its bytes are the same."""

    def __init__(self, conn: IRawConnection, noise_state: NoiseConnection) -> None:
        super().__init__(conn, noise_state)
        self._raw = conn

    async def write_msg(self, msg: bytes, prefix_encoded: bool = False) -> None:
        """Any number of bytes, in as few messages as possible and one write."""
        pieces = []
        for start in range(0, max(len(msg), 1), MAX_PLAINTEXT_LENGTH):
            sealed = self.encrypt(msg[start : start + MAX_PLAINTEXT_LENGTH])
            pieces += [len(sealed).to_bytes(LENGTH_BYTES, "big"), sealed]
        await self._raw.write(b"".join(pieces))

    async def read_msg(self, prefix_encoded: bool = False) -> bytes:
        """What the next message holds, and those that have arrived whole behind it."""
        opened = [self.decrypt(await self.read_writer.read_msg())]
        socket = self._raw.stream  # type: ignore[attr-defined]
        assert isinstance(socket, BufferedTCPStream)
        while (sealed := socket.take_prefixed(LENGTH_BYTES)) is not None:
            opened.append(self.decrypt(sealed))
        return opened[0] if len(opened) == 1 else b"".join(opened)
