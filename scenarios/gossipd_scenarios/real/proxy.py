"""The shaping proxy: a process through which the daemons of a fleet reach each other.

Every ordered pair (source, target) that may dial has a port here. What the source sends on a
connection goes through the link source -> target, the answers through target -> source; each has
conditions of its own (shaping.py), which change at any time. No root, no kernel module.

    engine (links.py)                                               proxy
    {"open": [source, target], "id": 1}                         ->
                                                                <-  {"id": 1, "port": dial this}
    {"moved": target, "port": where it is now, "id": 2}         ->
                                                                <-  {"id": 2}
    {"shape": [[[[source, target], …], {conditions}, uplink], …],
     "id": 3}                                                   ->
                                                                <-  {"id": 3}

JSON lines over one socket. When it closes, however the engine ended, so does this process.

    python -m gossipd_scenarios.real.proxy DESCRIPTOR ENGINE_PID SEED
"""

import asyncio
import contextlib
import json
import resource
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any

from gossipd_scenarios.lifeline import die_with
from gossipd_scenarios.real.shaping import Conditions, Lane, Link, Mark, Uplink

HOST = "127.0.0.1"
BACKLOG = 64
RECEIVE_BYTES = 128 * 1024
"""What the kernel takes from a sender before we do; more would hide from it that a line is slow."""
CONNECT_SECONDS = 10.0
NO_LINGER = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets, as a cut line with a firewall does."""

Pair = tuple[str, str]
Message = dict[str, Any]


class Proxy:
    """All listeners and links of one fleet."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._links: dict[Pair, Link] = {}
        self._uplinks: dict[tuple[str, int], Uplink] = defaultdict(Uplink)
        self._targets: dict[str, int] = {}
        self._servers: dict[Pair, asyncio.Server] = {}

    async def open(self, source: str, target: str) -> int:
        """The port at which `source` dials `target`."""
        server = self._servers.get((source, target))
        if server is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            listener.bind((HOST, 0))
            server = self._servers[source, target] = await asyncio.get_running_loop().create_server(
                lambda: Side(Connection(self, source, target)), sock=listener, backlog=BACKLOG
            )
        return int(server.sockets[0].getsockname()[1])

    def moved(self, target: str, port: int) -> None:
        """`target` listens here from now on."""
        self._targets[target] = port

    def port_of(self, target: str) -> int | None:
        """Where `target` listens; None before it ever did."""
        return self._targets.get(target)

    def link(self, source: str, target: str) -> Link:
        pair = source, target
        if pair not in self._links:
            self._links[pair] = Link(Random(f"{self._seed}/{source}/{target}"))
        return self._links[pair]

    def shape(self, pairs: Iterable[Pair], conditions: Conditions, uplink: int) -> None:
        """Give directions other conditions. Those of a source with the same uplink share a rate."""
        for source, target in pairs:
            self.link(source, target).set(conditions, self._uplinks[source, uplink])

    async def answer(self, message: Message) -> Message:
        """Do what the engine asks."""
        match message:
            case {"open": [source, target]}:
                return {"port": await self.open(source, target)}
            case {"moved": target, "port": port}:
                self.moved(target, port)
                return {}
            case {"shape": shapes}:
                for pairs, fields, uplink in shapes:
                    self.shape(pairs, Conditions(**fields), uplink)
                return {}
        raise ValueError(f"nobody asks so: {message}")


class Side(asyncio.Protocol):
    """One of the two sockets of a connection: what happens there goes to the connection."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.transport: asyncio.Transport
        self.lane_out: Lane
        """Carries what is read here to the other side."""
        self.lane_in: Lane
        self.gone = False
        self.finished = False
        """Whether it has been told that no more comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()  # until the lanes stand
        self._connection.arrived(self)

    def data_received(self, data: bytes) -> None:
        self.lane_out.feed(data)

    def eof_received(self) -> bool:
        self.lane_out.end()
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        self.lane_in.block(True)

    def resume_writing(self) -> None:
        self.lane_in.block(False)

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self._connection.lost(self)

    def finish(self) -> None:
        self.finished = True
        if not self.transport.is_closing():
            # The kernel may know before us that the other end has reset the connection.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def reset(self) -> None:
        handle: socket.socket | None = self.transport.get_extra_info("socket")
        if handle is not None and handle.fileno() >= 0:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()

    def read_on(self, whether: bool) -> None:
        if not self.transport.is_closing():
            (self.transport.resume_reading if whether else self.transport.pause_reading)()


class Connection:
    """From the socket that the source dialled to the one that the target accepts."""

    def __init__(self, proxy: Proxy, source: str, target: str) -> None:
        self._proxy = proxy
        self._target = target
        self._links = proxy.link(source, target), proxy.link(target, source)
        self._sides: list[Side] = []
        self._connecting: asyncio.Task[None] | None = None

    def arrived(self, side: Side) -> None:
        """A side stands: the source's first."""
        self._sides.append(side)
        if len(self._sides) == 1:
            for link in self._links:
                link.changed.add(self._look)
            self._look()
            return
        dialled, accepted = self._sides
        there, back = self._links
        self._join(there, dialled, accepted)
        self._join(back, accepted, dialled)
        for each in self._sides:
            each.read_on(True)

    def _join(self, link: Link, sender: Side, receiver: Side) -> None:
        def finish() -> None:
            receiver.finish()
            if sender.finished:
                for side in self._sides:
                    side.transport.close()

        write = receiver.transport.write
        sender.lane_out = receiver.lane_in = Lane(link, write, finish, self.reset, sender.read_on)

    def _look(self) -> None:
        """At the conditions, at the beginning and whenever they change."""
        states = {link.conditions.state for link in self._links}
        if "cut" in states:
            self.reset()
        elif "black-hole" not in states and self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        """Reach the target. In a black hole nobody came here: a SYN would be lost there too."""
        loop = asyncio.get_running_loop()
        port = self._proxy.port_of(self._target)
        if port is None:
            self.reset()
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: Side(self), HOST, port)
        except OSError:
            self.reset()

    def reset(self) -> None:
        """Break the connection for both sides, without another word."""
        for side in self._sides:
            side.reset()

    def lost(self, side: Side) -> None:
        """A side is gone. The other hears of it as of everything else: over the link, if it can."""
        if len(self._sides) == 2:
            side.lane_in.close()
            if not side.finished:
                side.lane_out.end(Mark.BREAK)
        elif self._connecting is not None:
            self._connecting.cancel()
        if all(each.gone for each in self._sides):
            for link in self._links:
                link.changed.discard(self._look)
            for each in self._sides if len(self._sides) == 2 else ():
                each.lane_out.close()


async def serve(control: socket.socket, seed: int) -> None:
    """Until the engine closes its end."""
    proxy = Proxy(seed)
    reader, writer = await asyncio.open_unix_connection(sock=control)
    while line := await reader.readline():
        message = json.loads(line)
        answer = {"id": message["id"], **await proxy.answer(message)}
        writer.write(json.dumps(answer).encode() + b"\n")


def main() -> None:
    """See the header."""
    descriptor, engine, seed = map(int, sys.argv[1:])
    die_with(engine)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    asyncio.run(serve(control, seed))


if __name__ == "__main__":
    main()
