"""What waits for the socket of one connection."""

from collections import deque

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamReset

from gossipd.network.yamux.frames import NOISE_PLAINTEXT, ProtocolError

QUEUED_FRAMES = 4
"""Frames of streams that wait at a time; more would only add delay. Ours."""
BATCH_BYTES = QUEUED_FRAMES * NOISE_PLAINTEXT
"""Written at a time: a body's frames as they wait."""
QUEUED_REPLIES = 256
"""Answers to pings and to new streams that wait at a time. Ours."""

_OF_STREAM, _REPLY, _ROOMLESS = range(3)


class Outbox:
    """Frames on their way to the socket: streams wait for room, replies of the reader must not."""

    def __init__(self) -> None:
        self._frames: deque[tuple[bytes, int]] = deque()
        self._room = trio.Semaphore(QUEUED_FRAMES)
        self._filled = trio.Event()
        self._replies = 0
        self._closed = False

    async def put(self, frame: bytes) -> None:
        """Queue a frame of a stream. MuxedStreamReset when the connection has ended."""
        if self.put_at_once(frame):
            return
        await self._room.acquire()
        if self._closed:
            self._room.release()  # for the next one who waits
            raise MuxedStreamReset("the connection has ended")
        self._append(frame, _OF_STREAM)

    def put_at_once(self, frame: bytes) -> bool:
        """As `put` if there is room, and without a way through the scheduler, which would cost more
        than a small frame; else False."""
        if self._closed:
            return False
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            return False
        self._append(frame, _OF_STREAM)
        return True

    def put_nowait(self, frame: bytes) -> None:
        """Queue a frame of which there can be only a few."""
        self._append(frame, _ROOMLESS)

    def reply(self, frame: bytes) -> None:
        """Queue what the reader itself says: if it waited, two full sockets would deadlock."""
        if self._replies >= QUEUED_REPLIES:
            raise ProtocolError("asks more than it lets us answer")
        self._replies += 1
        self._append(frame, _REPLY)

    async def take(self) -> bytes:
        """The next frames: at least one, and not much more than a batch."""
        while not self._frames:
            self._filled = trio.Event()
            await self._filled.wait()
        batch: list[bytes] = []
        size = 0
        while self._frames and (not batch or size + len(self._frames[0][0]) <= BATCH_BYTES):
            frame, place = self._frames.popleft()
            batch.append(frame)
            size += len(frame)
            if place == _REPLY:
                self._replies -= 1
            elif place == _OF_STREAM:
                self._room.release()
        return b"".join(batch)

    def close(self) -> None:
        self._closed = True
        self._room.release()

    def _append(self, frame: bytes, place: int) -> None:
        self._frames.append((frame, place))
        self._filled.set()
