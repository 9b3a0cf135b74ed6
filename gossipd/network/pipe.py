"""One stream with exact reads and with deadlines."""

import math
from typing import cast

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError

from gossipd.network.yamux.frames import FRAME_BYTES
from gossipd.network.yamux.stream import MuxedStream

READ_BYTES = 256 * 1024


class PipeBroken(Exception):
    """The stream ended: closed, reset, or its connection is gone."""


class PipeStalled(Exception):
    """Nothing moved until the deadline."""


class Pipe:
    """A stream of ours, or of a peer.

    It reads and writes on the muxer's stream: libp2p's wrapper would take a lock each time. A
    write that is interrupted, by its deadline or by its caller's end, breaks the pipe for good:
    the other side would take the next bytes for the rest of the message.
    """

    def __init__(self, stream: INetStream, stall: float) -> None:
        """`stall`: seconds after which a write that makes no progress is given up."""
        self._stream = stream
        self._muxed = cast(MuxedStream, stream.muxed_stream)  # type: ignore[attr-defined]
        self._stall = stall
        self._buffer = b""
        self._position = 0
        self._writing = trio.Lock()
        self.broken = False

    async def read(self, size: int, within: float = math.inf) -> bytes:
        """Exactly `size` bytes, each piece of which arrives `within` seconds."""
        pieces = bytearray()
        while len(pieces) < size:
            if self._position == len(self._buffer):
                self._buffer, self._position = await self._receive(READ_BYTES, within), 0
            pieces += self._take(size - len(pieces))
        return bytes(pieces)

    async def read_some(self, limit: int, within: float) -> bytes:
        """Up to `limit` bytes, at least one."""
        if self._position < len(self._buffer):
            return self._take(limit)
        return await self._receive(min(limit, READ_BYTES), within)

    async def write(self, data: bytes | memoryview) -> None:
        """All of `data`, after whoever writes now. The deadline begins anew with each frame."""
        if self.write_at_once(data):
            return
        async with self._writing:
            if self.broken:
                raise PipeBroken("an earlier write was interrupted")
            self.broken = True
            try:
                with trio.fail_after(self._stall) as deadline:
                    for start in range(0, len(data), FRAME_BYTES):
                        deadline.deadline = trio.current_time() + self._stall
                        await self._muxed.write(data[start : start + FRAME_BYTES])
            except trio.TooSlowError:
                raise PipeStalled from None
            except BaseLibp2pError as error:
                raise PipeBroken(str(error)) from None
            self.broken = False

    def write_at_once(self, data: bytes | memoryview) -> bool:
        """All of `data` if it need not wait; else nothing of it, and False. Most messages fit: a
        lock, a deadline and a way through the scheduler cost several times the message itself."""
        if self.broken or self._writing.locked() or len(data) > FRAME_BYTES:
            return False
        return self._muxed.write_at_once(data)

    async def finish(self) -> None:
        """Write no more, and wait until the other side has ended, too; then, or in time, forget."""
        try:
            with trio.fail_after(self._stall):
                await self._stream.close()
                while True:
                    await self._muxed.read()
        except (trio.TooSlowError, BaseLibp2pError):
            await self.reset()

    async def reset(self) -> None:
        """Give the stream up, both directions."""
        self.broken = True
        with trio.CancelScope(shield=True), trio.move_on_after(self._stall):
            await self._stream.reset()

    def _take(self, limit: int) -> bytes:
        piece = self._buffer[self._position : self._position + limit]
        self._position += len(piece)
        return piece

    async def _receive(self, limit: int, within: float) -> bytes:
        try:
            if self._muxed.readable or within == math.inf:
                return await self._muxed.read(limit)
            with trio.fail_after(within):
                return await self._muxed.read(limit)
        except trio.TooSlowError:
            raise PipeStalled from None
        except BaseLibp2pError as error:
            self.broken = True
            raise PipeBroken(str(error)) from None
