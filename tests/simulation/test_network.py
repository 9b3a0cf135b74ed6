"""Links as they are in the world: slow, lossy, cut in silence or with a reset."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from gossipd.network.interface import PeerUnreachable, RequestFailed, TransferInterrupted
from gossipd.simulation.connection import Link
from gossipd.simulation.loop import Process, VirtualLoop
from gossipd.simulation.network import SimNetwork, apart
from gossipd.simulation.traffic import kind_of
from gossipd.simulation.transport import SimTransport
from gossipd.wire.framing import encode_message, pack
from gossipd.wire.messages import AnyMessage, Have, Offer, Ping, View
from support.keys import key_from
from support.network import Node
from support.wire_examples import AUTHORS, ENVELOPES

T = TypeVar("T")
LATENCY = 0.01
STEADY = Link(latency=(LATENCY, LATENCY), jitter=0.0)


class Wires:
    """Nodes on one network; `run` runs a coroutine and returns what it did and how long it took."""

    def __init__(self, link: Link = STEADY, seed: int = 0) -> None:
        self.loop = VirtualLoop()
        self.network = SimNetwork(self.loop, seed, link)
        self.processes: dict[str, Process] = {}

    def node(self, name: str, *, uplink: float | None = None) -> Node:
        process = self.processes[name] = Process(self.loop, name)
        number = len(self.processes)
        where = f"/ip4/10.0.0.{number}/tcp/4001"
        transport = SimTransport(self.network, process, key_from(name)[1], where, uplink=uplink)
        node = Node(transport)
        self.run(node.start())
        return node

    def pair(self, **options: Any) -> tuple[Node, Node]:
        alice, bob = self.node("alice", **options), self.node("bob", **options)
        self.join(alice, bob)
        return alice, bob

    def join(self, a: Node, b: Node) -> None:
        self.run(a.transport.dial(b.id, b.transport.addresses, 10.0))
        self.loop.advance(0)

    def run(self, work: Coroutine[Any, Any, T]) -> tuple[T, float]:
        began = self.loop.now
        return self.loop.run_until_complete(work), self.loop.now - began

    def kill(self, node: Node, *, silently: bool) -> None:
        transport = node.transport
        assert isinstance(transport, SimTransport)
        transport.process.end()
        transport.vanish(silently=silently)


@pytest.fixture
def wires() -> Iterator[Wires]:
    wires = Wires()
    yield wires
    wires.loop.close()


def test_a_question_takes_there_and_back(wires: Wires) -> None:
    alice, bob = wires.pair()
    answer, seconds = wires.run(alice.request(bob, b"hello"))
    assert answer == b"echo hello"
    assert seconds == pytest.approx(2 * LATENCY)


def test_a_pair_has_the_same_latency_whoever_met_first() -> None:
    ways = []
    for names in (("alice", "bob", "carol"), ("carol", "bob", "alice")):
        wires = Wires(Link(latency=(0.001, 0.1)), seed=5)
        ids = {name: wires.node(name).id for name in names}
        pairs = [("alice", "bob"), ("bob", "carol"), ("carol", "alice")]
        ways.append([wires.network.way(ids[a], ids[b]).latency for a, b in pairs])
        wires.loop.close()
    assert ways[0] == ways[1]
    assert len(set(ways[0])) == 3
    assert all(0.001 <= latency <= 0.1 for latency in ways[0])


def test_a_large_body_takes_its_senders_bandwidth(wires: Wires) -> None:
    alice, bob = wires.pair(uplink=1_000_000)
    body = bytes(3_000_000)
    bob.blobs = {b"key": body}
    fetched, seconds = wires.run(alice.fetch(bob, b"key", len(body)))
    assert bytes(fetched) == body
    assert seconds == pytest.approx(3.0, rel=0.02)


def test_two_who_fetch_from_one_share_its_uplink(wires: Wires) -> None:
    alice, bob = wires.pair(uplink=1_000_000)
    carol = wires.node("carol", uplink=1_000_000)
    wires.join(carol, bob)
    body = bytes(1_000_000)
    bob.blobs = {b"key": body}

    async def both() -> None:
        await asyncio.gather(*(n.fetch(bob, b"key", len(body)) for n in (alice, carol)))

    _, seconds = wires.run(both())
    assert seconds == pytest.approx(2.0, rel=0.05)


def test_a_question_passes_between_the_pieces_of_a_body(wires: Wires) -> None:
    alice, bob = wires.pair(uplink=1_000_000)
    body = bytes(10_000_000)
    bob.blobs = {b"key": body}

    async def ask_meanwhile() -> float:
        fetching = asyncio.create_task(alice.fetch(bob, b"key", len(body)))
        await asyncio.sleep(1.0)
        began = wires.loop.now
        await alice.request(bob, b"hello")
        took = wires.loop.now - began
        await fetching
        return took

    took, _ = wires.run(ask_meanwhile())
    assert took < 0.6


def test_bytes_are_counted_by_kind_of_message(wires: Wires) -> None:
    alice, bob = wires.pair()
    bob.blobs = {b"key": bytes(1000)}
    ping = encode_message(Ping(est=3))
    wires.run(alice.request(bob, ping))
    wires.run(alice.fetch(bob, b"key", 1000))
    assert isinstance(alice.transport, SimTransport)
    assert isinstance(bob.transport, SimTransport)
    assert alice.transport.traffic.sent == {"ping": len(ping), "fetch": 3}
    assert alice.transport.traffic.messages == {"ping": 1, "fetch": 1}
    assert bob.transport.traffic.sent["body"] == 1000
    assert alice.transport.traffic.received["body"] == 1000
    assert bob.transport.counters()["bytes_in"] == len(ping) + 3


LINEAGE = {AUTHORS[0]: 9001, AUTHORS[1]: 2**53}
"""Of the manifest among the examples."""


@pytest.mark.parametrize(
    ("message", "about_the_swarm"),
    [
        (Ping(est=3), b""),
        (Have(lineage={b"author--": 5}, model=bytes(32)), pack({b"author--": 5})),
        (View(records=(b"a record",)), pack([b"a record"]) + pack([])),
        (Offer(manifests=(ENVELOPES["manifest"],)), pack(LINEAGE) + pack([])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_about_the_swarm_is_counted_apart(
    message: AnyMessage, about_the_swarm: bytes
) -> None:
    kind = type(message).__name__.lower()
    assert kind_of(encode_message(message)) == (kind, len(about_the_swarm))


# --- loss ----------------------------------------------------------------------------------------


def test_what_is_lost_is_waited_for_in_vain(wires: Wires) -> None:
    alice, bob = wires.pair()
    bob.blobs = {b"key": bytes(1000)}
    wires.network.set_link(alice.id, bob.id, Link(loss=1.0))
    for work in (alice.request(bob, b"?", 2.0), alice.fetch(bob, b"key", 1000, timeout=2.0)):
        began = wires.loop.now
        with pytest.raises((RequestFailed, TransferInterrupted)) as failure:
            wires.run(work)
        assert failure.value.reason in ("timeout", "stalled")
        assert wires.loop.now - began == pytest.approx(2.0)
    assert wires.network.lost == 2
    assert alice.all("disconnected") == []


def test_a_connection_that_is_reset_says_so(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.network.set_link(alice.id, bob.id, Link(resets=1.0))
    with pytest.raises(RequestFailed) as failure:
        wires.run(alice.request(bob, b"?"))
    assert failure.value.reason == "disconnected"
    wires.loop.advance(1.0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "reset")]
    assert bob.all("disconnected") == [("disconnected", alice.id, "reset")]


# --- partitions ----------------------------------------------------------------------------------


def test_a_silent_partition_closes_nothing_until_patience_ends(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.network.partition(apart([alice.id], [bob.id]))
    with pytest.raises(RequestFailed) as failure:
        wires.run(alice.request(bob, b"?", 5.0))
    assert failure.value.reason == "timeout"
    assert alice.all("disconnected") == []
    wires.loop.advance(15.0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "heartbeat")]
    assert bob.all("disconnected") == [("disconnected", alice.id, "heartbeat")]


def test_a_silent_partition_that_heals_in_time_was_never_noticed(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.network.partition(apart([alice.id], [bob.id]))
    wires.loop.advance(9.0)
    wires.network.heal()
    wires.loop.advance(60.0)
    assert wires.run(alice.request(bob, b"?"))[0] == b"echo ?"
    assert alice.all("disconnected") == bob.all("disconnected") == []


def test_a_partition_with_a_reset_is_heard_of_at_once(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.network.partition(apart([alice.id], [bob.id]), reset=True)
    wires.loop.advance(0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "reset")]
    assert bob.all("disconnected") == [("disconnected", alice.id, "reset")]


def test_who_is_deaf_in_one_direction_still_asks_and_hears_nothing(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.network.partition({alice.id: [bob.id]})
    asked: list[bytes] = []

    async def answer(peer: str, payload: bytes) -> bytes:
        asked.append(payload)
        return payload

    bob.answer = answer
    with pytest.raises(RequestFailed) as failure:
        wires.run(alice.request(bob, b"can you hear me?", 1.0))
    assert failure.value.reason == "timeout"
    assert asked == [b"can you hear me?"]


def test_a_body_stalls_when_the_line_falls_silent_and_is_resumed(wires: Wires) -> None:
    alice, bob = wires.pair(uplink=1_000_000)
    body = bytes(range(256)) * 8192
    bob.blobs = {b"key": body}
    buffer = bytearray(len(body))
    wires.loop.call_later(1.0, wires.network.partition, apart([alice.id], [bob.id]))
    with pytest.raises(TransferInterrupted) as interruption:
        wires.run(alice.fetch(bob, b"key", len(body), buffer=buffer, timeout=3.0))
    assert interruption.value.reason == "stalled"
    received = interruption.value.received
    assert 500_000 < received < len(body)
    wires.network.heal()
    wires.run(alice.fetch(bob, b"key", len(body), offset=received, buffer=buffer))
    assert buffer == body


# --- ends ----------------------------------------------------------------------------------------


def test_a_killed_process_leaves_a_host_that_resets(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.kill(bob, silently=False)
    wires.loop.advance(1.0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "reset")]
    assert bob.all("disconnected") == []
    _, seconds = wires.run(_unreachable(alice, bob, "unreachable"))
    assert seconds == 0


def test_a_host_without_power_says_nothing(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.kill(bob, silently=True)
    with pytest.raises(RequestFailed) as failure:
        wires.run(alice.request(bob, b"?", 5.0))
    assert failure.value.reason == "timeout"
    wires.loop.advance(15.0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "heartbeat")]
    _, seconds = wires.run(_unreachable(alice, bob, "dial-timeout"))
    assert seconds == pytest.approx(10.0)


def test_a_host_that_is_up_again_disowns_its_old_connections(wires: Wires) -> None:
    alice, bob = wires.pair()
    wires.kill(bob, silently=True)
    where = f"/ip4/10.0.0.{len(wires.processes)}/tcp/4001"
    reborn = Node(SimTransport(wires.network, Process(wires.loop, "bob"), bob.id, where))
    wires.run(reborn.start())
    wires.loop.advance(5.0)
    assert alice.all("disconnected") == [("disconnected", bob.id, "reset")]
    wires.join(alice, reborn)
    assert wires.run(alice.request(reborn, b"you again?"))[0] == b"echo you again?"


async def _unreachable(node: Node, other: Node, reason: str) -> None:
    transport = other.transport
    assert isinstance(transport, SimTransport)
    with pytest.raises(PeerUnreachable) as failure:
        await node.transport.dial(other.id, [f"{transport.where}/p2p/{other.id}"], 10.0)
    assert failure.value.reason == reason
