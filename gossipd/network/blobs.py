"""Blobs on one long-lived stream per connection and direction, transfers one after the other.

Request: key length (1 byte), offset (8), key. Answer: status (1), size of the whole blob (8), then
the bytes from the offset on. The size is compared with the receiver's buffer before the body is
read.
"""

import struct
from collections.abc import Awaitable, Callable

import trio

from gossipd.network.interface import TransferInterrupted
from gossipd.network.pipe import Pipe, PipeBroken, PipeStalled
from gossipd.network.rpc import ProtocolViolation
from gossipd.network.upload import Upload
from gossipd.wire import limits

PROTOCOL = "/gossipd/1/blob"
REQUEST = struct.Struct("!BQ")
ANSWER = struct.Struct("!BQ")
FOUND = 0
GONE = 1
KEY_BYTES = 255
LOOKUP_SECONDS = 20.0
"""How long our own store may take to find a blob. Ours."""

Lookup = Callable[[bytes], Awaitable[memoryview | bytes | None]]


class BlobClient:
    """The fetching end. `open` makes a fresh stream, `discard` resets one in the background."""

    def __init__(
        self, open_pipe: Callable[[], Awaitable[Pipe]], discard: Callable[[Pipe], None]
    ) -> None:
        self._open = open_pipe
        self._discard = discard
        self._turn = trio.Lock()
        self._pipe: Pipe | None = None

    async def fetch(
        self, key: bytes, buffer: memoryview, offset: int, progress_timeout: float
    ) -> None:
        """Fill `buffer[offset:]`; TransferInterrupted says how far it came."""
        position = offset
        async with self._turn:
            finished = False
            try:
                pipe = self._pipe
                if pipe is None or pipe.broken:
                    pipe = self._pipe = await self._open()
                await pipe.write(REQUEST.pack(len(key), offset) + key)
                header = await pipe.read(ANSWER.size, progress_timeout)
                status, size = ANSWER.unpack(header)
                _check(status, size, len(buffer), offset)
                while position < len(buffer):
                    piece = await pipe.read_some(len(buffer) - position, progress_timeout)
                    buffer[position : position + len(piece)] = piece
                    position += len(piece)
                finished = True
            except PipeStalled:
                raise TransferInterrupted("stalled", position) from None
            except PipeBroken as error:
                raise TransferInterrupted("disconnected", position, str(error)) from None
            except _Gone:
                finished = True  # the stream stands between two transfers
                raise TransferInterrupted("gone", position) from None
            finally:
                if not finished and self._pipe is not None:
                    self._discard(self._pipe)  # it is somewhere inside a body
                    self._pipe = None


class _Gone(Exception):
    """The peer has no such blob for us."""


def _check(status: int, size: int, expected: int, offset: int) -> None:
    if status == GONE:
        raise _Gone
    if status != FOUND:
        raise TransferInterrupted("malformed", offset, f"status {status}")
    if size != expected:
        raise TransferInterrupted("wrong-size", offset, f"{size} bytes instead of {expected}")


async def serve(
    pipe: Pipe, lookup: Lookup, stall: float, sent: Callable[[], None], upload: Upload
) -> None:
    """Answer fetches until the stream ends, as fast as `upload` lets; `sent` is called after each.

    Raises PipeStalled when the peer has stopped reading, or writing, in the middle of something.
    """
    while True:
        try:
            length, offset = REQUEST.unpack(await pipe.read(REQUEST.size))
            if offset > limits.BODY_BYTES:
                raise ProtocolViolation("malformed")
            key = await pipe.read(length, stall)
            blob: memoryview | bytes | None = None
            with trio.move_on_after(LOOKUP_SECONDS):
                blob = await lookup(key)
            if blob is None or offset > len(blob):
                await pipe.write(ANSWER.pack(GONE, 0))
                continue
            await pipe.write(ANSWER.pack(FOUND, len(blob)))
            left = memoryview(blob)[offset:]
            while left:
                piece = left[: upload.piece(len(left))]
                await upload.turn(len(piece))
                await pipe.write(piece)
                left = left[len(piece) :]
            sent()
        except PipeBroken:
            return
