"""The shaping proxy, measured: what goes in at one end comes out at the other as it was ordered."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from gossipd_scenarios.real.links import Links, Shape
from gossipd_scenarios.real.proxy import NO_LINGER, Side
from gossipd_scenarios.real.shaping import Conditions
from support.fleet import left_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def links(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Links]:
    async with Links(tmp_path_factory.mktemp("proxy") / "proxy.log", seed=7) as links:
        yield links


class Line:
    """Two ends of a connection from ann to ben, over fresh links of these names."""

    def __init__(self, links: Links, name: str) -> None:
        self.links = links
        self.there, self.back = (f"{name}-a", f"{name}-b"), (f"{name}-b", f"{name}-a")
        self._accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self._streams: list[Stream] = []

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.target = int(self._server.sockets[0].getsockname()[1])
        self.port = await self.links.open(*self.there)
        await self.links.moved(self.there[1], self.target)
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted.put_nowait((reader, writer))

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:
            stream[1].close()
        self._server.close()

    async def dial(self) -> Stream:
        """The source's end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._streams.append((reader, writer))
        return reader, writer

    async def dial_and_read(self) -> bytes:
        reader, _ = await self.dial()
        return await asyncio.wait_for(reader.read(), SECONDS)

    async def connect(self) -> tuple[Stream, Stream]:
        """Both ends."""
        dialled = await self.dial()
        async with asyncio.timeout(SECONDS):
            accepted = await self._accepted.get()
        self._streams.append(accepted)
        return dialled, accepted

    @property
    def accepted(self) -> int:
        return self._accepted.qsize()

    async def shape(self, conditions: Conditions, *, back: bool = True) -> None:
        pairs = [self.there, self.back] if back else [self.there]
        await self.links.shape(Shape(pairs, conditions))


async def arrives(source: Stream, target: Stream, data: bytes) -> float:
    """Seconds from the first byte written to the last one read, which are the same bytes."""
    began = time.monotonic()
    source[1].write(data)
    async with asyncio.timeout(SECONDS):
        assert await target[0].readexactly(len(data)) == data
    return time.monotonic() - began


async def test_a_perfect_line_carries_everything_both_ways(links: Links) -> None:
    async with Line(links, "perfect") as line:
        ann, ben = await line.connect()
        big = bytes(range(256)) * 16_384
        await asyncio.gather(arrives(ann, ben, big), arrives(ben, ann, big))
        ann[1].write(b"last words")
        ann[1].write_eof()
        assert await asyncio.wait_for(ben[0].read(), SECONDS) == b"last words"
        assert await arrives(ben, ann, b"a half-closed line still answers") < 5.0
        ben[1].write_eof()
        assert await asyncio.wait_for(ann[0].read(), SECONDS) == b""


async def test_delay_is_per_direction(links: Links) -> None:
    async with Line(links, "delay") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(delay=0.2), back=False)
        there = min([await arrives(ann, ben, b"there") for _ in range(3)])
        back = min([await arrives(ben, ann, b"back") for _ in range(3)])
        assert 0.2 <= there < 0.35
        assert back < 0.1


async def test_jitter_spreads_the_delay_and_keeps_the_order(links: Links) -> None:
    async with Line(links, "jitter") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(delay=0.03, jitter=0.03))
        times = [await arrives(ann, ben, bytes([number])) for number in range(15)]
        assert max(times) - min(times) > 0.01
        for number in range(50):
            ann[1].write(bytes([number]))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(ben[0].readexactly(50), SECONDS) == bytes(range(50))


async def test_rate_is_what_arrives_per_second(links: Links) -> None:
    async with Line(links, "rate") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(rate=100_000), back=False)
        data = bytes(50_000)
        assert 0.45 <= await arrives(ann, ben, data) < 1.0
        assert await arrives(ben, ann, data) < 0.2


async def test_the_connections_of_a_link_share_its_rate(links: Links) -> None:
    async with Line(links, "shared") as line:
        pairs = [await line.connect() for _ in range(2)]
        await line.shape(Conditions(rate=100_000))
        data = bytes(25_000)
        assert max(await asyncio.gather(*(arrives(a, b, data) for a, b in pairs))) > 0.45


async def test_the_lines_of_a_sender_share_its_rate_if_they_are_told_to(links: Links) -> None:
    async with Line(links, "one") as one, Line(links, "two") as two:
        port = await links.open(one.there[0], two.there[1])
        two.port = port
        pairs = [await one.connect(), await two.connect()]
        shared = [one.there, (one.there[0], two.there[1])]
        await links.shape(Shape(shared, Conditions(rate=100_000)))
        data = bytes(25_000)
        assert max(await asyncio.gather(*(arrives(a, b, data) for a, b in pairs))) > 0.45


async def test_a_slow_line_holds_its_sender_back(links: Links) -> None:
    async with Line(links, "slow") as line:
        ann, _ = await line.connect()
        await line.shape(Conditions(rate=10_000))
        before = psutil.Process(links.pid).memory_info().rss
        ann[1].write(bytes(32 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ann[1].drain(), 0.5)
        assert psutil.Process(links.pid).memory_info().rss - before < 4 * 1024 * 1024
        ann[1].transport.abort()


async def test_loss_stalls(links: Links) -> None:
    async with Line(links, "loss") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(loss=1.0))
        assert 0.2 <= await arrives(ann, ben, b"sent again") < 0.4
        await line.shape(Conditions(loss=0.2))
        assert await arrives(ann, ben, bytes(200_000)) > 0.19


async def test_resets_break_the_connection(links: Links) -> None:
    async with Line(links, "resets") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(resets=1.0))
        ann[1].write(b"never there")
        for reader, _ in (ann, ben):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(reader.read(), SECONDS)


async def test_a_cut_resets_and_refuses_until_it_is_healed(links: Links) -> None:
    async with Line(links, "cut") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(state="cut"), back=False)
        for reader, _ in (ann, ben):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(reader.read(), SECONDS)
        with pytest.raises(ConnectionError):
            await line.dial_and_read()
        assert line.accepted == 0
        await line.shape(Conditions())
        ann, ben = await line.connect()
        await arrives(ann, ben, b"healed")


async def test_a_black_hole_says_nothing_and_gives_back_what_waited(links: Links) -> None:
    async with Line(links, "hole") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(state="black-hole"), back=False)
        ann[1].write(b"into the dark")
        newcomer = await line.dial()
        newcomer[1].write(b"hello?")
        for reader, _ in (ann, ben, newcomer):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
        assert await arrives(ben, ann, b"this way is open") < 5.0
        assert line.accepted == 0
        await line.shape(Conditions())
        assert await asyncio.wait_for(ben[0].readexactly(13), SECONDS) == b"into the dark"


async def test_who_gives_up_in_a_black_hole_is_missed_after_it(links: Links) -> None:
    async with Line(links, "given-up") as line:
        ann, ben = await line.connect()
        await line.shape(Conditions(state="black-hole"))
        ann[1].close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ben[0].read(1), 0.2)
        await line.shape(Conditions())
        assert await asyncio.wait_for(ben[0].read(1), SECONDS) == b""


class Ends:
    """A connection that only takes note of its side."""

    def __init__(self) -> None:
        self.lost_sides: list[Side] = []

    def arrived(self, side: Side) -> None:
        """It stands: reading stays paused."""

    def lost(self, side: Side) -> None:
        self.lost_sides.append(side)


async def test_the_end_of_a_line_that_has_just_been_reset_harms_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop = asyncio.get_running_loop()
        _, side = await loop.create_connection(
            lambda: Side(Ends()),  # type: ignore[arg-type]
            *server.getsockname(),
        )
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        accepted.close()
        # Nothing has run meanwhile that could have told the transport.
        side.finish()
        side.transport.abort()


async def test_a_target_that_is_not_there_is_as_without_a_proxy(links: Links) -> None:
    async with Line(links, "moved") as line:
        line._server.close()
        with pytest.raises(ConnectionError):
            await line.dial_and_read()
        async with Line(links, "elsewhere") as other:
            await links.moved(line.there[1], other.target)
            await line.dial()
            await asyncio.wait_for(other._accepted.get(), SECONDS)


async def test_it_ends_with_its_engine(tmp_path: Path) -> None:
    async with Links(tmp_path / "log") as links:
        await links.open("a", "b")
        process = psutil.Process(links.pid)
        links._writer.close()
        assert await asyncio.to_thread(left_of, [process]) == []
    assert (tmp_path / "log").read_text() == ""
