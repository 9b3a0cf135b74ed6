"""One connection: two ends, what each side is asking over it, and what its line is like."""

import asyncio
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gossipd.network.interface import NetworkError, RequestFailed, TransferInterrupted
from gossipd.wire import limits

if TYPE_CHECKING:
    from gossipd.simulation.transport import SimTransport


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between two nodes, in one direction. The default is a good home network."""

    latency: tuple[float, float] = (0.005, 0.05)
    """Seconds one way, (least, most): every pair has its own, drawn once, log-uniformly."""
    jitter: float = 0.2
    """Each message takes up to this share of the latency longer, uniformly."""
    loss: float = 0.0
    """Chance of a message (or of a piece of a body) to be lost: its asker waits in vain."""
    resets: float = 0.0
    """Chance of a message to break its connection instead of arriving."""

    def __post_init__(self) -> None:
        least, most = self.latency
        if not (0 <= least <= most and self.jitter >= 0):
            raise ValueError(f"times that run back: {self}")
        if not (0 <= self.loss <= 1 and 0 <= self.resets <= 1):
            raise ValueError(f"chances are 0..1: {self}")


@dataclass(frozen=True, slots=True)
class Way:
    """A link with its own latency drawn."""

    latency: float
    link: Link

    def delay(self, rng: Random) -> float:
        return self.latency * (1.0 + self.link.jitter * rng.random())


class Call:
    """A request that is out, or waits for one of the connection's slots."""

    __slots__ = ("answer", "payload", "sent")

    def __init__(self, payload: bytes, answer: "asyncio.Future[bytes]") -> None:
        self.payload = payload
        self.answer = answer
        self.sent = False

    def fail(self, reason: str) -> None:
        _fail(self.answer, RequestFailed(reason))

    def expire(self) -> None:
        self.fail("timeout" if self.sent else "busy")


class Download:
    """A body that is on its way into a buffer."""

    __slots__ = ("_end", "_patience", "_timer", "buffer", "done", "position")

    def __init__(
        self,
        buffer: memoryview,
        offset: int,
        end: int | None,
        patience: float,
        done: "asyncio.Future[None]",
    ) -> None:
        self._end = len(buffer) if end is None else end
        self.buffer = buffer
        self.position = offset
        self.done = done
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self.watch()

    def watch(self) -> None:
        """Something has come: from now on the next piece has its time."""
        self.unwatch()
        self._timer = self.done.get_loop().call_later(self._patience, self.fail, "stalled")

    def unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def fail(self, reason: str) -> None:
        _fail(self.done, TransferInterrupted(reason, self.position))

    def take(self, size: int, piece: bytes) -> None:
        """The next piece of a blob of `size` bytes."""
        if size != len(self.buffer):
            self.fail("wrong-size")
        if self.done.done():
            return
        self.buffer[self.position : self.position + len(piece)] = piece
        self.position += len(piece)
        if self.position >= self._end:
            self.done.set_result(None)
        else:
            self.watch()


def _fail(future: "asyncio.Future[bytes] | asyncio.Future[None]", error: NetworkError) -> None:
    if not future.done():
        future.set_exception(error)


class End:
    """One end of a connection. Each ends on its own: the other has to hear of it."""

    twin: "End"

    def __init__(self, owner: "SimTransport", remote: "SimTransport", outbound: bool) -> None:
        self.owner = owner
        self.remote = remote
        self.outbound = outbound
        self.way = owner.network.way(owner.peer_id, remote.peer_id)
        self.closed = False
        self.unheard = False
        """It was closed, and the other end will not be told."""
        self.silence: asyncio.TimerHandle | None = None
        """Running while the other end cannot be heard: the heartbeat's patience."""
        self.last_arrival = 0.0
        """Of what was sent from here: one connection keeps its order."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.open: dict[int, Call | Download] = {}
        self._waiting: deque[int] = deque()
        self._in_flight = 0
        self._numbered = 0

    # --- what is asked over it -------------------------------------------------------------------

    def begin(self, what: Call | Download) -> int:
        """A number for what is asked now."""
        self._numbered += 1
        self.open[self._numbered] = what
        return self._numbered

    def may_send(self, number: int) -> bool:
        """Whether a request may go out now; else it is queued, and `finish` returns it."""
        if self._in_flight >= limits.REQUESTS_IN_FLIGHT:
            self._waiting.append(number)
            return False
        self._in_flight += 1
        return True

    def finish(self, number: int) -> int | None:
        """A request is over, however it ended; the queued one that may be sent in its place."""
        call = self.open.pop(number)
        assert isinstance(call, Call), "downloads need no slot"
        if not call.sent:
            self._waiting.remove(number)
            return None
        if self._waiting and not self.closed:
            return self._waiting.popleft()
        self._in_flight -= 1
        return None

    def close(self) -> None:
        """Everything that is asked over it has failed."""
        self.closed = True
        if self.silence is not None:
            self.silence.cancel()
        for call in tuple(self.open.values()):
            call.fail("disconnected")
