"""The composition root: builds the rooms, starts them, stops them.

    identity, config -> store -> learner -> models, documents -> node -> engine over the transport
                                                                   \\-> control API over operations

Nothing here decides anything; whoever wants to know how gossipd hangs together reads `_build`.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

from gossipd import __version__
from gossipd.config import Config, Paths, paths_of
from gossipd.control.events import EventLog
from gossipd.control.logs import LogRing, configure, get_logger
from gossipd.control.server import serve
from gossipd.errors import ExitCode, OperatorError
from gossipd.identity import Identity, load_or_create
from gossipd.learning.build import learner_from_config
from gossipd.learning.compute import give_way
from gossipd.learning.errors import LearningError
from gossipd.network.interface import PortInUse
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.operations import Operations
from gossipd.protocol import events
from gossipd.protocol.exchange import Terms
from gossipd.protocol.gossip import Settings
from gossipd.protocol.greeting import Swarm
from gossipd.protocol.node import Node, Setup
from gossipd.runtime import state
from gossipd.runtime.counters import ReservedCounter
from gossipd.runtime.documents import Documents
from gossipd.runtime.engine import Engine
from gossipd.runtime.inbound import Inbound
from gossipd.runtime.models import Models
from gossipd.runtime.outbound import Identifiers, Outbound
from gossipd.runtime.ports import Learner, StoredModel
from gossipd.runtime.waits import Waits
from gossipd.storage.lock import Lock
from gossipd.storage.store import DiskStore
from gossipd.tensors.codecs import body_size, names
from gossipd.wire.identifiers import author_key, digest

P = ParamSpec("P")
R = TypeVar("R")

COUNTER_BLOCK = 1024
"""Steps and sequence numbers reserved at once: one fsync per some dozen cycles."""
UPKEEP_SECONDS = 15.0
"""How often the swarm's state is saved, addresses are looked at and old models are collected."""

log = get_logger("daemon")


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class ComputeWorker:
    """The one thread for torch, merging, encoding and hashing."""

    def __init__(self, idle: bool) -> None:
        self._pool = ThreadPoolExecutor(
            1, thread_name_prefix="compute", initializer=give_way if idle else None
        )

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(fn, *args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started daemon tells who started it."""

    peer_id: str
    addresses: tuple[str, ...]
    join: str
    """The line that another machine types."""


def run(
    config: Config,
    home: Path,
    on_ready: Callable[[Ready], None] | None = None,
    log_file: Path | None = None,
) -> int:
    """Be a daemon until told to stop; the exit code. OperatorError when it cannot start.

    `on_ready` is called once everything answers. Logs go to stderr, or to `log_file`, rotating.
    """
    return asyncio.run(_run(config, home, on_ready, log_file))


async def _run(
    config: Config,
    home: Path,
    on_ready: Callable[[Ready], None] | None,
    log_file: Path | None,
) -> int:
    paths = paths_of(home)
    records = configure(level=config.log.level, format=config.log.format, file=log_file)
    with Lock(paths.lock):
        identity = load_or_create(paths.identity)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with _daemon(config, paths, identity, records, stop) as ready:
            if on_ready is not None:
                on_ready(ready)
            await stop.wait()
            log.info("stopping")
    return ExitCode.OK


@contextlib.asynccontextmanager
async def _daemon(
    config: Config, paths: Paths, identity: Identity, records: LogRing, stop: asyncio.Event
) -> AsyncIterator[Ready]:
    compute = ComputeWorker(config.learning.idle)
    store = DiskStore(paths, quota_bytes=config.storage.quota_mb * 1_000_000)
    try:
        learner = await compute.run(_learner, config, identity)
        event_log = EventLog()
        parts = await compute.run(_build, config, identity, store, learner, compute, event_log)
        operations = Operations(
            config=config,
            paths=paths,
            identity=identity,
            parts=parts,
            learner=learner,
            compute=compute,
            stop=stop,
        )
        async with serve(operations, event_log, records, paths.socket):
            await _start(parts, config, store, learner)
            port = _port_of(parts.transport.addresses)
            upkeep = asyncio.create_task(_upkeep(parts, store, learner, port), name="upkeep")
            try:
                status = operations.status()
                log.info("ready", peer=identity.peer_id, task=learner.task)
                yield Ready(identity.peer_id, tuple(status["addresses"]), status["join"])
            finally:
                upkeep.cancel()
                await parts.engine.stop()
                state.save(parts.node, store, port)
    finally:
        await asyncio.to_thread(compute.close)
        store.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """The rooms of one running daemon."""

    engine: Engine
    node: Node
    transport: Libp2pTransport
    documents: Documents
    models: Models
    outbound: Outbound
    waits: Waits
    swarm: Swarm
    store: DiskStore


def _learner(config: Config, identity: Identity) -> Learner:
    # Two devices with the same data must not do the same work, so the key shuffles the batches.
    seed = int.from_bytes(digest(identity.public_key)[:6], "big")
    try:
        return learner_from_config(config.task, config.learning, seed=seed)
    except LearningError as error:
        raise OperatorError("task", str(error), error.hint, ExitCode.CONFIG) from None


def _build(
    config: Config,
    identity: Identity,
    store: DiskStore,
    learner: Learner,
    compute: ComputeWorker,
    event_log: EventLog,
) -> Parts:
    clock = SystemClock()
    waits = Waits(clock)
    saved = state.load(store)
    models = Models(store, learner, config.gossip.codec, config.gossip.init)
    layout = learner.layout
    task = digest(b"gossipd/1/task/", learner.task.encode(), layout.hash, models.genesis_hash)
    swarm = Swarm(
        id=bytes.fromhex(config.swarm.id) or digest(b"gossipd/1/open-swarm/", task),
        task=task,
        layout=layout.hash,
        genesis=models.genesis_hash,
        agent=f"gossipd/{__version__}",
    )
    documents = Documents(
        swarm.id,
        identity.signer(),
        store.incarnation(),
        ReservedCounter(store, "seq", COUNTER_BLOCK),
    )
    transport = Libp2pTransport(
        identity.seed,
        config.network.listen,
        config.network.port or saved.port,
        mdns=config.network.mdns,
        max_connections=config.network.max_connections,
        heartbeat_interval=config.network.heartbeat_interval,
        heartbeat_timeout=config.network.heartbeat_timeout,
        dial_timeout=config.network.dial_timeout,
    )
    outbound = Outbound(
        identifiers=Identifiers(swarm.id, task, identity.peer_id, (learner.task,), True),
        documents=documents,
        models=models,
        learner=learner,
        store=store,
        compute=compute,
        clock=clock,
        steps=ReservedCounter(store, "steps", COUNTER_BLOCK),
        serving_decay=config.gossip.serving_decay,
    )
    inbound = Inbound(
        transport=transport,
        models=models,
        outbound=outbound,
        learner=learner,
        store=store,
        compute=compute,
        waits=waits,
        averaging=config.gossip.averaging,
        self_weight=config.gossip.self_weight,
        progress_timeout=config.network.progress_timeout,
    )
    node = Node(
        Setup(
            peer_id=identity.peer_id,
            incarnation=documents.incarnation,
            swarm=swarm,
            terms=Terms(
                task=task,
                layout=layout.hash,
                parameters=layout.parameters,
                genesis=models.genesis_hash,
                codecs=frozenset(names()),
                body_sizes={name: body_size(name, layout) for name in names()},
            ),
            gossip=Settings(
                cycle_seconds=config.gossip.cycle_seconds,
                local_steps=config.gossip.local_steps if learner.examples else 0,
                fanout=config.gossip.fanout,
                buffer=config.gossip.buffer,
                exchange=config.gossip.exchange,
            ),
            anti_entropy_seconds=config.gossip.anti_entropy_seconds,
            max_connections=config.network.max_connections,
        ),
        Random(),
    )
    state.restore(node, saved, _standing(models, store), documents, store)
    engine = Engine(
        node=node,
        transport=transport,
        inbound=inbound,
        outbound=outbound,
        documents=documents,
        store=store,
        clock=clock,
        waits=waits,
        report=partial(_report, event_log),
        log=get_logger("runtime"),
        request_timeout=config.network.request_timeout,
        dial_timeout=config.network.dial_timeout,
    )
    return Parts(engine, node, transport, documents, models, outbound, waits, swarm, store)


def _standing(models: Models, store: DiskStore) -> StoredModel | None:
    """Where storage says this node stood, if its models are still there."""
    pointers = store.pointers()
    if pointers is None:
        return None
    head = next((m for m in store.models() if m.model == pointers.head), None)
    if head is None or not models.restore(pointers):
        log.warning("committed model is damaged or gone; starting from the initial one")
        return None
    return head


async def _start(parts: Parts, config: Config, store: DiskStore, learner: Learner) -> None:
    def started(addresses: Sequence[str]) -> events.Started:
        me = author_key(parts.node.setup.peer_id, parts.documents.incarnation)
        steps = parts.node.gossip.lineage.get(me, 0)
        return events.Started(
            parts.documents.record(tuple(addresses), learner.examples, learner.class_counts),
            parts.documents.claim(steps),
        )

    try:
        await parts.engine.start(started)
    except PortInUse as error:
        raise OperatorError(
            "port-in-use",
            f"cannot listen: {error.detail or error}",
            "stop what listens there, or set network.port to another port (0 chooses a free one)",
            ExitCode.FAILURE,
        ) from None
    for peer, addresses, _ in store.peers():
        parts.engine.feed(events.Discovered(peer, tuple(addresses), "storage"))
    for address in config.network.peers:
        peer = address.rsplit("/p2p/", 1)[1]
        parts.engine.feed(events.Discovered(peer, (address,), "operator"))


def _port_of(addresses: Sequence[str]) -> int:
    return int(addresses[0].split("/")[4]) if addresses else 0


async def _upkeep(parts: Parts, store: DiskStore, learner: Learner, port: int) -> None:
    addresses = tuple(parts.transport.addresses)
    while True:
        await asyncio.sleep(UPKEEP_SECONDS)
        try:
            state.save(parts.node, store, port)
            await asyncio.to_thread(store.collect)
        except OSError as error:
            log.warning("upkeep failed", error=str(error))
        now = tuple(parts.transport.addresses)
        if now and now != addresses:
            addresses = now
            record = parts.documents.record(now, learner.examples, learner.class_counts)
            parts.engine.feed(events.RecordChanged(record))


_QUIET = frozenset({"trained", "merged"})


def _report(event_log: EventLog, kind: str, fields: dict[str, Any]) -> None:
    event_log.append(kind, **fields)
    (log.debug if kind in _QUIET else log.info)(kind, **fields)
