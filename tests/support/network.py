"""Two kinds of network for one suite of tests, a line that can be cut, and a raw libp2p peer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import trio

from gossipd.network.host import Host
from gossipd.network.interface import Handlers, Transport
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.network.memory import MemoryNetwork, MemoryTransport
from support.keys import key_from

DEADLINE = 10.0
"""Seconds after which a test stops waiting: far more than anything here takes."""
INTERVAL = 0.1
TIMEOUT = 1.0
"""The heartbeat of the tests: long enough for a machine that is busy with other tests."""

T = TypeVar("T")
Answer = Callable[[str, bytes], Awaitable[bytes]]
Blob = Callable[[str, bytes], Awaitable[memoryview | bytes | None]]


class Node:
    """A transport, and everything that it told its handlers."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.events: list[tuple[object, ...]] = []
        self._changed = asyncio.Event()
        self.answer: Answer = self._echo
        self.blobs: dict[bytes, bytes] = {}
        self.find: Blob = self._find

    @property
    def id(self) -> str:
        return self.transport.peer_id

    async def start(self) -> None:
        await self.transport.start(
            Handlers(
                connected=lambda *args: self._note("connected", *args),
                disconnected=lambda *args: self._note("disconnected", *args),
                request=lambda peer, payload: self.answer(peer, payload),
                blob=lambda peer, key: self.find(peer, key),
                discovered=lambda *args: self._note("discovered", *args),
                refused=lambda *args: self._note("refused", *args),
                health=lambda *args: self._note("health", *args),
            )
        )

    async def heard(self, *expected: object, times: int = 1) -> tuple[object, ...]:
        """Wait for an event that begins so, for the `times`th time."""
        async with asyncio.timeout(DEADLINE):
            while True:
                self._changed.clear()
                found = self.all(*expected)
                if len(found) >= times:
                    return found[times - 1]
                await self._changed.wait()

    def all(self, *expected: object) -> list[tuple[object, ...]]:
        return [event for event in self.events if event[: len(expected)] == expected]

    async def request(self, peer: "Node", payload: bytes, timeout: float = DEADLINE) -> bytes:
        return await self.transport.request(peer.id, payload, timeout)

    async def fetch(
        self,
        peer: "Node",
        key: bytes,
        size: int,
        offset: int = 0,
        buffer: bytearray | None = None,
        timeout: float = DEADLINE,
    ) -> bytearray:
        buffer = bytearray(size) if buffer is None else buffer
        view = memoryview(buffer)
        await self.transport.fetch_blob(peer.id, key, view, offset, timeout)
        return buffer

    async def _echo(self, peer: str, payload: bytes) -> bytes:
        return b"echo " + payload

    async def _find(self, peer: str, key: bytes) -> bytes | None:
        return self.blobs.get(key)

    def _note(self, *event: object) -> None:
        self.events.append(event)
        self._changed.set()


class World(Protocol):
    """Nodes and the lines between them."""

    async def node(self, name: str, *, max_connections: int = 64) -> Node: ...

    async def way(self, source: Node, target: Node) -> Sequence[str]:
        """Addresses at which `source` reaches `target` over a line that can be cut."""
        ...

    def cut(self, a: Node, b: Node) -> None: ...

    def heal(self, a: Node, b: Node) -> None: ...

    async def close(self) -> None: ...


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


async def join(world: World, source: Node, target: Node) -> None:
    """Connect, and wait until both have heard of it."""
    await source.transport.dial(target.id, await world.way(source, target), DEADLINE)
    await source.heard("connected", target.id)
    await target.heard("connected", source.id)


class MemoryWorld:
    """Everything in one loop."""

    def __init__(self) -> None:
        self._network = MemoryNetwork()
        self._nodes: list[Node] = []

    async def node(self, name: str, *, max_connections: int = 64) -> Node:
        node = Node(
            MemoryTransport(
                self._network,
                key_from(name)[1],
                max_connections=max_connections,
                heartbeat_interval=INTERVAL,
                heartbeat_timeout=TIMEOUT,
                dial_timeout=DEADLINE,
            )
        )
        self._nodes.append(node)
        await node.start()
        return node

    async def way(self, source: Node, target: Node) -> Sequence[str]:
        return target.transport.addresses

    def cut(self, a: Node, b: Node) -> None:
        self._network.cut(a.id, b.id)

    def heal(self, a: Node, b: Node) -> None:
        self._network.heal(a.id, b.id)

    async def close(self) -> None:
        for node in self._nodes:
            await node.transport.stop()


def libp2p_transport(
    name: str, *, port: int = 0, max_connections: int = 64, dial_timeout: float = DEADLINE
) -> Libp2pTransport:
    return Libp2pTransport(
        key_from(name)[0],
        "127.0.0.1",
        port,
        mdns=False,
        max_connections=max_connections,
        heartbeat_interval=INTERVAL,
        heartbeat_timeout=TIMEOUT,
        dial_timeout=dial_timeout,
    )


class Libp2pWorld:
    """Real hosts on loopback, each line through a forwarder that can fall silent."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._lines: dict[frozenset[str], list[Forwarder]] = {}

    async def node(self, name: str, *, max_connections: int = 64) -> Node:
        node = Node(libp2p_transport(name, max_connections=max_connections))
        self._nodes.append(node)
        await node.start()
        return node

    async def way(self, source: Node, target: Node) -> Sequence[str]:
        line = Forwarder(port_of(target))
        await line.open()
        self._lines.setdefault(frozenset((source.id, target.id)), []).append(line)
        return (f"/ip4/127.0.0.1/tcp/{line.port}/p2p/{target.id}",)

    def cut(self, a: Node, b: Node) -> None:
        for line in self._lines[frozenset((a.id, b.id))]:
            line.flowing.clear()

    def heal(self, a: Node, b: Node) -> None:
        for line in self._lines[frozenset((a.id, b.id))]:
            line.flowing.set()

    async def close(self) -> None:
        await asyncio.gather(*(node.transport.stop() for node in self._nodes))
        for lines in self._lines.values():
            for line in lines:
                await line.close()


def port_of(node: Node) -> int:
    """The TCP port a node listens on."""
    return int(node.transport.addresses[0].split("/")[4])


def host_of(node: Node) -> Host:
    """The libp2p side of a running node, for tests that look inside."""
    assert isinstance(node.transport, Libp2pTransport)
    assert node.transport._life is not None
    return node.transport._life.host


async def in_trio(node: Node, function: Callable[[], Awaitable[T]]) -> T:
    """Run a trio coroutine function in a node's network thread."""
    assert isinstance(node.transport, Libp2pTransport)
    assert node.transport._life is not None
    return await node.transport._life.bridge.call(function)


async def tasks_of(node: Node) -> int:
    """How many tasks live in a node's network thread."""

    async def count() -> int:
        root = trio.lowlevel.current_root_task()
        assert root is not None
        waiting, number = [root], 0
        while waiting:
            number += 1
            for nursery in waiting.pop().child_nurseries:
                waiting.extend(nursery.child_tasks)
        return number

    return await in_trio(node, count)


class Forwarder:
    """A TCP port that leads to another one, while `flowing` is set.

    It writes in pieces of a size, and pauses after each for `pause` seconds.
    """

    def __init__(self, target: int, *, piece: int = 65536, pause: float | None = None) -> None:
        self.target = target
        self._piece = piece
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            remote_reader, remote_writer = await asyncio.open_connection("127.0.0.1", self.target)
            with contextlib.suppress(OSError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, remote_writer))
                    group.create_task(self._pump(remote_reader, writer))
            remote_writer.close()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                for start in range(0, len(data), self._piece):
                    await self.flowing.wait()
                    target.write(data[start : start + self._piece])
                    await target.drain()
                    if self._pause is not None:
                        await asyncio.sleep(self._pause)
        finally:
            target.close()


@contextlib.asynccontextmanager
async def running(*transports: Transport) -> AsyncIterator[list[Node]]:
    """Started nodes around the transports, stopped at the end."""
    nodes = [Node(transport) for transport in transports]
    try:
        for node in nodes:
            await node.start()
        yield nodes
    finally:
        for node in nodes:
            await node.transport.stop()
