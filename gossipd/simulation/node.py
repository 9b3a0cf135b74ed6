"""One node through all its lives: what its key, its disk and its machine are, and who it knows.

A life is a process in the loop: assembled as the daemon is, ended by an orderly stop or at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossipd.protocol import events
from gossipd.protocol.events import Event
from gossipd.protocol.round_events import Leaving
from gossipd.runtime import state
from gossipd.runtime.assembly import Options, Parts, Ports, assemble
from gossipd.runtime.bundles import Bundles
from gossipd.runtime.opened import Opened
from gossipd.runtime.ports import Learner
from gossipd.simulation.clock import EPOCH, SimClock
from gossipd.simulation.compute import Costs, SimCompute
from gossipd.simulation.fuse import Fuse
from gossipd.simulation.log import RuntimeLog
from gossipd.simulation.loop import Process, VirtualLoop
from gossipd.simulation.network import SimNetwork
from gossipd.simulation.store import Shelf, SimStore
from gossipd.simulation.traffic import Traffic
from gossipd.simulation.transport import SimTransport
from gossipd.wire.envelope import Signer
from gossipd.wire.identifiers import digest, peer_id_of

PORT = 4001


@dataclass(frozen=True, slots=True)
class Stick:
    """A bundle in somebody's pocket: what `runtime.bundles` reads."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


FAREWELL_SECONDS = 1.0
"""How long an orderly stop may take to say that it is one, as the daemon has it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node runs on."""

    costs: Costs = field(default_factory=Costs)
    uplink: float | None = None
    """Bytes per second that it can send, all connections together; None is endless."""
    clock_rate: float = 1.0
    """Seconds that its monotonic clock and its timers count in a true one."""
    clock_origin: float = 0.0
    """What its monotonic clock shows at the start of a life."""
    wall_offset: float = 0.0
    """Seconds by which its wall clock is ahead."""
    heartbeat_interval: float = 5.0
    heartbeat_timeout: float = 15.0
    upkeep_seconds: float | None = 15.0
    """How often what is known of the swarm is saved, as the daemon does; None is never, not even
    with a merged model: for runs without restarts. With a thousand nodes it is most of a run's
    memory."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of a simulation share."""

    seed: int
    loop: VirtualLoop
    network: SimNetwork
    shelf: Shelf
    note: Callable[[str, str, dict[str, Any]], None]
    """(node, kind, fields): into the event log."""
    faults: list[str]
    opened: Opened
    """Documents that one of them has checked."""


class SimNode:
    """A name, a key, a disk; `parts` is the present or last life's insides."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        number: int,
        learner: Learner,
        options: Options,
        machine: Machine,
    ) -> None:
        self.name = name
        self.learner = learner
        self.options = options
        self.machine = machine
        self.fuse = Fuse(self._crash)
        self.traffic = Traffic()
        self.lives = 0
        self.parts: Parts | None = None
        self.transport: SimTransport | None = None
        self.clock: SimClock | None = None
        """Of the present or last life, as `parts` and `transport` are."""
        self._around = around
        seed = digest(b"gossipd/simulation/key/", f"{around.seed}/{name}".encode())
        key = Ed25519PrivateKey.from_private_bytes(seed)
        self._signer = Signer(key.public_key().public_bytes_raw(), key.sign)
        self.peer_id = peer_id_of(self._signer.public_key)
        self._where = f"/ip4/10.{number >> 16}.{number >> 8 & 255}.{number & 255}/tcp/{PORT}"
        self.address = f"{self._where}/p2p/{self.peer_id}"
        self.store = self._new_disk()
        self._bundles: Bundles | None = None
        self._process: Process | None = None
        self._contacts: dict[str, str] = {}
        self._crash_silently = False

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def live(self) -> Parts:
        """The insides of a node that runs."""
        if self.parts is None or not self.running:
            raise RuntimeError(f"{self.name} does not run")
        return self.parts

    # --- lives -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a life on what the disk holds."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        around, machine, options = self._around, self.machine, self.options
        self.lives += 1
        process = self._process = Process(
            around.loop,
            f"{self.name}/{self.lives}",
            rate=machine.clock_rate,
            origin=machine.clock_origin,
        )
        self.transport = SimTransport(
            around.network,
            process,
            self.peer_id,
            self._where,
            uplink=machine.uplink,
            traffic=self.traffic,
            max_connections=options.max_connections,
            heartbeat_interval=machine.heartbeat_interval,
            heartbeat_timeout=machine.heartbeat_timeout,
            dial_timeout=options.dial_timeout,
            step=self.fuse.step,
        )
        process.spawn(self._live(process, self.transport))

    async def _live(self, process: Process, transport: SimTransport) -> None:
        """What the daemon's composition root does, in the node's own process."""
        around, machine = self._around, self.machine
        compute = SimCompute(self.learner, machine.costs)
        clock = self.clock = SimClock(around.loop, process, machine.wall_offset)
        parts = self.parts = assemble(
            Ports(
                transport=transport,
                store=self.store,
                clock=clock,
                compute=compute,
                learner=compute.learner,
                signer=self._signer,
                rng=Random(f"{around.seed}/{self.name}/{self.lives}"),
                report=lambda kind, fields: around.note(self.name, kind, fields),
                log=RuntimeLog(self.name, around.faults),
                opened=around.opened,
                saves_swarm=machine.upkeep_seconds is not None,
            ),
            self.options,
        )
        self._bundles = Bundles(parts, compute, clock)
        await parts.engine.start(parts.started)
        for peer, addresses, _ in self.store.peers():
            parts.engine.feed(events.Discovered(peer, tuple(addresses), "storage"))
        for peer, address in self._contacts.items():
            parts.engine.feed(events.Discovered(peer, (address,), "operator"))
        while machine.upkeep_seconds is not None:
            self._save_state(parts)
            await asyncio.sleep(machine.upkeep_seconds)

    def _save_state(self, parts: Parts) -> None:
        try:
            self.store.save_state(state.snapshot(parts.node, parts.transport.port))
        except OSError:
            self._around.note(self.name, "upkeep-failed", {})

    def stop(self) -> None:
        """An orderly stop: it takes its time, until `running` is false."""
        self._alive().spawn(self._leave(self.live))

    async def _leave(self, parts: Parts) -> None:
        self._save_state(parts)
        if parts.node.rounds is not None:
            await parts.engine.farewell(Leaving(parts.leaving()), FAREWELL_SECONDS)
        await parts.engine.stop()
        # Not in the middle of this task.
        self._around.loop.call_soon(self._alive().end)

    def kill(self, *, silently: bool = False) -> None:
        """End at once. `silently`: the machine is gone too, and closes no connection."""
        process, transport = self._alive(), self.transport
        process.end()
        if transport is not None:
            transport.vanish(silently=silently)

    @property
    def frozen(self) -> bool:
        return self._process is not None and self._process.frozen

    def freeze(self) -> None:
        """As by SIGSTOP: it holds its connections and says nothing; the others have to find out."""
        self._alive().freeze()
        assert self.transport is not None
        self._around.network.freeze(self.transport, True)

    def thaw(self) -> None:
        """As by SIGCONT: it goes on where it stood, and finds that time has passed."""
        assert self.transport is not None
        self._around.network.freeze(self.transport, False)
        self._alive().thaw()

    def wipe(self) -> None:
        """An empty disk for the next life: the same key, another incarnation."""
        if self.running:
            raise RuntimeError(f"{self.name} runs")
        self.store = self._new_disk()

    def crash_after(self, effects: int, *, silently: bool = False) -> None:
        """Let it write and send `effects` more times and die instead of the next one."""
        self._crash_silently = silently
        self.fuse.arm(effects)

    def _crash(self, effect: str) -> NoReturn:
        self._around.note(self.name, "crash", {"effect": effect})
        process = self._alive()
        self.kill(silently=self._crash_silently)
        process.exit()

    def _alive(self) -> Process:
        if self._process is None or not self._process.alive:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def _new_disk(self) -> SimStore:
        now = EPOCH + self._around.loop.now + self.machine.wall_offset
        return SimStore(
            int(now * 1000),
            shelf=self._around.shelf,
            step=self.fuse.step,
            saves_peers=self.machine.upkeep_seconds is not None,
        )

    # --- what happens to it ----------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Put an event to its core, in its own process, next."""
        self._alive().post(self.live.engine.feed, event)

    def meets(self, other: "SimNode") -> None:
        """Somebody has told it where another one is; it is told so again in every life."""
        self._contacts[other.peer_id] = other.address
        if self.running and self.parts is not None:
            self.feed(events.Discovered(other.peer_id, (other.address,), "operator"))

    def export(self, *, everything: bool = False) -> "asyncio.Task[Stick]":
        """Begin to write a bundle."""

        async def work() -> Stick:
            assert self._bundles is not None, "not assembled"
            outgoing = await self._bundles.export(everything=everything)
            return Stick(b"".join(outgoing.pieces))

        return self._alive().spawn(work())

    def take(self, stick: Stick) -> "asyncio.Task[dict[str, Any]]":
        """Begin to take in what somebody has brought."""
        assert self._bundles is not None, "not assembled"
        return self._alive().spawn(self._bundles.take(stick))

    def pause(self) -> None:
        self.feed(events.SetPaused(True))

    def resume(self) -> None:
        self.feed(events.SetPaused(False))
