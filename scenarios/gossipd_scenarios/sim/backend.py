"""`SimBackend`: a scenario's operations done to a simulated swarm, in virtual time.

Waiting takes no time here: the engine's coroutine never really waits, so it is stepped through, and
one seed makes one run, byte for byte (`log_hash`).
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from gossipd.config import Config, load
from gossipd.operator.ranks import ranked
from gossipd.options import options_of
from gossipd.simulation.connection import Link
from gossipd.simulation.node import SimNode, Stick
from gossipd.simulation.world import BUNDLE_SECONDS, Simulation
from gossipd.wire.identifiers import digest
from gossipd_scenarios.backend import Event, Fault, Given, NodePlan, Quality, Reading
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.hostile import Role, playing
from gossipd_scenarios.plan import NOWHERE
from gossipd_scenarios.sim.learners import Workshop

T = TypeVar("T")

STOP_SECONDS = 10.0
"""Virtual seconds that an orderly stop may take."""
LOOK_SECONDS = 0.05
_OURS = frozenset(("start", "stop", "kill", "wipe", "partition", "heal", "link"))
"""Entries of the log that say what was done from outside, not what a node reports."""


class SimBackend:
    """Implements `gossipd_scenarios.backend.Backend`."""

    name = "sim"

    def __init__(self, seed: int, *, training: str = "real") -> None:
        """`training`: "real" or "stub"."""
        self._sim = Simulation(seed)
        self._seed = seed
        self._workshop = Workshop(training)
        self._plans: dict[str, NodePlan] = {}
        self._told: list[Event] = []
        self._faults: list[Fault] = []
        self._sticks: dict[str, dict[str, Stick]] = {}
        """What lies on each stick, by the node that has written it."""
        self._deaf: dict[str, frozenset[str]] = {}
        self._lineages: dict[tuple[bytes, int, int], Mapping[str, int]] = {}
        """Of bases in text: most nodes stand on one of a few."""

    @property
    def log_hash(self) -> str | None:
        return self._sim.log.hash

    def drive(self, main: Coroutine[Any, Any, T]) -> T:
        try:
            main.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        main.close()
        raise RuntimeError("the engine waited for something that is not this backend's")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sim.close()

    # --- time ------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._sim.now

    async def sleep_until(self, moment: float) -> None:
        self._advance(max(0.0, moment - self._sim.now))

    def _advance(self, seconds: float) -> None:
        """Let time pass; what goes wrong in a node is its fault and the others go on."""
        sim = self._sim
        sim.loop.advance(seconds)
        for error in sim.loop.errors:
            self._faults.append(Fault(sim.now, "", "exception", repr(error)))
        for text in sim.faults:
            node, _, what = text.partition(": ")
            self._faults.append(Fault(sim.now, node, "exception", what))
        sim.loop.errors.clear()
        sim.faults.clear()

    # --- lives -----------------------------------------------------------------------------------

    async def add(self, plans: Sequence[NodePlan]) -> None:
        sim = self._sim
        for plan in plans:
            config: Config = load(NOWHERE, plan.settings, {})
            number = int.from_bytes(digest(f"{self._seed}/{plan.name}".encode())[:6], "big")
            learner = self._workshop.learner(config, number, wrong=bool(plan.part.favourite))
            node = sim.add(plan.name, learner, options_of(config, swarm=None))
            node.machine = replace(
                node.machine,
                heartbeat_interval=config.network.heartbeat_interval,
                heartbeat_timeout=config.network.heartbeat_timeout,
            )
            self._plans[plan.name] = plan
        for plan in plans:
            sim.tell(plan.name, *plan.contacts)
            if plan.neighbours is not None:
                # One's own id alone means nobody; with others it changes nothing.
                allowed = sorted(sim.nodes[name].peer_id for name in {*plan.neighbours, plan.name})
                node = sim.nodes[plan.name]
                node.options = replace(node.options, allow=tuple(allowed))

    async def start(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=False)
        with playing(self._roles()):
            self._sim.start(*nodes)
        self._tell("started", nodes)

    def _roles(self) -> dict[str, Role]:
        """By peer id; empty where nobody lies."""
        ids = {name: node.peer_id for name, node in self._sim.nodes.items()}
        parts = {ids[name]: plan.part for name, plan in self._plans.items()}
        if not any(part.favourite for part in parts.values()):
            return {}
        return {
            peer: Role(ids.get(part.favourite, ""), part.defended) for peer, part in parts.items()
        }

    async def stop(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=True)
        sim = self._sim
        sim.stop(*nodes)
        deadline = sim.now + STOP_SECONDS
        while any(sim.nodes[name].running for name in nodes) and sim.now < deadline:
            self._advance(LOOK_SECONDS)
        late = [name for name in nodes if sim.nodes[name].running]
        for name in late:
            self._faults.append(Fault(sim.now, name, "stop", f"runs {STOP_SECONDS:g} s later"))
        sim.kill(*late)
        self._tell("ended", nodes, asked=True, code=0)

    async def kill(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=True)
        self._sim.kill(*nodes)
        self._tell("ended", nodes, asked=True, code=-9)

    async def restart(self, nodes: Collection[str]) -> None:
        await self.stop([name for name in nodes if self._node(name).running])
        await self.start(nodes)

    async def freeze(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=True)
        for name in nodes:
            self._node(name).freeze()

    async def thaw(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=True)
        for name in nodes:
            self._node(name).thaw()
        self._advance(0.0)

    def running(self) -> frozenset[str]:
        return frozenset(node.name for node in self._sim.running)

    def _node(self, name: str) -> SimNode:
        try:
            return self._sim.nodes[name]
        except KeyError:
            raise ScenarioError(f"there is no node {name!r}", "see the scenario's nodes") from None

    def _need(self, nodes: Collection[str], *, running: bool) -> None:
        for name in nodes:
            if self._node(name).running != running:
                how = "does not run" if running else "runs already"
                raise ScenarioError(f"{name} {how}", "see the timeline")

    def _tell(self, kind: str, nodes: Collection[str], **fields: Any) -> None:
        self._told += [Event(self._sim.now, name, kind, fields) for name in nodes]

    # --- disks and clocks ------------------------------------------------------------------------

    async def wipe(self, nodes: Collection[str]) -> None:
        self._need(nodes, running=False)
        self._sim.wipe(*nodes)

    async def corrupt(self, nodes: Collection[str], file: str, rng_seed: int) -> None:
        self._need(nodes, running=False)
        for name in nodes:
            store = self._node(name).store
            pointers = store.pointers()
            if pointers is not None:
                store.damage(getattr(pointers, file))

    async def full_disk(self, nodes: Collection[str], full: bool) -> None:
        for name in nodes:
            self._node(name).store.full = full

    async def set_clock(self, nodes: Collection[str], offset: float) -> None:
        for name in nodes:
            node = self._node(name)
            node.machine = replace(node.machine, wall_offset=offset)
            if node.clock is not None:
                node.clock.offset = offset

    # --- network ---------------------------------------------------------------------------------

    async def partition(self, deaf: Mapping[str, Collection[str]], *, reset: bool) -> None:
        after = {name: frozenset(others) for name, others in deaf.items() if others}
        if any(others - after.get(name, frozenset()) for name, others in self._deaf.items()):
            self._sim.heal()
        if after:
            # In order: a run must not depend on how Python hashes names.
            ordered = {name: sorted(after[name]) for name in sorted(after)}
            self._sim.partition(ordered, reset=reset)
        self._deaf = after

    async def set_links(
        self, senders: Collection[str], receivers: Collection[str] | None, quality: Quality
    ) -> None:
        sim, link = self._sim, _link(quality)
        ids = {name: self._node(name).peer_id for name in sim.nodes}
        heard = ids if receivers is None else receivers
        if len(senders) == len(heard) == len(ids):
            sim.set_default_link(link)
        pairs = ((ids[a], ids[b]) for a in senders for b in heard if a != b)
        sim.network.set_links(pairs, link)
        for name in senders:
            node = self._node(name)
            node.machine = replace(node.machine, uplink=quality.rate)
            if node.transport is not None:
                node.transport.uplink = quality.rate

    async def carry(self, stick: str, node: str) -> Given:
        self._need([node], running=True)
        carried = self._sticks.setdefault(stick, {})
        here = self._node(node)
        brought = [bundle for name, bundle in carried.items() if name != node]
        answers = [self._finish(here.take(bundle)) for bundle in brought]
        carried[node] = self._finish(here.export())
        refused: Counter[str] = Counter()
        for answer in answers:
            refused.update(answer["refused"])
        return Given(len(answers), sum(answer["updates"] for answer in answers), refused)

    def _finish(self, task: "asyncio.Task[T]") -> T:
        """Let time pass until a node has done its work."""
        deadline = self._sim.now + BUNDLE_SECONDS
        while not task.done() and self._sim.now < deadline:
            self._advance(LOOK_SECONDS)
        return task.result()

    # --- looking ---------------------------------------------------------------------------------

    async def events(self) -> Sequence[Event]:
        entries = self._sim.log.entries
        told = [
            Event(entry.time, entry.node, entry.kind, _plain(entry.fields))
            for entry in entries
            if entry.kind not in _OURS
        ]
        told = sorted(self._told + told, key=lambda event: event.at)
        entries.clear()
        self._told.clear()
        return told

    async def read(self, nodes: Collection[str], *, accuracy: bool = True) -> Sequence[Reading]:
        return [
            self._reading(self._node(name), accuracy)
            for name in nodes
            if self._node(name).running and not self._node(name).frozen
        ]

    def _reading(self, node: SimNode, accuracy: bool) -> Reading:
        parts, core = node.live, node.live.node
        pointers = parts.models.pointers
        measured: tuple[float | None, tuple[float, ...] | None] = None, None
        if accuracy:
            vector = parts.models.get(pointers.serving)
            measured = self._workshop.measure(node.learner, pointers.serving, vector)
        counters = {"steps": core.view.steps_of(core.me)}
        if core.rounds is not None:
            counters["round"] = core.rounds.round
        return Reading(
            at=self._sim.now,
            node=node.name,
            accuracy=measured[0],
            recalls=measured[1],
            model=pointers.serving.hex(),
            lineage=self._lineage(node, pointers.base),
            author=core.me.hex(),
            counters=counters,
            bytes_in=node.traffic.received.total(),
            bytes_out=node.traffic.sent.total(),
            connected=len(core.peers.admitted()),
            memory=None,
            refused=dict(core.peers.refused),
            health=tuple(parts.engine.errors),
            choice=self._choice(node),
        )

    def _choice(self, node: SimNode) -> str | None:
        if not any(plan.part.favourite for plan in self._plans.values()):
            return None
        (first,) = ranked(node.live.node, "peers", "", 1)["items"] or [{"peer_id": None}]
        found = first["peer_id"]
        return next((n.name for n in self._sim.nodes.values() if n.peer_id == found), None)

    def _lineage(self, node: SimNode, base: bytes) -> Mapping[str, int]:
        stored = next((m for m in node.store.models() if m.model == base), None)
        lineage = {} if stored is None else stored.lineage
        key = base, len(lineage), sum(lineage.values())
        if key not in self._lineages:
            self._lineages[key] = {author.hex(): steps for author, steps in lineage.items()}
        return self._lineages[key]

    def faults(self) -> Sequence[Fault]:
        return self._faults

    async def holdings(self) -> Mapping[str, tuple[int, ...] | None]:
        return {
            name: node.learner.class_counts for name, node in self._sim.nodes.items() if node.lives
        }

    def home(self, node: str) -> str | None:
        return None


def _link(quality: Quality) -> Link:
    """The simulator's own best line, and what the scenario adds to it."""
    best = Link()
    least, most = (latency + quality.delay for latency in best.latency)
    jitter = best.jitter + (quality.jitter / most if most else 0.0)
    loss = 1 - (1 - quality.loss) * (1 - quality.resets)
    return Link(latency=(least, most), jitter=jitter, loss=loss)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v.hex() if isinstance(v, bytes) else v for name, v in fields.items()}
