"""What every transport does, whatever it is made of."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gossipd.network.interface import (
    PeerUnreachable,
    RequestFailed,
    TransferInterrupted,
)
from gossipd.wire import limits
from support.network import DEADLINE, Libp2pWorld, MemoryWorld, World, join, until


@pytest.fixture(params=["memory", "libp2p"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world: World = MemoryWorld() if request.param == "memory" else Libp2pWorld()
    yield world
    await world.close()


async def test_a_dial_connects_both_ends_and_each_hears_of_it_once(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
    assert [event[0] for event in alice.events] == ["connected"]
    assert [event[0] for event in bob.events] == ["connected"]
    (there,), (back,) = alice.transport.connections(), bob.transport.connections()
    assert (there.peer, there.outbound) == (bob.id, True)
    assert (back.peer, back.outbound) == (alice.id, False)


async def test_both_ends_can_ask(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    assert await alice.request(bob, b"hello") == b"echo hello"
    assert await bob.request(alice, b"") == b"echo "
    assert alice.transport.counters()["bytes_in"] > 0


async def test_a_slow_answer_does_not_hold_back_a_quick_one(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    release = asyncio.Event()

    async def answer(peer: str, payload: bytes) -> bytes:
        if payload == b"slow":
            await release.wait()
        return payload

    bob.answer = answer
    slow = asyncio.create_task(alice.request(bob, b"slow"))
    quick = await asyncio.gather(*(alice.request(bob, b"%d" % i) for i in range(20)))
    assert quick == [b"%d" % i for i in range(20)]
    assert not slow.done()
    release.set()
    assert await slow == b"slow"


async def test_requests_beyond_the_limit_wait_and_then_fail_as_busy(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    release, all_there = asyncio.Event(), asyncio.Event()
    running = 0

    async def answer(peer: str, payload: bytes) -> bytes:
        nonlocal running
        running += 1
        if running == limits.REQUESTS_IN_FLIGHT:
            all_there.set()
        await release.wait()
        return payload

    bob.answer = answer
    many = [
        asyncio.create_task(alice.request(bob, b"%d" % i)) for i in range(limits.REQUESTS_IN_FLIGHT)
    ]
    await all_there.wait()
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"one more", timeout=0.2)
    assert failure.value.reason == "busy"
    assert running == limits.REQUESTS_IN_FLIGHT
    release.set()
    assert len(await asyncio.gather(*many)) == limits.REQUESTS_IN_FLIGHT
    assert await alice.request(bob, b"again") == b"again"


async def test_a_failing_handler_fails_its_request_and_nothing_else(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)

    async def answer(peer: str, payload: bytes) -> bytes:
        if payload == b"bad":
            raise ZeroDivisionError
        return payload

    bob.answer = answer
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"bad")
    assert failure.value.reason == "failed"
    assert await alice.request(bob, b"good") == b"good"
    assert bob.transport.counters()["request-errors"] == 1
    assert alice.all("disconnected") == []


async def test_an_oversized_message_is_refused_on_either_way(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    largest = bytes(limits.MESSAGE_BYTES)

    async def answer(peer: str, payload: bytes) -> bytes:
        return largest + b"x" if payload == b"too much" else payload

    bob.answer = answer
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, largest + b"x")
    assert failure.value.reason == "too-large"
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"too much")
    assert failure.value.reason == "too-large"
    assert await alice.request(bob, largest) == largest


async def test_a_request_without_an_answer_times_out(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)

    async def answer(peer: str, payload: bytes) -> bytes:
        await asyncio.sleep(DEADLINE)
        return b""

    bob.answer = answer
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"?", timeout=0.1)
    assert failure.value.reason == "timeout"


async def test_a_request_to_a_stranger_fails_at_once(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"?")
    assert failure.value.reason == "disconnected"
    with pytest.raises(TransferInterrupted) as interruption:
        await alice.fetch(bob, b"key", 10, offset=3)
    assert (interruption.value.reason, interruption.value.received) == ("disconnected", 3)


BLOB = bytes(range(256)) * 4096 + b"the end"


async def test_a_blob_arrives_whole(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"one": BLOB, b"two": BLOB[::-1], b"empty": b""}
    assert await alice.fetch(bob, b"one", len(BLOB)) == BLOB
    assert await alice.fetch(bob, b"empty", 0) == b""
    fetches = [alice.fetch(bob, key, len(BLOB)) for key in (b"two", b"one", b"two")]
    assert await asyncio.gather(*fetches) == [BLOB[::-1], BLOB, BLOB[::-1]]


async def test_a_blob_is_resumed_where_it_was_interrupted(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"key": BLOB}
    buffer = bytearray(b"?" * len(BLOB))
    await alice.fetch(bob, b"key", len(BLOB), offset=300_000, buffer=buffer)
    assert buffer == b"?" * 300_000 + BLOB[300_000:]
    await alice.fetch(bob, b"key", len(BLOB), offset=len(BLOB), buffer=buffer)


async def test_a_range_of_a_blob_fills_its_place_and_no_other(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"key": BLOB}
    buffer = bytearray(b"?" * len(BLOB))
    view = memoryview(buffer)
    for start, end in ((300_000, 700_000), (5, 5), (0, 10)):
        await alice.transport.fetch_blob(bob.id, b"key", view, start, DEADLINE, end)
    assert buffer[:10] == BLOB[:10]
    assert buffer[10:300_000] == b"?" * 299_990
    assert buffer[300_000:700_000] == BLOB[300_000:700_000]
    assert set(buffer[700_000:]) == set(b"?")
    await alice.transport.fetch_blob(bob.id, b"key", view, 0, DEADLINE, len(BLOB))
    assert buffer == BLOB


async def test_a_vanished_blob_is_gone_and_the_next_one_comes(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"key": BLOB}
    with pytest.raises(TransferInterrupted) as interruption:
        await alice.fetch(bob, b"other", len(BLOB))
    assert (interruption.value.reason, interruption.value.received) == ("gone", 0)
    assert await alice.fetch(bob, b"key", len(BLOB)) == BLOB


async def test_a_blob_of_another_size_is_refused_before_its_body(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"key": BLOB, b"small": b"small"}
    for size in (len(BLOB) - 1, len(BLOB) + 1):
        buffer = bytearray(b"?" * size)
        with pytest.raises(TransferInterrupted) as interruption:
            await alice.fetch(bob, b"key", size, buffer=buffer)
        assert (interruption.value.reason, interruption.value.received) == ("wrong-size", 0)
        assert buffer == b"?" * size
    assert await alice.fetch(bob, b"small", 5) == b"small"


async def test_a_store_that_hangs_or_fails_costs_one_fetch(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    bob.blobs = {b"key": BLOB}
    honest = bob.find

    async def find(peer: str, key: bytes) -> memoryview | bytes | None:
        if key == b"slow":
            await asyncio.sleep(DEADLINE)
        if key == b"broken":
            raise ZeroDivisionError
        return await honest(peer, key)

    bob.find = find
    with pytest.raises(TransferInterrupted) as interruption:
        await alice.fetch(bob, b"broken", len(BLOB))
    assert interruption.value.reason == "gone"
    with pytest.raises(TransferInterrupted) as interruption:
        await alice.fetch(bob, b"slow", len(BLOB), timeout=0.1)
    assert interruption.value.reason == "stalled"
    assert await alice.fetch(bob, b"key", len(BLOB)) == BLOB
    assert bob.transport.counters()["blob-errors"] == 1


async def test_a_cancelled_fetch_leaves_the_line_usable(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    big = bytes(16 * limits.MIB)
    bob.blobs = {b"big": big, b"key": BLOB}
    buffer = bytearray(b"?" * len(big))
    task = asyncio.create_task(alice.fetch(bob, b"big", len(big), buffer=buffer))
    await until(lambda: buffer[0] == 0)
    task.cancel()
    await asyncio.wait([task])
    left = buffer.count(b"?")
    assert left > 0
    assert await alice.fetch(bob, b"key", len(BLOB)) == BLOB
    assert buffer.count(b"?") == left  # it is the caller's again
    assert await alice.request(bob, b"still") == b"echo still"


async def test_disconnecting_tells_both_ends_once(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    await alice.transport.disconnect(bob.id, "tired")
    await alice.transport.disconnect(bob.id, "tired")
    await alice.heard("disconnected", bob.id, "tired")
    await bob.heard("disconnected", alice.id, "closed")
    assert alice.transport.connections() == bob.transport.connections() == []
    await join(world, bob, alice)
    assert await alice.request(bob, b"back") == b"echo back"
    assert len(alice.all("disconnected")) == len(bob.all("disconnected")) == 1


async def test_a_cut_line_is_noticed_by_both_ends_and_healed_by_a_redial(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    world.cut(alice, bob)
    with pytest.raises(RequestFailed) as failure:
        await alice.request(bob, b"?", timeout=0.1)
    assert failure.value.reason == "timeout"
    await alice.heard("disconnected", bob.id, "heartbeat")
    await bob.heard("disconnected", alice.id, "heartbeat")
    assert list(alice.transport.connections()) == []
    world.heal(alice, bob)
    await join(world, alice, bob)
    assert await bob.request(alice, b"hello again") == b"echo hello again"


async def test_a_transfer_over_a_line_that_is_cut_says_how_far_it_came(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    big = bytes(range(256)) * (32 * limits.MIB // 256)
    bob.blobs = {b"big": big}
    buffer = bytearray(len(big))
    task = asyncio.create_task(alice.fetch(bob, b"big", len(big), buffer=buffer, timeout=0.1))
    await until(lambda: buffer[255])
    world.cut(alice, bob)
    with pytest.raises(TransferInterrupted) as interruption:
        await task
    assert interruption.value.reason == "stalled"
    received = interruption.value.received
    assert 0 < received < len(big)
    assert buffer[:received] == big[:received]
    await alice.heard("disconnected", bob.id)
    await bob.heard("disconnected", alice.id)
    world.heal(alice, bob)
    await join(world, alice, bob)
    await alice.fetch(bob, b"big", len(big), offset=received, buffer=buffer)
    assert buffer == big


async def test_a_dial_to_nobody_fails_at_once_and_a_redial_works_at_once(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    addresses = bob.transport.addresses
    await bob.transport.stop()
    for _ in range(2):
        with pytest.raises(PeerUnreachable) as failure:
            await alice.transport.dial(bob.id, addresses, DEADLINE)
        assert failure.value.reason == "unreachable"
    await bob.start()
    assert bob.transport.addresses == addresses
    await alice.transport.dial(bob.id, addresses, DEADLINE)
    assert await alice.request(bob, b"there") == b"echo there"


async def test_a_dial_that_reaches_somebody_else_fails(world: World) -> None:
    alice, bob, carol = [await world.node(name) for name in ("alice", "bob", "carol")]
    address = bob.transport.addresses[0].replace(bob.id, carol.id)
    with pytest.raises(PeerUnreachable) as failure:
        await alice.transport.dial(carol.id, [address], DEADLINE)
    assert failure.value.reason == "wrong-peer"
    assert alice.events == []
    await alice.transport.dial(carol.id, [address, *carol.transport.addresses], DEADLINE)
    assert await alice.request(carol, b"it is you") == b"echo it is you"


async def test_a_dial_into_a_black_hole_ends_at_its_time_limit(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    way = await world.way(alice, bob)
    world.cut(alice, bob)
    started = time.monotonic()
    with pytest.raises(PeerUnreachable) as failure:
        await alice.transport.dial(bob.id, way, 0.2)
    assert failure.value.reason == "dial-timeout"
    assert time.monotonic() - started < 2
    world.heal(alice, bob)
    await join(world, alice, bob)


async def test_nonsense_addresses_are_passed_over(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    nonsense = ["", "nonsense", "/ip4/127.0.0.1", "/ip4/300.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1"]
    with pytest.raises(PeerUnreachable) as failure:
        await alice.transport.dial(bob.id, nonsense, DEADLINE)
    assert failure.value.reason == "unreachable"
    await alice.transport.dial(bob.id, [*nonsense, *bob.transport.addresses], DEADLINE)
    await alice.heard("connected", bob.id)


async def test_a_full_node_refuses_newcomers_and_dials_nobody(world: World) -> None:
    alice = await world.node("alice", max_connections=1)
    bob, carol = await world.node("bob"), await world.node("carol")
    await join(world, alice, bob)
    with pytest.raises(PeerUnreachable) as failure:
        await alice.transport.dial(carol.id, carol.transport.addresses, DEADLINE)
    assert failure.value.reason == "full"
    with pytest.raises(PeerUnreachable):
        await carol.transport.dial(alice.id, alice.transport.addresses, DEADLINE)
    refusal = await alice.heard("refused")
    assert refusal[2] == "full"
    await alice.transport.disconnect(bob.id, "room")
    await bob.heard("disconnected", alice.id)
    await join(world, carol, alice)


async def test_stopping_while_busy_ends_everything_soon(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    big = bytes(64 * limits.MIB)
    alice.blobs = bob.blobs = {b"big": big}

    async def answer(peer: str, payload: bytes) -> bytes:
        await asyncio.sleep(DEADLINE)
        return b""

    bob.answer = alice.answer = answer
    busy = [
        asyncio.create_task(alice.request(bob, b"?")),
        asyncio.create_task(bob.request(alice, b"?")),
        asyncio.create_task(alice.fetch(bob, b"big", len(big))),
        asyncio.create_task(bob.fetch(alice, b"big", len(big))),
    ]
    await until(lambda: alice.transport.counters()["bytes_in"] > limits.MIB)
    started = time.monotonic()
    await alice.transport.stop()
    await alice.transport.stop()
    assert time.monotonic() - started < 3
    await alice.heard("disconnected", bob.id, "stopped")
    await bob.heard("disconnected", alice.id, "closed")
    outcomes = await asyncio.gather(*busy, return_exceptions=True)
    assert all(isinstance(error, RequestFailed | TransferInterrupted) for error in outcomes)
    assert alice.transport.addresses == ()


async def test_a_failing_event_handler_harms_nothing(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")

    def fail(*event: object) -> None:
        raise ZeroDivisionError

    bob._note = fail  # type: ignore[method-assign]
    await alice.transport.dial(bob.id, bob.transport.addresses, DEADLINE)
    assert await alice.request(bob, b"hello") == b"echo hello"
    assert bob.transport.counters()["handler-errors"] == 1


async def test_the_heartbeat_measures_the_round_trip(world: World) -> None:
    alice, bob = await world.node("alice"), await world.node("bob")
    await join(world, alice, bob)
    await until(lambda: alice.transport.connections()[0].round_trip is not None)
    round_trip = alice.transport.connections()[0].round_trip
    assert round_trip is not None
    assert 0 <= round_trip < 5
