"""Peers and strangers that mean harm: each is refused, counted, and harms nobody else."""

import asyncio
import contextlib
import struct

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.utils import read_exactly

from gossipd.network import blobs, rpc
from gossipd.network.interface import PeerUnreachable, RequestFailed, TransferInterrupted
from gossipd.network.rpc import Kind
from gossipd.network.streams import STREAMS_PER_CONNECTION
from gossipd.wire import limits
from support.network import DEADLINE, TIMEOUT, Node, libp2p_transport, port_of, running
from support.stock import Stock, as_stock_peer, read_to_end, stock_server

BLOB = bytes(range(256)) * 4096


async def assert_unharmed(node: Node) -> None:
    """An honest peer gets in and gets its answers, and nothing had to be started again."""
    async with running(libp2p_transport("an honest peer")) as [honest]:
        await honest.transport.dial(node.id, node.transport.addresses, DEADLINE)
        node.blobs = {**node.blobs, b"honest": BLOB}
        assert await honest.request(node, b"well") == b"echo well"
        assert await honest.fetch(node, b"honest", len(BLOB)) == BLOB
    assert node.transport.counters()["restarts"] == 0


async def test_a_plaintext_dialler_is_refused() -> None:
    async with running(libp2p_transport("alice")) as [alice]:

        async def story(stock: Stock) -> None:
            with pytest.raises(BaseLibp2pError):
                await stock.connect(alice.transport.addresses[0])

        await as_stock_peer(story, plaintext=True)
        await alice.heard("refused", "127.0.0.1", "handshake")
        await assert_unharmed(alice)


GARBAGE = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x13/multistream/1.0.0\n" + b"\x07/noise\n" + b"\xff\xff" + bytes(100),
    b"\x13/multistream/1.0.0\n" + b"\x07/noise\n" + struct.pack("!H", 32) + bytes(32),
    b"\x13/multistream/1.0.0\n" + 50 * b"\x03no\n",
    b"\x05\xff\xfe\xfd\xfc\n",
    bytes(range(256)) * 100,
]


async def test_a_thousand_connections_of_garbage_harm_nothing() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        port = port_of(alice)
        at_a_time = asyncio.Semaphore(50)

        async def throw(garbage: bytes) -> None:
            async with at_a_time:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(garbage)
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
                except OSError:
                    pass  # thrown out before it could say all

        await asyncio.gather(*(throw(GARBAGE[i % len(GARBAGE)]) for i in range(1000)))
        await assert_unharmed(alice)
        assert len(alice.all("refused")) >= 900


async def test_frames_that_lie_about_their_length_cost_the_connection() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        frames = {
            "too-large": rpc.HEADER.pack(Kind.REQUEST, 1, 2**32 - 1),
            "malformed": rpc.HEADER.pack(99, 1, 10),
        }
        for reason, frame in frames.items():

            async def story(stock: Stock, frame: bytes = frame) -> None:
                stream = await stock.open(alice.transport.addresses[0], rpc.PROTOCOL)
                await stream.write(frame + bytes(1000))
                await read_to_end(stream)

            await as_stock_peer(story)
            peer = (await alice.heard("disconnected", times=len(alice.all("connected"))))[1]
            await alice.heard("refused", peer, reason)
            assert alice.all("disconnected", peer, "violation")
        await assert_unharmed(alice)


async def test_an_answer_where_a_request_belongs_costs_the_connection() -> None:
    async with running(libp2p_transport("alice")) as [alice]:

        async def story(stock: Stock) -> None:
            stream = await stock.open(alice.transport.addresses[0], rpc.PROTOCOL)
            await stream.write(rpc.HEADER.pack(Kind.ANSWER, 1, 0))
            await read_to_end(stream)

        await as_stock_peer(story)
        await alice.heard("disconnected")
        await assert_unharmed(alice)


async def test_a_peer_that_opens_streams_without_end_is_disconnected() -> None:
    async with running(libp2p_transport("alice")) as [alice]:

        async def story(stock: Stock) -> None:
            peer = await stock.connect(alice.transport.addresses[0])
            network = stock.host.get_network()
            with contextlib.suppress(BaseLibp2pError):  # until it is thrown out
                for _ in range(10 * STREAMS_PER_CONNECTION):
                    stream = await network.new_stream(peer)
                    await stream.write(b"\x13/multistream/1.0.0\n")
                await read_to_end(stream)

        await as_stock_peer(story)
        refusal = await alice.heard("refused")
        assert refusal[2] == "too-many-streams"
        await assert_unharmed(alice)


async def test_a_peer_that_stops_reading_a_blob_holds_nobody_up() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        alice.blobs = {b"big": bytes(64 * limits.MIB)}
        address = alice.transport.addresses[0]

        async def story(stock: Stock) -> None:
            questions = await stock.open(address, rpc.PROTOCOL)
            bulk = await stock.open(address, blobs.PROTOCOL)
            await bulk.write(blobs.REQUEST.pack(3, 0, 2**63) + b"big")
            await read_exactly(bulk, blobs.ANSWER.size)
            await questions.write(rpc.HEADER.pack(Kind.REQUEST, 1, 2) + b"hi")
            answer = await read_exactly(questions, rpc.HEADER.size + 7)
            assert answer.endswith(b"echo hi")
            await trio.sleep(2 * TIMEOUT)
            assert len(await read_to_end(bulk)) < limits.MIB  # what was on its way

        await asyncio.gather(as_stock_peer(story), assert_unharmed(alice))
        assert alice.transport.counters()["streams-stalled"] == 1


async def test_trap_13_a_peer_that_sends_beyond_its_window_is_disconnected() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        alice.blobs = {b"big": bytes(64 * limits.MIB)}

        async def story(stock: Stock) -> int:
            bulk = await stock.open(alice.transport.addresses[0], blobs.PROTOCOL)
            await bulk.write(blobs.REQUEST.pack(3, 0, 2**63) + b"big")
            await read_exactly(bulk, blobs.ANSWER.size)
            bulk.muxed_stream.send_window = 2**40  # type: ignore[attr-defined]
            sent = 0
            try:
                while sent < 50 * limits.MIB:
                    await bulk.write(bytes(65536))
                    sent += 65536
            except BaseLibp2pError:
                pass
            return sent

        assert await as_stock_peer(story) < 50 * limits.MIB
        await alice.heard("disconnected")
        await assert_unharmed(alice)


async def test_an_announced_blob_of_ten_gigabytes_is_refused_unread() -> None:
    async def serve_rpc(stream: INetStream) -> None:
        await read_to_end(stream)

    async def serve_blob(stream: INetStream) -> None:
        await read_exactly(stream, blobs.REQUEST.size + 3)
        await stream.write(blobs.ANSWER.pack(blobs.FOUND, 10 * 1024**3))
        await read_to_end(stream)

    handlers = {rpc.PROTOCOL: serve_rpc, blobs.PROTOCOL: serve_blob}
    async with (
        running(libp2p_transport("alice")) as [alice],
        stock_server(handlers) as (peer, addresses),
    ):
        await alice.transport.dial(peer, addresses, DEADLINE)
        buffer = memoryview(bytearray(1000))
        with pytest.raises(TransferInterrupted) as interruption:
            await alice.transport.fetch_blob(peer, b"key", buffer, 0, DEADLINE)
        assert interruption.value.reason == "wrong-size"
        await assert_unharmed(alice)


async def test_a_blob_longer_than_announced_spills_into_nothing() -> None:
    async def serve_rpc(stream: INetStream) -> None:
        await read_to_end(stream)

    async def serve_blob(stream: INetStream) -> None:
        await read_exactly(stream, blobs.REQUEST.size + 3)
        await stream.write(blobs.ANSWER.pack(blobs.FOUND, 10) + b"0123456789" + b"spill" * 1000)
        await read_to_end(stream)

    handlers = {rpc.PROTOCOL: serve_rpc, blobs.PROTOCOL: serve_blob}
    async with (
        running(libp2p_transport("alice")) as [alice],
        stock_server(handlers) as (peer, addresses),
    ):
        await alice.transport.dial(peer, addresses, DEADLINE)
        buffer = bytearray(10)
        await alice.transport.fetch_blob(peer, b"key", memoryview(buffer), 0, DEADLINE)
        assert buffer == b"0123456789"
        with pytest.raises(TransferInterrupted) as interruption:
            await alice.transport.fetch_blob(peer, b"key", memoryview(buffer), 0, DEADLINE)
        assert interruption.value.reason in ("malformed", "wrong-size")
        assert buffer == b"0123456789"


async def test_a_peer_that_never_answers_is_disconnected() -> None:
    async def serve_rpc(stream: INetStream) -> None:
        await read_to_end(stream)

    async with (
        running(libp2p_transport("alice")) as [alice],
        stock_server({rpc.PROTOCOL: serve_rpc}) as (peer, addresses),
    ):
        await alice.transport.dial(peer, addresses, DEADLINE)
        with pytest.raises(RequestFailed) as failure:
            await alice.transport.request(peer, b"?", DEADLINE)
        assert failure.value.reason == "disconnected"
        await alice.heard("disconnected", peer, "heartbeat")


async def test_a_host_that_pretends_to_be_another_is_not_connected() -> None:
    async with running(libp2p_transport("alice")) as [alice], stock_server({}) as (_, addresses):
        other = Node(libp2p_transport("bob")).id
        address = addresses[0].rpartition("/p2p/")[0]
        with pytest.raises(PeerUnreachable) as failure:
            await alice.transport.dial(other, [address], DEADLINE)
        assert failure.value.reason == "wrong-peer"
