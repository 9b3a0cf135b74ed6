"""Daemons in network namespaces of their own: nobody types an address, and what is lost is lost."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
import pytest_asyncio

from gossipd_scenarios.backend import NodePlan, Quality, Setting
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.real.backend import RealBackend

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SECONDS = 40.0
BRISK: dict[str, Setting] = {
    "mode": "gossip",
    "network.heartbeat_interval": 0.5,
    "network.heartbeat_timeout": 2.0,
    "network.dial_timeout": 2.0,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RealBackend]:
    """ann, ben and cem on one switch; ann and cem are not to meet."""
    backend = RealBackend(None, 1, netns=True)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(backend)
        except ScenarioError as error:
            pytest.skip(error.message)
        outside = set(psutil.net_if_addrs())
        await backend.add(
            [
                NodePlan("ann", BRISK, frozenset({"ben"})),
                NodePlan("ben", BRISK),
                NodePlan("cem", BRISK, frozenset({"ben"})),
            ]
        )
        await backend.start(["ann", "ben", "cem"])
        assert set(psutil.net_if_addrs()) == outside, "nothing of it shows on the machine"
        yield backend
    assert not backend.directory.exists()


async def met(world: RealBackend, **connected: int) -> None:
    await comes(world, lambda now: connected.items() <= now.items())


async def comes(world: RealBackend, holds: Callable[[dict[str, int]], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            found = await world.read(world.running(), accuracy=False)
            if holds({row.node: row.connected for row in found}):
                return
            await asyncio.sleep(0.1)


SWITCH = """
import os, socket, sys, time
from gossipd_scenarios.real.namespaces import Switch, address, enter

switch = Switch()
for name in ("ann", "ben"):
    switch.plug(name)

def seconds():
    enter(switch.plug("ben"))
    listener = socket.create_server((address(2), 5000))
    if not os.fork():
        enter(switch.plug("ann"))
        socket.create_connection((address(2), 5000), timeout=10).sendall(bytes(100_000))
        os._exit(0)
    listener.settimeout(10)
    connection, _ = listener.accept()
    began = time.monotonic()
    left = 100_000
    while left and (got := len(connection.recv(left))):
        left -= got
    os.wait()
    return time.monotonic() - began

switch.limit(["ann"], 200_000)
slow = seconds()
switch.limit(["ann"], 0)
print(slow, seconds())
"""


async def test_a_rate_is_the_kernel_s(world: RealBackend) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SWITCH, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    slow, fast = map(float, said.split())
    assert 0.4 < slow < 1.0
    assert fast < slow / 2


async def test_they_find_each_other_without_an_address(world: RealBackend) -> None:
    await met(world, ann=1, ben=2, cem=1)
    for member in world._fleet.members.values():
        assert "peers" not in (member.home / "config.toml").read_text()
        assert member.addresses[0].startswith("/ip4/10.77.0.")


async def test_a_partition_loses_packets_and_heals(world: RealBackend) -> None:
    await world.partition({"ann": ["ben"]}, reset=False)
    await met(world, ann=0, ben=1, cem=1)
    await world.partition({}, reset=False)
    await met(world, ann=1, ben=2, cem=1)


async def test_a_rate_holds_back_and_can_be_lifted(world: RealBackend) -> None:
    await world.set_links(["ben"], None, Quality(rate=500.0))
    await met(world, ann=0, cem=0)
    await world.set_links(["ben"], None, Quality())
    await met(world, ann=1, ben=2, cem=1)


async def test_what_only_the_proxy_can_do_is_refused(world: RealBackend) -> None:
    with pytest.raises(ScenarioError, match="delay"):
        await world.set_links(["ben"], None, Quality(delay=0.1))


async def test_it_is_where_it_was_when_it_comes_back(world: RealBackend) -> None:
    before = world._fleet.members["cem"].addresses
    await world.kill(["cem"])
    await met(world, ann=1, ben=1)
    await world.start(["cem"])
    assert world._fleet.members["cem"].addresses == before
    await met(world, ann=1, ben=2, cem=1)
