"""One test for every known fault of libp2p 0.8.1 that would hurt us, by its number in our list.

Those of the muxer (4, 10, 11, 13, 17, 20) are in test_yamux.py, 19 is in test_interop.py. 16 (an
import that every forked child repeats) concerns learning, 15 is what is not used at all.
"""

import asyncio
import inspect
import math
import socket
import time
from pathlib import Path

import libp2p
import pytest
import trio
import trio.testing
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.io import msgio
from libp2p.io.abc import Reader
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network.swarm import Swarm
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.security.noise import patterns
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.tcp import tcp

from gossipd import network
from gossipd.network import compat
from gossipd.network.interface import PeerUnreachable, PortInUse
from gossipd.network.noise import BatchedNoise
from gossipd.network.sockets import BufferedTCPStream
from gossipd.wire import limits
from support.network import (
    DEADLINE,
    TIMEOUT,
    Forwarder,
    Libp2pWorld,
    Node,
    host_of,
    in_trio,
    join,
    libp2p_transport,
    port_of,
    running,
    tasks_of,
    until,
)
from support.stock import Stock, as_stock_peer


@pytest.fixture(autouse=True)
def _patched() -> None:
    """Whichever of these tests comes first in its process."""
    compat.apply()


async def test_trap_01_an_exception_in_a_stream_handler_ends_its_stream_alone() -> None:
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)

        async def fail(stream: INetStream) -> None:
            raise ZeroDivisionError

        host_of(bob)._host.set_stream_handler(TProtocol("/test/fail"), fail)

        async def provoke(stock: Stock) -> None:
            stream = await stock.open(bob.transport.addresses[0], "/test/fail")
            await stream.read(1)

        async def story(stock: Stock) -> None:
            with pytest.raises(BaseLibp2pError):
                await provoke(stock)
            again = await stock.open(bob.transport.addresses[0], "/ipfs/ping/1.0.0")
            await again.write(bytes(32))
            assert await again.read(32) == bytes(32)

        await as_stock_peer(story)
        assert bob.transport.counters()["stream-errors"] == 1
        assert await alice.request(bob, b"alive") == b"echo alive"
        assert bob.transport.counters()["restarts"] == 0


async def test_trap_02_past_connections_leave_neither_places_nor_tasks() -> None:
    assert "wait_finished" in inspect.getsource(Swarm._do_handle_inbound_connection), (
        "upstream no longer keeps a task for every connection of its past"
    )
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:

        async def once(turn: int) -> None:
            await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
            await alice.transport.disconnect(bob.id, "enough")
            await alice.heard("disconnected", times=turn)
            await bob.heard("disconnected", times=turn)

        await once(1)
        await in_trio(bob, trio.testing.wait_all_tasks_blocked)
        before = await tasks_of(bob)
        for turn in range(2, 302):  # upstream has 250 places for its whole life
            await once(turn)
        await in_trio(bob, trio.testing.wait_all_tasks_blocked)
        assert abs(await tasks_of(bob) - before) <= 2
        assert host_of(bob)._swarm._inbound_limiter.total_tokens == math.inf
        assert bob.transport.counters().get("refused-full", 0) == 0


async def test_trap_03_only_noise_and_yamux_are_offered() -> None:
    assert "PLAINTEXT_PROTOCOL_ID" in inspect.getsource(libp2p.new_swarm), (
        "upstream's default no longer accepts plaintext"
    )
    async with running(libp2p_transport("alice")) as [alice]:
        upgrader = host_of(alice)._swarm.upgrader
        assert list(upgrader.security_multistream.transports) == ["/noise"]
        assert list(upgrader.muxer_multistream.transports) == ["/yamux/1.0.0"]


async def test_trap_05_a_peer_that_falls_silent_is_found_out() -> None:
    world = Libp2pWorld()
    try:
        alice, bob = await world.node("alice"), await world.node("bob")
        await join(world, alice, bob)
        world.cut(alice, bob)
        await alice.heard("disconnected", bob.id, "heartbeat")
        await bob.heard("disconnected", alice.id, "heartbeat")
    finally:
        await world.close()


async def test_trap_05_a_slow_line_is_not_taken_for_a_dead_peer() -> None:
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        blob = bytes(range(256)) * 6000
        bob.blobs = {b"key": blob}
        line = Forwarder(port_of(bob), piece=8192, pause=0.01)  # at most 800 kB/s
        await line.open()
        try:
            await alice.transport.dial(bob.id, [f"/ip4/127.0.0.1/tcp/{line.port}"], DEADLINE)
            started = time.monotonic()
            assert await alice.fetch(bob, b"key", len(blob)) == blob
            assert time.monotonic() - started > TIMEOUT
            assert alice.all("disconnected") == bob.all("disconnected") == []
        finally:
            await line.close()


async def test_trap_06_a_peer_can_be_dialled_at_once_after_a_failed_dial() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        bob = Node(libp2p_transport("bob", port=_free_port()))
        address = f"/ip4/127.0.0.1/tcp/{bob.transport._settings.port}/p2p/{bob.id}"  # type: ignore[attr-defined]
        with pytest.raises(PeerUnreachable):
            await alice.transport.dial(bob.id, [address], DEADLINE)
        await bob.start()
        try:
            started = time.monotonic()
            await alice.transport.dial(bob.id, [address], DEADLINE)
            assert time.monotonic() - started < 5
        finally:
            await bob.transport.stop()


async def test_trap_07_every_address_is_tried() -> None:
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        dead = [f"/ip4/127.0.0.1/tcp/{_free_port()}" for _ in range(3)]
        with _silent_listener() as silent:
            addresses = [*dead, f"/ip4/127.0.0.1/tcp/{silent}", *bob.transport.addresses]
            await alice.transport.dial(bob.id, addresses, DEADLINE)
        assert await alice.request(bob, b"found") == b"echo found"


async def test_trap_08_a_dial_into_a_black_hole_has_a_time_limit() -> None:
    async with running(libp2p_transport("alice", dial_timeout=0.3)) as [alice]:
        with _silent_listener() as silent:
            started = time.monotonic()
            with pytest.raises(PeerUnreachable) as failure:
                await alice.transport.dial(
                    Node(libp2p_transport("bob")).id, [f"/ip4/127.0.0.1/tcp/{silent}"], DEADLINE
                )
        assert failure.value.reason == "dial-timeout"
        assert time.monotonic() - started < 5


def test_trap_09_a_message_in_a_thousand_pieces_is_read_and_an_end_is_seen_at_once() -> None:
    assert vars(msgio)["read_exactly"] is compat.read_exactly

    class Bytewise(Reader):
        """Gives one byte at a time, then an end that it repeats for ever."""

        def __init__(self, data: bytes) -> None:
            self.left = data
            self.reads = 0

        async def read(self, n: int | None = None) -> bytes:
            self.reads += 1
            piece, self.left = self.left[:1], self.left[1:]
            return piece

    async def story() -> None:
        assert await compat.read_exactly(Bytewise(bytes(1000)), 1000) == bytes(1000)
        reader = Bytewise(b"abc")
        with pytest.raises(IncompleteReadError) as failure:
            await compat.read_exactly(reader, 1000)
        assert not failure.value.is_clean_close
        assert reader.reads == 4
        with pytest.raises(IncompleteReadError) as failure:
            await compat.read_exactly(Bytewise(b""), 1000)
        assert failure.value.is_clean_close

    trio.run(story)


async def test_trap_09_a_connection_lives_on_a_line_that_delivers_byte_by_byte() -> None:
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        line = Forwarder(port_of(bob), piece=7, pause=0)
        await line.open()
        try:
            await alice.transport.dial(bob.id, [f"/ip4/127.0.0.1/tcp/{line.port}"], DEADLINE)
            payload = bytes(20_000)
            assert await alice.request(bob, payload) == b"echo " + payload
        finally:
            await line.close()


async def test_trap_12_two_that_dial_each_other_keep_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gossipd.network.link.RETIRE_SECONDS", 0.1)
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        for turn in range(1, 4):
            await asyncio.gather(
                alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE),
                bob.transport.dial(alice.id, alice.transport.addresses, DEADLINE),
            )
            assert await alice.request(bob, b"1") == b"echo 1"
            assert await bob.request(alice, b"2") == b"echo 2"
            await until(lambda: len(host_of(alice)._links) + len(host_of(bob)._links) == 2)
            (there,), (back,) = alice.transport.connections(), bob.transport.connections()
            assert there.outbound is not back.outbound
            assert await alice.request(bob, b"3") == b"echo 3"
            assert await bob.request(alice, b"4") == b"echo 4"
            assert len(alice.all("connected")) == len(bob.all("connected")) == turn
            await alice.transport.disconnect(bob.id, "next round")
            await alice.heard("disconnected", times=turn)
            await bob.heard("disconnected", times=turn)


async def test_trap_12_a_peer_that_started_again_replaces_its_dead_connection() -> None:
    alice, bob = Node(libp2p_transport("alice")), Node(libp2p_transport("bob"))
    line = Forwarder(0)
    try:
        await alice.start()
        await bob.start()
        line.target = port_of(bob)
        await line.open()
        way = [f"/ip4/127.0.0.1/tcp/{line.port}"]
        await alice.transport.dial(bob.id, way, DEADLINE)
        await bob.heard("connected")
        line.flowing.clear()  # so that alice does not hear of bob's end
        await bob.transport.stop()
        await bob.start()
        await bob.transport.dial(alice.id, alice.transport.addresses, DEADLINE)
        await alice.heard("connected", bob.id, times=2)
        assert await alice.request(bob, b"back") == b"echo back"
        assert len(alice.all("disconnected")) == 1
    finally:
        await alice.transport.stop()
        await bob.transport.stop()
        await line.close()


async def test_trap_14_silent_sockets_do_not_keep_newcomers_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gossipd.network.swarm.PATIENCE_SECONDS", 0.2)
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        address = ("127.0.0.1", port_of(alice))
        # One more than there is room for: none of them comes later than bob, to push him out.
        crowd = limits.CONNECTIONS_PER_ADDRESS + 1
        silent = [socket.create_connection(address) for _ in range(crowd)]
        try:
            await alice.heard("refused", "127.0.0.1", "address-full")
            await asyncio.sleep(0.3)  # an honest handshake would be through by now
            started = time.monotonic()
            await bob.transport.dial(alice.id, alice.transport.addresses, DEADLINE)
            assert await bob.request(alice, b"in") == b"echo in"
            assert time.monotonic() - started < 3
        finally:
            for connection in silent:
                connection.close()


def test_trap_15_what_is_known_to_crash_is_not_used() -> None:
    source = "".join(path.read_text() for path in Path(network.__path__[0]).rglob("*.py"))
    for module in ("pubsub", "dcutr", "relay", "kad_dht", "bitswap"):
        assert f"libp2p.{module}" not in source


def test_trap_18_one_system_call_serves_many_reads() -> None:
    assert vars(tcp)["TrioTCPStream"] is BufferedTCPStream

    async def story() -> None:
        calls = 0

        class Socket:
            async def receive_some(self, n: int) -> bytes:
                nonlocal calls
                calls += 1
                return bytes(1000) if calls == 1 else b""

        stream = BufferedTCPStream(Socket())  # type: ignore[arg-type]
        assert [len(await stream.read(n)) for n in (2, 500, 0, 400)] == [2, 500, 0, 400]
        assert len(await stream.read()) == 98
        assert calls == 1
        assert await stream.read(1) == b""
        assert stream.bytes_in == 1000

    trio.run(story)


async def test_a_port_that_another_one_listens_on_is_refused() -> None:
    """Upstream sets SO_REUSEPORT: both would listen, each for half of the connections."""
    assert tcp._set_reuse_flags is compat.set_reuse_flags
    async with running(libp2p_transport("alice")) as [alice]:
        twin = libp2p_transport("bob", port=port_of(alice))
        with pytest.raises(PortInUse):
            await Node(twin).start()
        assert twin.addresses == ()


async def test_a_multistream_message_has_a_longest_length() -> None:
    """Upstream asks the socket for as many bytes as a stranger declares."""
    assert vars(multiselect_communicator)["read_delim"] is compat.read_delim
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(alice))
        writer.write(b"\xff\xff\xff\xff\x7f" + bytes(100))
        async with asyncio.timeout(DEADLINE):
            while await reader.read(4096):
                pass
        writer.close()
        await alice.heard("refused", "127.0.0.1", "handshake")
        await bob.transport.dial(alice.id, alice.transport.addresses, DEADLINE)


def test_what_the_patches_change_is_still_there() -> None:
    compat.apply()
    for owner, names in compat.USED.items():
        for name in names:
            assert hasattr(owner, name)
    assert BasicHost._schedule_identify is compat.skip_identify
    assert vars(patterns)["NoiseTransportReadWriter"] is BatchedNoise
    assert yamux.MAX_MESSAGE_SIZE == 65536, "upstream's frames fit one Noise message now"


def test_another_version_of_libp2p_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_applied", False)
    monkeypatch.setattr(compat, "libp2p_version", "0.9.0")
    with pytest.raises(compat.IncompatibleLibp2p, match=r"0\.9\.0"):
        compat.apply()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _silent_listener:  # noqa: N801 - a context manager
    """A port that accepts and never says a word."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
