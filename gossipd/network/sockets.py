"""The bytes under a connection: read in large pieces, counted, the last arrival remembered."""

import contextlib
import os

import trio
from libp2p.abc import INetConn
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream

READ_BYTES = 256 * 1024
"""What one system call may bring in: four of the largest Noise messages."""


class BufferedTCPStream(TrioTCPStream):
    """libp2p's TCP stream, but one system call serves many reads.

    Noise reads every message in two steps (length, body); upstream each is a system call, a lock
    and a trip through trio's scheduler. All layers above share this object, so what is buffered
    here cannot be lost when multistream, the handshake and the session take over from each other.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self._buffer = b""
        self._position = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.last_received = trio.current_time()

    async def read(self, n: int | None = None) -> bytes:
        if self._position == len(self._buffer):
            if n == 0:
                return b""
            async with self.read_lock:
                if self._position == len(self._buffer):
                    await self._fill()
        end = len(self._buffer) if n is None else self._position + n
        piece = self._buffer[self._position : end]
        self._position += len(piece)
        return piece

    async def _fill(self) -> None:
        try:
            received = await self.stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError("reset by the remote", transport="tcp") from error
        except trio.ClosedResourceError:
            received = b""
        self._buffer, self._position = bytes(received), 0
        self.bytes_in += len(received)
        if received:
            self.last_received = trio.current_time()

    def take_prefixed(self, length_bytes: int) -> bytes | None:
        """A message with its length before it, without that, if it is here already as a whole."""
        start = self._position + length_bytes
        end = start + int.from_bytes(self._buffer[self._position : start], "big")
        if start > len(self._buffer) or end > len(self._buffer):
            return None
        self._position = end
        return self._buffer[start:end]

    async def write(self, data: bytes) -> None:
        """The kernel mostly has room: then there is no way through trio's scheduler. Upstream also
        takes a lock; here the handshake and then the muxer's one task write, nobody beside them."""
        written = 0
        with contextlib.suppress(OSError):  # what is wrong, if anything, is said below
            written = os.write(self.stream.socket.fileno(), data)
        try:
            if written < len(data):
                await self.stream.send_all(memoryview(data)[written:])
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError("reset by the remote", transport="tcp") from error
        except trio.ClosedResourceError:
            return  # the reader sees the end, too
        self.bytes_out += len(data)

    def get_remote_address(self) -> tuple[str, int] | None:
        """(host, port); upstream knows no answer for IPv6, whose names have four parts."""
        if self._cached_remote_address is None:
            try:
                host, port = self.stream.socket.getpeername()[:2]
            except OSError:
                return None
            self._cached_remote_address = (str(host), int(port))
        return self._cached_remote_address


def socket_of(connection: INetConn) -> BufferedTCPStream:
    """The socket under an upgraded connection: muxer, session, Noise messages, raw connection."""
    secured = connection.muxed_conn.secured_conn  # type: ignore[attr-defined]
    stream = secured.conn.read_writer.read_write_closer.stream
    assert isinstance(stream, BufferedTCPStream)
    return stream
