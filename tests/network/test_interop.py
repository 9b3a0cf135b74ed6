"""With a stock libp2p host at the other end: its own muxer, its own identify and ping."""

import pytest
from libp2p.abc import INetStream
from libp2p.host.ping import ID as PING
from libp2p.host.ping import PING_LENGTH
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.io.utils import read_exactly

from gossipd.network import blobs, rpc
from gossipd.network.interface import PeerUnreachable
from gossipd.network.rpc import Kind
from support.network import DEADLINE, libp2p_transport, running
from support.stock import Stock, as_stock_peer, stock_server

BLOB = bytes(range(256)) * 8192
PIECES = 10**6
"""How often stock libp2p may read until it has a message whole."""


async def test_a_stock_host_can_ask_us_over_its_own_muxer() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        alice.blobs = {b"key": BLOB}
        address = alice.transport.addresses[0]

        async def story(stock: Stock) -> bytes:
            stream = await stock.open(address, rpc.PROTOCOL)
            payload = bytes(500_000)
            await stream.write(rpc.HEADER.pack(Kind.REQUEST, 7, len(payload)) + payload)
            kind, number, length = rpc.HEADER.unpack(await read_exactly(stream, rpc.HEADER.size))
            assert (kind, number) == (Kind.ANSWER, 7)
            assert await read_exactly(stream, length, PIECES) == b"echo " + payload
            stream = await stock.open(address, blobs.PROTOCOL)
            await stream.write(blobs.REQUEST.pack(3, 0, 2**63) + b"key")
            status, size = blobs.ANSWER.unpack(await read_exactly(stream, blobs.ANSWER.size))
            assert status == blobs.FOUND
            return await read_exactly(stream, size, PIECES)

        assert await as_stock_peer(story) == BLOB
        await alice.heard("connected")


async def test_we_can_ask_a_stock_host_that_serves_our_protocols() -> None:
    async def serve_rpc(stream: INetStream) -> None:
        while True:
            header = await read_exactly(stream, rpc.HEADER.size)
            kind, number, length = rpc.HEADER.unpack(header)
            payload = await read_exactly(stream, length, PIECES) if length else b""
            answer = Kind.PONG if kind == Kind.PING else Kind.ANSWER
            await stream.write(rpc.HEADER.pack(answer, number, length) + payload)

    async def serve_blob(stream: INetStream) -> None:
        while True:
            request = await read_exactly(stream, blobs.REQUEST.size + 3)
            _, start, end = blobs.REQUEST.unpack(request[: blobs.REQUEST.size])
            answer = blobs.ANSWER.pack(blobs.FOUND, len(BLOB))
            await stream.write(answer + BLOB[start:end])

    handlers = {rpc.PROTOCOL: serve_rpc, blobs.PROTOCOL: serve_blob}
    async with (
        running(libp2p_transport("alice")) as [alice],
        stock_server(handlers) as (peer, addresses),
    ):
        await alice.transport.dial(peer, addresses, DEADLINE)
        payload = bytes(500_000)
        assert await alice.transport.request(peer, payload, DEADLINE) == payload
        buffer = bytearray(len(BLOB))
        await alice.transport.fetch_blob(peer, b"key", memoryview(buffer), 0, DEADLINE)
        assert buffer == BLOB


async def test_a_foreign_host_that_speaks_nothing_of_ours_is_no_peer() -> None:
    async with running(libp2p_transport("alice")) as [alice], stock_server({}) as (peer, known):
        with pytest.raises(PeerUnreachable) as failure:
            await alice.transport.dial(peer, known, DEADLINE)
        assert failure.value.reason == "unsupported"
        assert alice.events == []


async def test_trap_19_identify_and_ping_are_answered_but_not_started() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        address = alice.transport.addresses[0]
        asked_back = 0

        async def story(stock: Stock) -> bytes:
            async def count(stream: INetStream) -> None:
                nonlocal asked_back
                asked_back += 1

            stock.host.set_stream_handler(IDENTIFY, count)
            identify = await stock.open(address, IDENTIFY)
            assert rpc.PROTOCOL.encode() in await identify.read(65536)
            ping = await stock.open(address, PING)
            await ping.write(b"p" * PING_LENGTH)
            return await read_exactly(ping, PING_LENGTH)

        assert await as_stock_peer(story) == b"p" * PING_LENGTH
        assert asked_back == 0
        assert alice.all("connected") == []
