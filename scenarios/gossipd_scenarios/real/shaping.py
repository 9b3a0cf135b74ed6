"""What a link does to the bytes of a TCP connection: delay, rate, loss, silence.

A lane carries one direction of one connection. It keeps TCP's promises, as the two ends see them
over a bad network: bytes come late but in order, or the connection breaks. So a lost packet is not
missing bytes but a stall (the time of a retransmission, during which everything behind it waits),
and a black hole holds the bytes back until it ends or either side gives up.
"""

import asyncio
import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

PACKET_BYTES = 1448
"""Payload of a TCP packet on Ethernet with timestamps: what is lost is lost by this much."""
RETRANSMISSION_SECONDS = 0.2
"""Linux's shortest retransmission time-out (TCP_RTO_MIN)."""
QUEUE_BYTES = 64 * 1024
"""What a lane with a rate holds beyond what is under way, before it stops reading; ours, a home
router's buffer."""
ENDLESS_BYTES = 4 * 1024 * 1024
"""The same for a line without a rate: Linux's largest window of a sender (net.ipv4.tcp_wmem)."""
PIECE_SECONDS = 0.01
"""A limited line delivers in pieces of so long; ours, finer than any deadline of the daemon."""
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Conditions:
    """One direction between two nodes. The default is a perfect line."""

    delay: float = 0.0
    """Seconds from one end to the other."""
    jitter: float = 0.0
    """Seconds: each piece takes up to so much longer, uniformly; bytes never overtake."""
    loss: float = 0.0
    """Share of packets that are lost and sent again: a stall of a retransmission each."""
    resets: float = 0.0
    """Share of packets that break their connection."""
    rate: float = 0.0
    """Bytes per second of the uplink, which several links may share; 0: no limit."""
    state: Literal["open", "cut", "black-hole"] = "open"
    """cut: connections are reset and refused. black-hole: nothing arrives, nothing is said."""

    @property
    def perfect(self) -> bool:
        return self == PERFECT

    @property
    def stall(self) -> float:
        """Seconds that a lost packet costs: until it is missed a round trip, or TCP's least."""
        return max(RETRANSMISSION_SECONDS, 2 * (self.delay + self.jitter))


PERFECT = Conditions()


@dataclass(slots=True)
class Uplink:
    """What the links of one sender share when their rate is one."""

    free_at: float = 0.0
    """When the last byte accepted so far has left the sender, in the loop's time."""


class Link:
    """One direction between two nodes, shared by all their connections."""

    def __init__(self, rng: Random) -> None:
        self.conditions = PERFECT
        self.rng = rng
        self.uplink = Uplink()
        self.changed: set[Callable[[], None]] = set()
        """Called after the conditions have changed."""

    def set(self, conditions: Conditions, uplink: Uplink) -> None:
        self.conditions = conditions
        self.uplink = uplink
        for tell in tuple(self.changed):
            tell()


class Mark(enum.Enum):
    """What a lane carries beside bytes."""

    END = "the sender has closed its side"
    BREAK = "the sender's connection broke"


class Lane:
    """One direction of one connection: `feed` at one end, `write` and so on at the other."""

    def __init__(
        self,
        link: Link,
        write: Callable[[bytes], None],
        finish: Callable[[], None],
        reset: Callable[[], None],
        read_on: Callable[[bool], None],
    ) -> None:
        """`write(data)`, `finish()` (no more comes), `reset()` (the connection breaks) act on the
        receiver; `read_on(whether)` on the sender, where bytes wait when they are not read."""
        self._link = link
        self._write = write
        self._finish = finish
        self._reset = reset
        self._read_on = read_on
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | Mark]] = deque()
        self._queued = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = False
        self._reading = True
        link.changed.add(self._deliver)

    def feed(self, data: bytes) -> None:
        """Bytes arrived from the sender."""
        conditions = self._link.conditions
        if conditions.perfect and not self._queue:
            self._write(data)
            return
        for piece in _pieces(data, conditions):
            if conditions.resets and self._hit(conditions.resets, piece):
                self._reset()
                return
            self._queue.append((self._due(piece, conditions), piece))
            self._queued += len(piece)
        self._pace()
        self._deliver()

    def end(self, mark: Mark = Mark.END) -> None:
        """The sender has ended: told to the receiver after everything else."""
        self._queue.append((self._due(b"", self._link.conditions), mark))
        self._deliver()

    def block(self, blocked: bool) -> None:
        """The receiver reads too slowly, or reads again."""
        self._blocked = blocked
        self._pace()
        self._deliver()

    def close(self) -> None:
        """Forget what is under way."""
        self._link.changed.discard(self._deliver)
        self._queue.clear()
        self._queued = 0
        if self._timer is not None:
            self._timer.cancel()

    def _due(self, piece: bytes, conditions: Conditions) -> float:
        due = self._loop.time()
        if conditions.rate:
            uplink = self._link.uplink
            due = uplink.free_at = max(due, uplink.free_at) + len(piece) / conditions.rate
        due += conditions.delay + self._link.rng.uniform(0.0, conditions.jitter)
        if conditions.loss and self._hit(conditions.loss, piece):
            due += conditions.stall
        self._last_due = max(due, self._last_due)
        return self._last_due

    def _hit(self, share: float, piece: bytes) -> bool:
        """Whether any of the packets that the piece takes is unlucky."""
        packets = math.ceil(len(piece) / PACKET_BYTES)
        return self._link.rng.random() < 1 - (1 - share) ** packets

    def _deliver(self) -> None:
        """Hand over what is due, and come again for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._link.conditions.state != "open":
            return
        now = self._loop.time()
        while self._queue and not self._blocked:
            due, piece = self._queue[0]
            if due > now:
                self._timer = self._loop.call_at(due, self._deliver)
                break
            self._queue.popleft()
            if isinstance(piece, bytes):
                self._queued -= len(piece)
                self._write(piece)
            elif piece is Mark.END:
                self._finish()
            else:
                self._reset()
        self._pace()

    def _pace(self) -> None:
        """Read on as long as no more is held than the line itself holds, and a router's buffer."""
        conditions = self._link.conditions
        room: float = ENDLESS_BYTES
        if conditions.rate:
            room = QUEUE_BYTES + conditions.rate * (conditions.delay + conditions.jitter)
        reading = not self._blocked and self._queued < room
        if reading != self._reading:
            self._reading = reading
            self._read_on(reading)


def _pieces(data: bytes, conditions: Conditions) -> list[bytes]:
    size = PIECE_BYTES
    if conditions.rate:
        size = min(size, max(PACKET_BYTES, int(conditions.rate * PIECE_SECONDS)))
    elif conditions.loss or conditions.resets:
        size = PACKET_BYTES * 8
    return [data[start : start + size] for start in range(0, len(data), size)]
