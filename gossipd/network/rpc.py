"""Requests and answers on one long-lived stream per direction, several in flight.

A frame is kind (1 byte), request id (4), length (4), payload. The side that opened the stream sends
REQUEST and PING, the other ANSWER, FAILED (a reason token) and PONG. The length is checked before a
byte of the payload is read.
"""

import enum
import logging
import struct
from collections.abc import Awaitable, Callable

import trio

from gossipd.network.interface import RequestFailed
from gossipd.network.pipe import Pipe, PipeBroken, PipeStalled
from gossipd.wire import limits

log = logging.getLogger(__name__)

PROTOCOL = "/gossipd/1/rpc"
HEADER = struct.Struct("!BII")
REASON_BYTES = 64
ANSWER_SECONDS = 60.0
"""How long a request may be worked on before it is given up. Ours."""

BYTES_IN_FLIGHT = 4 * limits.MESSAGE_BYTES
"""Of one peer's requests that are being worked on. Ours: honest requests are small."""

_NO_BYTES = 0
_OUTBOX = 2 * limits.REQUESTS_IN_FLIGHT
REASONS = frozenset({"too-large", "busy", "failed"})
"""What the other side may say about a request it did not answer."""


class Kind(enum.IntEnum):
    REQUEST = 1
    ANSWER = 2
    FAILED = 3
    PING = 4
    PONG = 5


_LONGEST = {
    Kind.REQUEST: limits.MESSAGE_BYTES,
    Kind.ANSWER: limits.MESSAGE_BYTES,
    Kind.FAILED: REASON_BYTES,
    Kind.PING: _NO_BYTES,
    Kind.PONG: _NO_BYTES,
}


class ProtocolViolation(Exception):
    """The other side sent what no honest peer sends; the reason names a counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def _read_frame(
    pipe: Pipe, expected: frozenset[Kind], stall: float
) -> tuple[Kind, int, bytes]:
    code, number, length = HEADER.unpack(await pipe.read(HEADER.size))
    if code not in expected:
        raise ProtocolViolation("malformed")
    kind = Kind(code)
    if length > _LONGEST[kind]:
        raise ProtocolViolation("too-large")
    return kind, number, await pipe.read(length, stall) if length else b""


class _Waiter:
    """One request whose answer has not come yet."""

    __slots__ = ("done", "failure", "payload")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.payload = b""
        self.failure: str | None = None

    def settle(self, payload: bytes, failure: str | None = None) -> None:
        self.payload, self.failure = payload, failure
        self.done.set()


class RpcClient:
    """The asking end. `run` must be running for the other methods to get answers."""

    def __init__(self, pipe: Pipe, stall: float) -> None:
        self._pipe = pipe
        self._stall = stall
        self._waiting: dict[int, _Waiter] = {}
        self._number = 0
        self._slots = trio.Semaphore(limits.REQUESTS_IN_FLIGHT)
        self._outbox, self._outgoing = trio.open_memory_channel[bytes](_OUTBOX)
        self._ended = False
        self._stalled = False

    async def run(self) -> str:
        """Until the stream ends: "closed" or "stalled". Raises ProtocolViolation."""
        violation: ProtocolViolation | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                try:
                    await self._read()
                except ProtocolViolation as error:
                    violation = error
                nursery.cancel_scope.cancel()
        finally:
            self._ended = True
            for waiter in self._waiting.values():
                waiter.settle(b"", "disconnected")
        if violation is not None:
            raise violation
        return "stalled" if self._stalled else "closed"

    async def request(self, payload: bytes, timeout: float) -> bytes:
        """The answer; RequestFailed."""
        deadline = trio.current_time() + timeout
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_at(deadline) as waiting:
                await self._slots.acquire()
            if waiting.cancelled_caught:
                busy = f"{limits.REQUESTS_IN_FLIGHT} requests are in flight"
                raise RequestFailed("busy", busy) from None
        try:
            return await self._exchange(Kind.REQUEST, payload, deadline)
        finally:
            self._slots.release()

    async def ping(self, timeout: float) -> float:
        """Seconds there and back; RequestFailed."""
        started = trio.current_time()
        await self._exchange(Kind.PING, b"", started + timeout)
        return trio.current_time() - started

    async def _exchange(self, kind: Kind, payload: bytes, deadline: float) -> bytes:
        if self._ended:
            raise RequestFailed("disconnected")
        self._number = (self._number + 1) % 2**32
        number, waiter = self._number, _Waiter()
        self._waiting[number] = waiter
        try:
            with trio.fail_at(deadline):
                frame = HEADER.pack(kind, number, len(payload)) + payload
                if not self._pipe.write_at_once(frame):
                    await self._outbox.send(frame)
                await waiter.done.wait()
        except trio.TooSlowError:
            raise RequestFailed("timeout") from None
        finally:
            del self._waiting[number]
        if waiter.failure is not None:
            raise RequestFailed(waiter.failure)
        return waiter.payload

    async def _write(self, everything: trio.CancelScope) -> None:
        try:
            async for frame in self._outgoing:
                await self._pipe.write(frame)
        except PipeBroken:
            pass  # the reader sees the end of the stream
        except PipeStalled:
            self._stalled = True
            everything.cancel()

    async def _read(self) -> None:
        expected = frozenset({Kind.ANSWER, Kind.FAILED, Kind.PONG})
        while True:
            try:
                kind, number, payload = await _read_frame(self._pipe, expected, self._stall)
            except PipeBroken:
                return
            except PipeStalled:
                self._stalled = True
                return
            waiter = self._waiting.get(number)
            if waiter is None:
                continue  # it came too late: nobody waits any longer
            reason = payload.decode("ascii", "replace") if kind is Kind.FAILED else None
            if reason is not None and reason not in REASONS:
                reason = "malformed"
            waiter.settle(payload, reason)


class RpcServer:
    """The answering end of one stream."""

    def __init__(
        self, pipe: Pipe, answer: Callable[[bytes], Awaitable[bytes | None]], stall: float
    ) -> None:
        """`answer` gives None when the request failed on our side, whatever the cause."""
        self._pipe = pipe
        self._answer = answer
        self._stall = stall
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._stalled = False

    async def run(self) -> str:
        """Until the stream ends: "closed" or "stalled". Raises ProtocolViolation."""
        violation: ProtocolViolation | None = None
        async with trio.open_nursery() as nursery:
            try:
                while True:
                    await self._next(nursery)
            except PipeBroken:
                pass
            except PipeStalled:
                self._stalled = True
            except ProtocolViolation as error:
                violation = error
            nursery.cancel_scope.cancel()
        if violation is not None:
            raise violation
        return "stalled" if self._stalled else "closed"

    async def _next(self, nursery: trio.Nursery) -> None:
        expected = frozenset({Kind.REQUEST, Kind.PING})
        kind, number, payload = await _read_frame(self._pipe, expected, self._stall)
        if kind is Kind.PING:
            await self._pipe.write(HEADER.pack(Kind.PONG, number, 0))
        elif self._is_busy(len(payload)):
            await self._fail(number, "busy")
        else:
            self._in_flight += 1
            self._bytes_in_flight += len(payload)
            nursery.start_soon(self._serve, number, payload, nursery.cancel_scope)

    def _is_busy(self, size: int) -> bool:
        too_many = self._in_flight >= limits.REQUESTS_IN_FLIGHT
        return too_many or self._bytes_in_flight + size > BYTES_IN_FLIGHT

    async def _serve(self, number: int, payload: bytes, everything: trio.CancelScope) -> None:
        answer: bytes | None = None
        with trio.move_on_after(ANSWER_SECONDS):
            answer = await self._answer(payload)
        try:
            if answer is None:
                await self._fail(number, "failed")
            elif len(answer) > limits.MESSAGE_BYTES:
                log.error("an answer of %d bytes exceeds the limit", len(answer))
                await self._fail(number, "too-large")
            else:
                await self._pipe.write(HEADER.pack(Kind.ANSWER, number, len(answer)) + answer)
        except PipeBroken:
            pass  # the reader sees the end of the stream
        except PipeStalled:
            self._stalled = True
            everything.cancel()
        self._in_flight -= 1
        self._bytes_in_flight -= len(payload)

    async def _fail(self, number: int, reason: str) -> None:
        payload = reason.encode()
        await self._pipe.write(HEADER.pack(Kind.FAILED, number, len(payload)) + payload)
