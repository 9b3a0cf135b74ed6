"""Noise messages many at once: the same bytes on the wire, whole, in order, and not one too few."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from noise.exceptions import NoiseInvalidMessage  # type: ignore[import-untyped]

from gossipd.network.noise import BatchedNoise
from gossipd.network.sockets import BufferedTCPStream

TAG = bytes(16)


class Cipher:
    """Takes the place of a session's keys: a tag, and the order of messages."""

    def __init__(self) -> None:
        self.sealed = self.opened = 0

    def encrypt(self, data: bytes) -> bytes:
        self.sealed += 1
        return bytes([self.sealed % 256]) + data + TAG[1:]

    def decrypt(self, data: bytes) -> bytes:
        self.opened += 1
        if data[0] != self.opened % 256:
            raise NoiseInvalidMessage("out of order")
        return data[1:-15]


Pair = tuple[Any, Any, BufferedTCPStream, BufferedTCPStream]


def over_a_socket(kind: type, story: Callable[[Pair], Awaitable[None]]) -> None:
    """A story of one who writes with `kind` and one who reads with BatchedNoise."""

    async def run() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        ours = await trio.open_tcp_stream("127.0.0.1", port)
        theirs = await listeners[0].accept()
        sockets = [BufferedTCPStream(ours), BufferedTCPStream(theirs)]
        one = kind(RawConnection(sockets[0], True), cast(Any, Cipher()))
        two = BatchedNoise(RawConnection(sockets[1], False), cast(Any, Cipher()))
        with trio.fail_after(10):
            await story((one, two, sockets[0], sockets[1]))
        await ours.aclose()
        await theirs.aclose()
        await listeners[0].aclose()

    trio.run(run)


@pytest.mark.parametrize("kind", [BatchedNoise, NoiseTransportReadWriter])
@pytest.mark.parametrize("size", [1, MAX_PLAINTEXT_LENGTH, MAX_PLAINTEXT_LENGTH + 1, 1_000_000])
def test_what_one_side_writes_the_other_reads(kind: type, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)

    async def story(pair: Pair) -> None:
        one, two, *_ = pair
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.write_msg, data)
            while len(received) < size:
                received += await two.read_msg()
        assert received == data

    over_a_socket(kind, story)


def test_it_makes_as_few_messages_as_there_can_be() -> None:
    async def story(pair: Pair) -> None:
        one, two, *_ = pair
        size = 3 * MAX_PLAINTEXT_LENGTH + 5
        read = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.write_msg, bytes(size))
            while read < size:
                read += len(await two.read_msg())
        assert one.noise_state.sealed == math.ceil(size / MAX_PLAINTEXT_LENGTH)

    over_a_socket(BatchedNoise, story)


def test_small_messages_that_have_arrived_are_read_together() -> None:
    async def story(pair: Pair) -> None:
        one, two, *_ = pair
        for number in range(100):
            await one.write_msg(bytes([number]))
        received = b""
        reads = 0
        while len(received) < 100:
            received += await two.read_msg()
            reads += 1
        assert received == bytes(range(100))
        assert reads < 50

    over_a_socket(BatchedNoise, story)


def test_a_message_that_was_changed_on_its_way_opens_nothing_behind_it() -> None:
    async def story(pair: Pair) -> None:
        one, two, socket, _ = pair
        await socket.write(b"\x00\x11\x07" + bytes(16))
        await one.write_msg(b"never read")
        with pytest.raises(NoiseInvalidMessage):
            await two.read_msg()

    over_a_socket(BatchedNoise, story)


def test_an_end_in_the_middle_of_a_message_is_an_end() -> None:
    async def story(pair: Pair) -> None:
        _, two, socket, _ = pair
        await socket.write(b"\x00\x11half")
        await socket.close()
        with pytest.raises(IncompleteReadError):
            await two.read_msg()

    over_a_socket(BatchedNoise, story)
