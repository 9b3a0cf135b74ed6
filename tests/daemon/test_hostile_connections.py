"""Abuse of the port itself: garbage, silence, hordes. The daemon goes on, at the same memory."""

import asyncio
import contextlib
import socket
import time
from typing import Any

import psutil
import pytest

from gossipd.network.interface import TransferInterrupted
from gossipd.wire.messages import Hello, Want
from gossipd_scenarios.fleet import Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
SETTINGS = {"mode": "gossip"}
"""There updates are offered by whoever comes; tests/rounds lies to daemons that work in rounds."""
MEGABYTE = 1024 * 1024
GROWTH = 20 * MEGABYTE


def port_of(daemon: Member) -> int:
    return int(daemon.addresses[0].split("/")[4])


def private_memory(daemon: Member) -> int:
    """Bytes that are this process's alone: a forked daemon shares the rest with its parent."""
    full = psutil.Process(daemon.pid).memory_full_info()
    return int(full.uss)


async def swarm_of(daemon: Member) -> bytes:
    return bytes.fromhex((await daemon.status())["swarm"])


async def goes_on(daemon: Member) -> dict[str, Any]:
    """It trains on and admits an honest newcomer."""
    before = await daemon.status()
    async with Outsider(f"newcomer {time.monotonic_ns()}", await swarm_of(daemon)) as newcomer:
        answer = await newcomer.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(answer, Hello)
        answer = await newcomer.offer(daemon.peer_id, newcomer.update(newcomer.body()))
        assert isinstance(answer, Want)
        return await daemon.until(
            lambda now: bool(now["training"]["cycles"] > before["training"]["cycles"] + 1),
            SECONDS,
            "training to go on",
        )


async def settled(daemon: Member) -> int:
    """Private memory once the daemon has done everything at least once."""
    await goes_on(daemon)
    return private_memory(daemon)


async def test_a_thousand_garbage_connections_change_nothing(daemon: Member) -> None:
    before = await settled(daemon)

    async def throw(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(daemon))
        with contextlib.suppress(OSError):
            writer.write(bytes([number % 256]) * (1 + number % 3000))
            await writer.drain()
            if number % 2:
                async with asyncio.timeout(1.0):
                    await reader.read(1)
        writer.close()

    for start in range(0, 1000, 20):
        results = await asyncio.gather(
            *(throw(n) for n in range(start, start + 20)), return_exceptions=True
        )
        unexpected = [r for r in results if r and not isinstance(r, OSError | TimeoutError)]
        assert not unexpected
    await goes_on(daemon)
    assert private_memory(daemon) - before < GROWTH


async def test_three_hundred_connects_and_disconnects_wear_nothing_out(daemon: Member) -> None:
    before = await settled(daemon)
    async with Outsider("restless", await swarm_of(daemon)) as outsider:
        for _ in range(300):
            await outsider.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
            await outsider.transport.disconnect(daemon.peer_id, "restless")
        assert len(outsider.lost) == 300
    await goes_on(daemon)
    assert private_memory(daemon) - before < GROWTH


async def test_silent_sockets_do_not_keep_newcomers_out(daemon: Member) -> None:
    # All of 127/8 is loopback: the silent ones come from other addresses than the newcomer.
    silent = []
    try:
        for number in range(300):
            connection = socket.socket()
            connection.bind((f"127.0.1.{1 + number % 6}", 0))
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", port_of(daemon)))
            silent.append(connection)
        await goes_on(daemon)
    finally:
        for connection in silent:
            connection.close()


async def test_a_peer_that_says_nothing_after_connecting_is_let_go(daemon: Member) -> None:
    async with Outsider("mute", await swarm_of(daemon)) as outsider:
        await outsider.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
        await daemon.until(
            lambda s: bool(s["refused"].get("no-hello", 0)), SECONDS, "the mute one to be counted"
        )
        assert (await daemon.status())["network"]["connected"] == 0


async def test_a_peer_that_stops_serving_in_the_middle_is_given_up(daemon: Member) -> None:
    async with Outsider("stalling", await swarm_of(daemon)) as outsider:
        assert isinstance(await outsider.meet(daemon.peer_id, daemon.addresses), Hello)
        update = outsider.update(outsider.body())
        never = asyncio.Event()

        async def stall(peer: str, key: bytes) -> bytes | None:
            await never.wait()
            return None

        outsider.serve_blob = stall
        await outsider.offer(daemon.peer_id, update)
        await daemon.until(
            lambda s: any(w["what"] == "update" for w in s["waiting"]),
            SECONDS,
            "the daemon to wait for the body, and to say so",
        )
        await daemon.until(
            lambda s: any(r.startswith("fetch-") for r in s["refused"]),
            SECONDS,
            "the transfer to be given up",
        )
        await goes_on(daemon)
        never.set()


async def test_a_body_that_was_never_offered_is_not_handed_out(daemon: Member) -> None:
    async with Outsider("curious", await swarm_of(daemon)) as outsider:
        await outsider.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
        with pytest.raises(TransferInterrupted) as refused:
            await outsider.transport.fetch_blob(
                daemon.peer_id, b"k" * 32, memoryview(bytearray(100)), 0, 5.0
            )
        assert refused.value.reason == "gone"
        status = await daemon.status()
        assert status["refused"]["hello-first"] == 1
