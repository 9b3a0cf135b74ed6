"""The libp2p facade's own life: its thread, its restarts, its addresses, its discovery."""

import asyncio
import logging
import socket
import threading
import time

import psutil
import pytest
import trio

from gossipd.network import addresses
from gossipd.network.interface import NetworkError, PeerUnreachable, PortInUse, RequestFailed
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.wire.identifiers import peer_id_of
from support.keys import key_from
from support.network import (
    DEADLINE,
    Node,
    host_of,
    libp2p_transport,
    port_of,
    running,
    until,
)


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipd.network.libp2p_transport.BACK_OFF_SECONDS", (0.05, 0.2))


def crash(node: Node) -> None:
    """Let a task of the network thread fail as a fault of libp2p would."""
    host = host_of(node)

    async def fail() -> None:
        raise ZeroDivisionError("a fault of libp2p")

    host._bridge.tell(lambda: host._tasks.start_soon(fail))


async def test_the_peer_id_is_the_keys() -> None:
    seed, peer_id, signer = key_from("alice")
    transport = libp2p_transport("alice")
    assert len(seed) == 32
    assert transport.peer_id == peer_id == peer_id_of(signer.public_key)


async def test_a_stopped_transport_leaves_no_thread_and_its_port_free() -> None:
    before = set(threading.enumerate())
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
        assert set(threading.enumerate()) - before
        port = port_of(alice)
    assert set(threading.enumerate()) == before
    async with running(libp2p_transport("carol", port=port)):
        pass


async def test_stopping_with_a_stalled_peer_takes_no_longer() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        sockets = [socket.create_connection(("127.0.0.1", port_of(alice))) for _ in range(20)]
        started = time.monotonic()
        await alice.transport.stop()
        assert time.monotonic() - started < 2
        for silent in sockets:
            silent.close()


async def test_a_port_in_use_is_told_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        transport = libp2p_transport("alice", port=taken.getsockname()[1])
        node = Node(transport)
        with pytest.raises(PortInUse):
            await node.start()
    assert set(threading.enumerate()) == before
    await node.start()
    assert port_of(node) > 0
    await transport.stop()


async def test_an_address_that_is_not_ours_cannot_be_listened_on() -> None:
    transport = Libp2pTransport(
        key_from("alice")[0],
        "192.0.2.99",
        0,
        mdns=False,
        max_connections=4,
        heartbeat_interval=1,
        heartbeat_timeout=1,
        dial_timeout=1,
    )
    with pytest.raises(NetworkError) as failure:
        await Node(transport).start()
    assert failure.value.reason == "cannot-listen"


async def test_a_network_thread_that_fails_is_started_again_on_the_same_port(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
        await bob.heard("connected")
        before = bob.transport.addresses

        async def hang(peer: str, payload: bytes) -> bytes:
            await asyncio.sleep(DEADLINE)
            return b""

        alice.answer = hang
        waiting = asyncio.create_task(bob.request(alice, b"?"))
        await until(lambda: alice.transport.counters().get("requests_in"))
        crash(bob)
        with pytest.raises(RequestFailed) as failure:
            await waiting
        assert failure.value.reason == "disconnected"
        await bob.heard("disconnected", alice.id, "network-restart")
        unwell = await bob.heard("health", False)
        assert "ZeroDivisionError" in str(unwell[2])
        await bob.heard("health", True)
        await alice.heard("disconnected", bob.id)
        assert bob.transport.addresses == before
        assert bob.transport.counters()["restarts"] == 1
        await alice.transport.dial(bob.id, before, DEADLINE)
        assert await alice.request(bob, b"again") == b"echo again"
        assert bob.transport.counters()["bytes_in"] > 0
    assert "ZeroDivisionError" in caplog.text


async def test_it_is_started_again_as_often_as_it_takes() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        port = port_of(alice)
        crash(alice)
        await alice.heard("health", False)
        with socket.socket() as squatter:  # somebody else is faster, for a while
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                squatter.bind(("127.0.0.1", port))
                squatter.listen()
                await alice.heard("health", False, times=3)
            except OSError:
                pass
        await alice.heard("health", True)
        assert port_of(alice) == port


async def test_what_is_asked_while_the_network_is_down_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gossipd.network.libp2p_transport.BACK_OFF_SECONDS", (30.0, 30.0))
    async with running(libp2p_transport("alice"), libp2p_transport("bob")) as [alice, bob]:
        crash(alice)
        await alice.heard("health", False)
        with pytest.raises(PeerUnreachable):
            await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
        with pytest.raises(RequestFailed):
            await alice.request(bob, b"?")
        await alice.transport.disconnect(bob.id, "nothing to do")
        assert alice.transport.connections() == ()
        started = time.monotonic()
        await alice.transport.stop()
        assert time.monotonic() - started < 2


async def test_every_interface_becomes_real_addresses() -> None:
    peer = key_from("alice")[1]
    found = addresses.reachable("0.0.0.0", 4001, peer)
    ours = {
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    }
    assert found
    for address in found:
        host = address.split("/")[2]
        assert host in ours
        assert address == f"/ip4/{host}/tcp/4001/p2p/{peer}"
    assert any(host != "127.0.0.1" for host in ours) == ("/ip4/127.0.0.1/" not in found[0])


async def test_loopback_is_given_when_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    peer = key_from("alice")[1]
    assert addresses.reachable("0.0.0.0", 1, peer) == [f"/ip4/127.0.0.1/tcp/1/p2p/{peer}"]
    assert addresses.reachable("::", 1, peer) == [f"/ip6/::1/tcp/1/p2p/{peer}"]
    assert addresses.reachable("10.0.0.7", 1, peer) == [f"/ip4/10.0.0.7/tcp/1/p2p/{peer}"]


async def test_without_multicast_it_says_so_counts_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_multicast() -> None:
        raise OSError("no multicast here")

    monkeypatch.setattr("gossipd.network.discovery.Zeroconf", no_multicast)
    monkeypatch.setattr("gossipd.network.discovery.REFRESH_SECONDS", 0.01)
    before = set(threading.enumerate())
    transport = Libp2pTransport(
        key_from("alice")[0],
        "127.0.0.1",
        0,
        mdns=True,
        max_connections=4,
        heartbeat_interval=1,
        heartbeat_timeout=1,
        dial_timeout=1,
    )
    with caplog.at_level(logging.WARNING):
        async with running(transport, libp2p_transport("bob")) as [alice, bob]:
            await until(lambda: transport.counters().get("mdns-unavailable", 0) >= 3)
            await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
    assert caplog.text.count("no multicast here") == 1
    assert set(threading.enumerate()) == before


async def test_a_trio_call_that_is_cancelled_is_cancelled_on_the_other_side() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        assert isinstance(alice.transport, Libp2pTransport)
        life = alice.transport._life
        assert life is not None
        began, ended = threading.Event(), threading.Event()

        async def wait() -> None:
            began.set()
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

        task = asyncio.create_task(life.bridge.call(wait))
        await until(began.is_set)
        task.cancel()
        await asyncio.wait([task])
        assert ended.is_set()


async def test_ipv6_is_listened_on_and_dialled() -> None:
    def on_ipv6(name: str) -> Libp2pTransport:
        return Libp2pTransport(
            key_from(name)[0],
            "::1",
            0,
            mdns=False,
            max_connections=4,
            heartbeat_interval=1,
            heartbeat_timeout=1,
            dial_timeout=DEADLINE,
        )

    async with running(on_ipv6("alice"), on_ipv6("bob")) as [alice, bob]:
        assert bob.transport.addresses[0].startswith("/ip6/::1/tcp/")
        await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
        assert await alice.request(bob, b"six") == b"echo six"
        assert str((await bob.heard("connected"))[2]).startswith("/ip6/::1/tcp/")


async def test_only_ids_of_our_kind_of_key_are_peers() -> None:
    async with running(libp2p_transport("alice")) as [alice]:
        for text in ("", "nonsense", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", alice.id):
            with pytest.raises(PeerUnreachable) as failure:
                await alice.transport.dial(text, alice.transport.addresses, DEADLINE)
            assert failure.value.reason == "unreachable"
