"""Over a slow line: a body on its way does not keep a question waiting for seconds.

The line is the shaping proxy of the scenarios, whose buffers are a home router's.
"""

import asyncio
import time
from pathlib import Path

import pytest

from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd_scenarios.real.links import Links, Shape
from gossipd_scenarios.real.shaping import Conditions
from support.keys import key_from
from support.network import DEADLINE, running

RATE = 32_000
"""Bytes per second: 256 kbit/s."""
BODY = bytes(5 * RATE)
PATIENCE = 2.5
"""Seconds for a question: half of the body's time. What is under way when it is asked is a second's
worth at most, and the answer takes its way too."""


def patient(name: str) -> Libp2pTransport:
    """With the shipped heartbeat: one for quick lines would give this one up."""
    return Libp2pTransport(
        key_from(name)[0],
        "127.0.0.1",
        0,
        mdns=False,
        max_connections=8,
        heartbeat_interval=5.0,
        heartbeat_timeout=15.0,
        dial_timeout=DEADLINE,
    )


@pytest.mark.asyncio
async def test_a_question_is_answered_while_a_body_comes_over_a_slow_line(tmp_path: Path) -> None:
    async with (
        running(patient("alice"), patient("bob")) as [alice, bob],
        Links(tmp_path / "proxy.log", seed=1) as links,
    ):
        bob.blobs = {b"body": BODY}
        port = await links.open("alice", "bob")
        await links.moved("bob", bob.transport.port)
        there = f"/ip4/127.0.0.1/tcp/{port}/p2p/{bob.id}"
        await alice.transport.dial(bob.id, [there], DEADLINE)
        both = [("alice", "bob"), ("bob", "alice")]
        await links.shape(Shape(both, Conditions(rate=RATE)))
        began = time.monotonic()
        coming = asyncio.create_task(alice.fetch(bob, b"body", len(BODY)))
        waits = []
        while not coming.done():
            asked = time.monotonic()
            await alice.request(bob, b"are you there?")
            waits.append(time.monotonic() - asked)
        assert await coming == BODY
        assert time.monotonic() - began > 4.0, "the line was not slow"
        assert len(waits) > 3
        assert max(waits) < PATIENCE
