"""The muxer alone: two of them, or one and a peer that writes frames by hand, over memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
import trio.testing
from libp2p.abc import ISecureConn
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamReset,
)

from gossipd.network.yamux.frames import (
    ACK,
    FIN,
    FRAME_BYTES,
    HEADER,
    INITIAL_WINDOW,
    NOISE_PLAINTEXT,
    RST,
    SYN,
    Frame,
    Kind,
    Parser,
    ProtocolError,
    encode,
)
from gossipd.network.yamux.muxer import STREAMS, Muxer
from gossipd.network.yamux.outbox import BATCH_BYTES, QUEUED_REPLIES
from gossipd.network.yamux.stream import LARGEST_WINDOW
from support.keys import key_from


class Wire:
    """A secured connection over memory: one `write` is a whole number of frames."""

    def __init__(self, stream: Any, is_initiator: bool) -> None:
        self._stream = stream
        self.is_initiator = is_initiator
        self.written: list[bytes] = []

    async def read(self, n: int | None = None) -> bytes:
        try:
            data = await self._stream.receive_some(n)
        except trio.ClosedResourceError:
            data = b""
        if not data:
            raise ConnectionClosedError("closed")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        self.written.append(bytes(data))
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("closed") from error

    async def close(self) -> None:
        await self._stream.aclose()

    def frames(self) -> list[Frame]:
        """The frames written so far."""
        parser = Parser()
        events = [event for data in self.written for event in parser.feed(data)]
        return [event for event in events if isinstance(event, Frame)]


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Muxer, Muxer, Wire, Wire]]:
    """Two running muxers and the wires under them."""
    left, right = trio.testing.memory_stream_pair()
    wires = Wire(left, True), Wire(right, False)
    peer = ID.from_string(key_from("peer")[1])
    one, two = (Muxer(cast(ISecureConn, wire), peer) for wire in wires)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(two.start)
        await one.event_started.wait()
        await two.event_started.wait()
        yield one, two, *wires
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def by_hand() -> AsyncIterator[tuple[Muxer, Wire]]:
    """A running muxer that answers, and the wire of a peer that opened the connection."""
    left, right = trio.testing.memory_stream_pair()
    ours, theirs = Wire(left, True), Wire(right, False)
    muxer = Muxer(cast(ISecureConn, theirs), ID.from_string(key_from("peer")[1]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await muxer.event_started.wait()
        yield muxer, ours
        nursery.cancel_scope.cancel()


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> None:
    """Run it with a clock that jumps: a wait of minutes costs nothing."""

    async def main() -> None:
        with trio.fail_after(3600):
            await story()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_one_end_writes_the_other_reads() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            await out.write(b"hello")
            back = await two.accept_stream()
            assert await back.read(3) == b"hel"
            assert await back.read() == b"lo"
            await back.write(b"yes")
            assert await out.read() == b"yes"

    in_virtual_time(story)


def test_streams_do_not_mix_and_either_side_opens_them() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            outs = [await one.open_stream() for _ in range(3)]
            back = await two.open_stream()
            for index, stream in enumerate([*outs, back]):
                await stream.write(b"%d" % index)
            accepted = [await two.accept_stream() for _ in range(3)]
            assert [await stream.read() for stream in accepted] == [b"0", b"1", b"2"]
            assert await (await one.accept_stream()).read() == b"3"

    in_virtual_time(story)


def test_a_body_of_many_windows_arrives_in_frames_of_one_noise_message() -> None:
    body = bytes(range(256)) * 20_000

    async def story() -> None:
        async with pair() as (one, two, wire, _):
            out = await one.open_stream()
            received = bytearray()

            async def drain() -> None:
                back = await two.accept_stream()
                while len(received) < len(body):
                    received.extend(await back.read(100_000))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain)
                await out.write(body)
            assert received == body
            assert NOISE_PLAINTEXT < max(len(batch) for batch in wire.written) <= BATCH_BYTES
            sizes = [frame.length for frame in wire.frames() if frame.kind is Kind.DATA]
            assert max(sizes) == FRAME_BYTES

    in_virtual_time(story)


def test_trap_17_a_window_update_is_sent_once_per_half_window() -> None:
    async def story() -> None:
        async with pair() as (one, two, _, wire):
            out = await one.open_stream()

            async def drain() -> None:
                back = await two.accept_stream()
                for _ in range(1024):
                    await back.read(1024)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain)
                for _ in range(1024):
                    await out.write(bytes(1024))
            updates = [
                frame
                for frame in wire.frames()
                if frame.kind is Kind.WINDOW_UPDATE and not frame.flags
            ]
            assert 0 < len(updates) <= 2 * 1024 * 1024 / INITIAL_WINDOW

    in_virtual_time(story)


def test_trap_20_a_writer_without_a_window_wakes_at_once_when_there_is_one() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(out.write, bytes(INITIAL_WINDOW + 1))
                back = await two.accept_stream()
                await trio.testing.wait_all_tasks_blocked()
                assert out.send_window == 0
                before = trio.current_time()
                await back.read(INITIAL_WINDOW)
                await trio.testing.wait_all_tasks_blocked()
                assert await back.read() == b"\0"
                assert trio.current_time() == before  # polling would have slept

    in_virtual_time(story)


def test_trap_10_a_reader_that_pauses_for_minutes_loses_nothing() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(out.write, bytes(2 * INITIAL_WINDOW))
                back = await two.accept_stream()
                await trio.sleep(600)
                received = 0
                while received < 2 * INITIAL_WINDOW:
                    received += len(await back.read())

    in_virtual_time(story)


def test_trap_04_a_write_that_is_cancelled_in_a_stall_harms_no_other_stream() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            stalled, other = await one.open_stream(), await one.open_stream()
            with trio.move_on_after(1) as scope:
                await stalled.write(bytes(10 * INITIAL_WINDOW))
            assert scope.cancelled_caught
            await stalled.reset()
            await other.write(b"fine")
            back = await two.accept_stream()
            assert await (await two.accept_stream()).read() == b"fine"
            while back._received:
                await back.read()
            with pytest.raises(MuxedStreamReset):
                await back.read()

    in_virtual_time(story)


def test_trap_11_any_number_of_streams_may_be_opened_one_after_the_other() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            for _ in range(600):
                out = await one.open_stream()
                await out.write(b"x")
                await out.close()
                back = await two.accept_stream()
                assert await back.read() == b"x"
                with pytest.raises(MuxedStreamEOF):
                    await back.read()
                await back.close()
            await trio.testing.wait_all_tasks_blocked()
            assert not one._streams
            assert not two._streams

    in_virtual_time(story)


def test_streams_that_nobody_accepts_are_reset_beyond_a_limit() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            streams = [await one.open_stream() for _ in range(STREAMS + 1)]
            with pytest.raises(MuxedStreamReset):
                await streams[-1].read()
            accepted = [await two.accept_stream() for _ in range(STREAMS)]
            await accepted[0].write(b"here")
            assert await streams[0].read() == b"here"

    in_virtual_time(story)


def test_each_direction_ends_on_its_own() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            await out.write(b"last words")
            await out.close()
            back = await two.accept_stream()
            assert await back.read() == b"last words"
            with pytest.raises(MuxedStreamEOF):
                await back.read()
            with pytest.raises(MuxedStreamClosed):
                await out.write(b"more")
            await back.write(b"an answer all the same")
            assert await out.read() == b"an answer all the same"

    in_virtual_time(story)


def test_the_end_of_the_connection_wakes_everybody() -> None:
    async def story() -> None:
        async with pair() as (one, two, wire, _):
            out = await one.open_stream()
            full = await one.open_stream()
            failures: list[Exception] = []

            async def expect(work: Awaitable[object]) -> None:
                try:
                    await work
                except (MuxedStreamReset, MuxedConnUnavailable) as error:
                    failures.append(error)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect, out.read())
                nursery.start_soon(expect, full.write(bytes(2 * INITIAL_WINDOW)))
                nursery.start_soon(expect, one.accept_stream())
                await trio.testing.wait_all_tasks_blocked()
                await wire.close()
            assert len(failures) == 3
            assert one.is_closed
            await two.event_closed.wait()
            await one.close()  # again, and late

    in_virtual_time(story)


def test_what_arrived_before_the_end_can_still_be_read() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            await out.write(b"the answer")
            back = await two.accept_stream()
            await one.close()
            await two.event_closed.wait()
            assert await back.read() == b"the answer"
            with pytest.raises(MuxedStreamReset):
                await back.read()

    in_virtual_time(story)


def test_frames_may_arrive_in_any_pieces() -> None:
    data = encode(Kind.DATA, SYN, 1, 5, b"hello") + encode(Kind.PING, SYN, 0, 7)

    async def story() -> None:
        async with by_hand() as (muxer, peer):
            for index in range(len(data)):
                await peer.write(data[index : index + 1])
            stream = await muxer.accept_stream()
            received = b""
            while len(received) < 5:
                received += await stream.read()
            assert received == b"hello"
            await peer.write(encode(Kind.DATA, FIN, 1, 3, b"bye"))
            assert await stream.read() == b"bye"
            with pytest.raises(MuxedStreamEOF):
                await stream.read()

    in_virtual_time(story)


def test_a_ping_is_answered_and_a_stream_is_acknowledged() -> None:
    async def story() -> None:
        async with by_hand() as (_, peer):
            await peer.write(encode(Kind.PING, SYN, 0, 42) + encode(Kind.WINDOW_UPDATE, SYN, 1, 0))
            received = b""
            while len(received) < 3 * HEADER.size:
                received += await peer.read()
            events = list(Parser().feed(received))
            assert Frame(Kind.PING, ACK, 0, 42) in events
            assert Frame(Kind.WINDOW_UPDATE, ACK, 1, 0) in events

    in_virtual_time(story)


LIES = {
    "trap 13: more than its window": encode(Kind.WINDOW_UPDATE, SYN, 1, 0)
    + encode(Kind.DATA, 0, 1, INITIAL_WINDOW + 1),
    "a frame of 4 GB": encode(Kind.DATA, SYN, 1, 2**32 - 1),
    "a frame of 4 GB for no stream": encode(Kind.DATA, 0, 9, 2**32 - 1),
    "another version": b"\x01" + encode(Kind.PING, SYN, 0, 0)[1:],
    "an unknown kind": b"\x00\x04" + bytes(10),
    "a stream number of ours": encode(Kind.WINDOW_UPDATE, SYN, 2, 0),
    "a stream twice": 2 * encode(Kind.WINDOW_UPDATE, SYN, 1, 0),
    "pings without reading the answers": (QUEUED_REPLIES + 10) * encode(Kind.PING, SYN, 0, 0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_peer_that_breaks_the_protocol_loses_its_connection(lie: str) -> None:
    async def story() -> None:
        async with by_hand() as (muxer, peer):
            await peer.write(LIES[lie])
            await muxer.event_closed.wait()

    in_virtual_time(story)


def test_small_frames_do_not_cost_more_memory_than_they_are_long() -> None:
    async def story() -> None:
        async with by_hand() as (muxer, peer):
            await peer.write(encode(Kind.WINDOW_UPDATE, SYN, 1, 0))
            stream = await muxer.accept_stream()
            await peer.write(encode(Kind.DATA, 0, 1, 1, b"x") * 10_000)
            await trio.testing.wait_all_tasks_blocked()
            assert len(stream._received) <= 4
            assert len(await stream.read()) == 10_000

    in_virtual_time(story)


def test_data_for_a_stream_that_was_given_up_is_dropped() -> None:
    async def story() -> None:
        async with by_hand() as (muxer, peer):
            await peer.write(encode(Kind.WINDOW_UPDATE, SYN, 1, 0))
            stream = await muxer.accept_stream()
            await stream.reset()
            await peer.write(encode(Kind.DATA, 0, 1, 4, b"late"))
            await peer.write(encode(Kind.WINDOW_UPDATE, RST, 1, 0))
            await peer.write(encode(Kind.DATA, SYN, 3, 4, b"next"))
            assert await (await muxer.accept_stream()).read() == b"next"

    in_virtual_time(story)


def test_a_window_that_limits_the_speed_grows_up_to_its_largest() -> None:
    async def story() -> None:
        async with pair() as (one, two, *_):
            out = await one.open_stream()
            await trio.testing.wait_all_tasks_blocked()
            two.round_trip = 0.1  # seconds: a far peer

            async def drain() -> None:
                back = await two.accept_stream()
                received = 0
                while received < 8 * LARGEST_WINDOW:
                    received += len(await back.read(65536))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain)
                await out.write(bytes(8 * LARGEST_WINDOW))
            await trio.testing.wait_all_tasks_blocked()
            assert LARGEST_WINDOW / 2 <= out.send_window <= LARGEST_WINDOW

    in_virtual_time(story)


def test_the_parser_stops_at_nonsense() -> None:
    with pytest.raises(ProtocolError):
        list(Parser().feed(b"GET / HTTP/1.1\r\n\r\n"))
