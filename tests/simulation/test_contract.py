"""The simulated transport does what every transport does: the network room's own suite, run in
virtual time. Its time-outs cost nothing here."""

import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from gossipd.network.interface import Transport
from gossipd.simulation.connection import Link
from gossipd.simulation.loop import Process, VirtualLoop
from gossipd.simulation.network import SimNetwork, apart
from gossipd.simulation.transport import SimTransport
from support.keys import key_from
from support.network import DEADLINE, INTERVAL, TIMEOUT, Node


def _contract() -> ModuleType:
    path = Path(__file__).parent.parent / "network" / "test_contract.py"
    spec = importlib.util.spec_from_file_location("network_contract", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Story = Callable[["SimWorld"], Awaitable[None]]
STORIES: dict[str, Story] = {
    name: story
    for name, story in vars(_contract()).items()
    if name.startswith("test_") and inspect.iscoroutinefunction(story)
}


class SimWorld:
    """`support.network.World` on simulated links, quick as loopback."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._network = SimNetwork(loop, 0, Link(latency=(0.0001, 0.001)))
        self._nodes: list[Node] = []

    async def node(self, name: str, *, max_connections: int = 64) -> Node:
        transport: Transport = SimTransport(
            self._network,
            Process(self._loop, name),
            key_from(name)[1],
            f"/ip4/10.0.0.{len(self._nodes) + 1}/tcp/4001",
            uplink=64_000_000,
            max_connections=max_connections,
            heartbeat_interval=INTERVAL,
            heartbeat_timeout=TIMEOUT,
            dial_timeout=DEADLINE,
        )
        node = Node(transport)
        self._nodes.append(node)
        await node.start()
        return node

    async def way(self, source: Node, target: Node) -> Sequence[str]:
        return target.transport.addresses

    def cut(self, a: Node, b: Node) -> None:
        self._network.partition(apart([a.id], [b.id]))

    def heal(self, a: Node, b: Node) -> None:
        self._network.heal()

    async def close(self) -> None:
        for node in self._nodes:
            await node.transport.stop()


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_it_keeps_the_contract(loop: VirtualLoop, story: Story) -> None:
    async def run() -> None:
        world = SimWorld(loop)
        await story(world)
        await world.close()

    told = loop.create_task(run())
    while not told.done():
        # A fault in a handler ends the run; this suite makes some on purpose.
        with suppress(ZeroDivisionError):
            loop.run_until_complete(told)
    told.result()
    assert {type(error) for error in loop.errors} <= {ZeroDivisionError}
