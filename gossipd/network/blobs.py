"""Blobs on one long-lived stream per connection and direction, transfers one after the other.

Request: key length (1 byte), offset (8), end (8), key. Answer: status (1), size of the whole blob
(8), then the bytes from the offset to the end that was asked for, or to the blob's own. The size is
compared with the receiver's buffer before the body is read.

A receiver asks for as much at a time as came within STEP_SECONDS before: what is under way, in
whatever buffers a slow line has, is never more than that, so a question asked meanwhile is answered
about as soon. On a quick line the second step is the rest.
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
REQUEST = struct.Struct("!BQQ")
ANSWER = struct.Struct("!BQ")
FOUND = 0
GONE = 1
KEY_BYTES = 255
STEP_SECONDS = 0.5
"""How long a line may be taken by one step. Ours, against what a step costs: a round trip."""
FIRST_STEP_BYTES = 32 * 1024
"""Before anything is known of a line: a second at 256 kbit/s. And the least."""
HOLD_SECONDS = 10.0
"""How long a blob stays at hand for the next step of who asked for the one before. Ours."""
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
        self._step = FIRST_STEP_BYTES

    async def fetch(
        self,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        """Fill `buffer[offset:end]`; TransferInterrupted says how far it came."""
        end = len(buffer) if end is None else end
        position = offset
        async with self._turn:
            while True:
                stop = min(position + self._step, end)
                began = trio.current_time()
                await self._range(key, buffer, position, stop, progress_timeout)
                self._pace(stop - position, trio.current_time() - began)
                position = stop
                if position >= end:
                    return

    def _pace(self, size: int, seconds: float) -> None:
        """How much to ask for next, after so many bytes took so long."""
        if size >= FIRST_STEP_BYTES:  # what a smaller piece takes says nothing of the line
            fitting = int(size * STEP_SECONDS / max(seconds, 1e-6))
            if size == self._step or fitting < self._step:
                self._step = max(fitting, FIRST_STEP_BYTES)

    async def _range(
        self, key: bytes, buffer: memoryview, offset: int, end: int, progress_timeout: float
    ) -> None:
        position = offset
        finished = False
        try:
            pipe = self._pipe
            if pipe is None or pipe.broken:
                pipe = self._pipe = await self._open()
            await pipe.write(REQUEST.pack(len(key), offset, end) + key)
            header = await pipe.read(ANSWER.size, progress_timeout)
            status, size = ANSWER.unpack(header)
            _check(status, size, len(buffer), offset)
            while position < end:
                piece = await pipe.read_some(end - position, progress_timeout)
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
    """Answer fetches until the stream ends, as fast as `upload` lets; `sent` is called after the
    last byte of each.

    Raises PipeStalled when the peer has stopped reading, or writing, in the middle of something.
    """
    at_hand: tuple[bytes, memoryview | bytes] | None = None
    while True:
        try:
            if at_hand is None:
                first = await pipe.read(1)
            else:
                try:
                    first = await pipe.read(1, HOLD_SECONDS)
                except PipeStalled:
                    at_hand = None
                    continue
            rest = await pipe.read(REQUEST.size - 1, stall)
            length, offset, end = REQUEST.unpack(first + rest)
            if offset > limits.BODY_BYTES or end < offset:
                raise ProtocolViolation("malformed")
            key = await pipe.read(length, stall)
            if at_hand is None or at_hand[0] != key:
                at_hand = None
                with trio.move_on_after(LOOKUP_SECONDS):
                    found = await lookup(key)
                    at_hand = None if found is None else (key, found)
            if at_hand is None or offset > len(at_hand[1]):
                await pipe.write(ANSWER.pack(GONE, 0))
                continue
            blob = memoryview(at_hand[1])
            await pipe.write(ANSWER.pack(FOUND, len(blob)))
            left = blob[offset:end]
            while left:
                piece = left[: upload.piece(len(left))]
                await upload.turn(len(piece))
                await pipe.write(piece)
                left = left[len(piece) :]
            if end >= len(blob):
                at_hand = None
                sent()
        except PipeBroken:
            return
