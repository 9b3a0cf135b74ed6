"""One yamux stream: what has arrived, and how much either side may send."""

from collections import deque
from typing import TYPE_CHECKING

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamEOF, MuxedStreamReset

from gossipd.network.yamux.frames import FIN, FRAME_BYTES, INITIAL_WINDOW, RST, Kind

if TYPE_CHECKING:
    from gossipd.network.yamux.muxer import Muxer

LARGEST_WINDOW = 1024 * 1024
"""What a window grows to: 10 MB/s over a round trip of 100 ms. Ours."""

SMALL_BYTES = 4096
"""Pieces up to this size are kept as one: a byte alone would cost sixty. Ours."""


class MuxedStream(IMuxedStream):
    """One stream. `send_window` is what we may send, `receive_window` what the peer may."""

    def __init__(self, muxer: "Muxer", number: int) -> None:
        self.muxed_conn: Muxer = muxer
        self.number = number
        self.send_window = INITIAL_WINDOW
        self.receive_window = INITIAL_WINDOW
        self._target = INITIAL_WINDOW
        self._read_since_update = 0
        self._last_update = trio.current_time()
        self._received: deque[bytes] = deque()
        self._readable = trio.Event()
        self._writable = trio.Event()
        self.reset_seen = False
        self.end_seen = False
        self.end_sent = False

    # --- what libp2p calls ----------------------------------------------------------------------

    async def read(self, n: int | None = None) -> bytes:
        """What is there, at most `n` bytes, waiting for some. MuxedStreamEOF, MuxedStreamReset."""
        while not self._received:
            if self.reset_seen:
                raise MuxedStreamReset("the stream was reset")
            if self.end_seen:
                raise MuxedStreamEOF("the stream has ended")
            self._readable = trio.Event()
            await self._readable.wait()
        data = self._take(n)
        self._return_window(len(data))
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """All of `data`, as the peer's window allows. MuxedStreamClosed, MuxedStreamReset."""
        sent = 0
        while sent < len(data):
            while self.send_window == 0 and not self.reset_seen:
                self._writable = trio.Event()
                await self._writable.wait()
            if self.reset_seen:
                raise MuxedStreamReset("the stream was reset")
            if self.end_sent:
                raise MuxedStreamClosed("the stream is closed for writing")
            piece = data[sent : sent + min(self.send_window, FRAME_BYTES)]
            self.send_window -= len(piece)
            try:
                await self.muxed_conn.send(Kind.DATA, 0, self.number, len(piece), piece)
            except trio.Cancelled:
                self.send_window += len(piece)
                raise
            sent += len(piece)

    def write_at_once(self, data: bytes | memoryview) -> bool:
        """One frame, if the peer's window and the outbox have room for it now; else nothing."""
        if self.reset_seen or self.end_sent or len(data) > min(self.send_window, FRAME_BYTES):
            return False
        if not self.muxed_conn.send_at_once(Kind.DATA, 0, self.number, len(data), data):
            return False
        self.send_window -= len(data)
        return True

    @property
    def readable(self) -> bool:
        """Whether `read` need not wait."""
        return bool(self._received)

    async def close(self) -> None:
        """Write no more; the peer still may."""
        if not self.end_sent and not self.reset_seen:
            self.end_sent = True
            await self.muxed_conn.send(Kind.WINDOW_UPDATE, FIN, self.number)
            self.muxed_conn.forget_if_done(self)

    async def reset(self) -> None:
        """End both directions."""
        if not self.reset_seen and not (self.end_sent and self.end_seen):
            self.on_reset()
            self.muxed_conn.forget_if_done(self)
            await self.muxed_conn.send(Kind.WINDOW_UPDATE, RST, self.number)

    def set_deadline(self, ttl: int) -> None:
        raise ValueError("deadlines are the caller's cancel scopes")

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.muxed_conn.get_remote_address()

    async def __aenter__(self) -> "MuxedStream":
        return self

    # --- what the muxer calls -------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        if not data or self.reset_seen:
            return
        if self._received and len(self._received[-1]) + len(data) <= SMALL_BYTES:
            self._received[-1] += data
        else:
            self._received.append(data)
        self._readable.set()

    def on_window(self, increment: int) -> None:
        self.send_window = min(self.send_window + increment, 2**32)
        self._writable.set()

    def on_end(self) -> None:
        self.end_seen = True
        self._readable.set()

    def on_reset(self) -> None:
        self.reset_seen = True
        self._readable.set()
        self._writable.set()

    @property
    def done(self) -> bool:
        return self.reset_seen or (self.end_seen and self.end_sent)

    def _take(self, n: int | None) -> bytes:
        first = self._received[0]
        if n is not None and len(first) > n:
            self._received[0] = first[n:]
            return first[:n]
        pieces = [self._received.popleft()]
        size = len(first)
        while self._received and (n is None or size + len(self._received[0]) <= n):
            pieces.append(self._received.popleft())
            size += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _return_window(self, size: int) -> None:
        """Tell the peer that it may send again, once for every half of the window.

        A window that is used up within a round trip or two is what limits the speed: it doubles.
        """
        self._read_since_update += size
        if self._read_since_update < self._target // 2 or self.end_seen or self.reset_seen:
            return
        increment, self._read_since_update = self._read_since_update, 0
        now = trio.current_time()
        if now - self._last_update < 4 * self.muxed_conn.round_trip:
            grown = min(2 * self._target, LARGEST_WINDOW)
            increment += grown - self._target
            self._target = grown
        self._last_update = now
        self.receive_window += increment
        self.muxed_conn.return_window(self.number, increment)
