"""The composition root: builds the rooms, starts them, stops them.

    identity, config -> store, learner, transport -> assemble -> control API over operations

Nothing here decides anything.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

from gossipd.address import announced
from gossipd.config import Config, Paths, load, paths_of
from gossipd.control.events import EventLog
from gossipd.control.kinds import QUIET
from gossipd.control.logs import LogRing, configure, get_logger
from gossipd.control.server import serve
from gossipd.errors import ExitCode, OperatorError
from gossipd.learning.build import learner_from_config
from gossipd.learning.compute import give_way, stand_back
from gossipd.learning.errors import LearningError
from gossipd.learning.learner import TorchLearner
from gossipd.machine.data_files import DataFiles
from gossipd.machine.guest import Day, Guest
from gossipd.machine.memory import give_back
from gossipd.machine.notify import feed_watchdog, tell
from gossipd.machine.upkeep import Upkeep
from gossipd.members.identity import Identity, load_or_create
from gossipd.members.invitations import Invitations
from gossipd.members.joining import complete
from gossipd.members.membership import Books
from gossipd.network.interface import PortInUse
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.operator.operations import Operations
from gossipd.operator.reloading import Reloader
from gossipd.options import options_of
from gossipd.protocol import events
from gossipd.protocol.membership import Denial
from gossipd.protocol.round_events import Leaving
from gossipd.runtime import state
from gossipd.runtime.assembly import Options, Parts, Ports, assemble
from gossipd.runtime.ports import Clock
from gossipd.storage.lock import Lock
from gossipd.storage.store import DiskStore
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Enter, Refused, SignedMembership, Welcome

P = ParamSpec("P")
R = TypeVar("R")

FAREWELL_SECONDS = 1.0
"""How long a stopping daemon may take to say so to its peers."""

ENTER_SECONDS = 20.0
"""How long a start tries to use an invitation that `gossipd join` could not."""

log = get_logger("daemon")


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class ComputeWorker:
    """The one thread for torch, merging, encoding and hashing."""

    def __init__(self, niceness: int | None) -> None:
        """`niceness` of its thread; None: that of the process."""
        self._pool = ThreadPoolExecutor(
            1,
            thread_name_prefix="compute",
            initializer=None if niceness is None else partial(give_way, niceness),
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
    """The line that another machine types; empty where there is none."""
    membership: dict[str, Any] | None
    """Of a closed swarm, as `Operations.status` has it."""
    port: int
    """Where it listens, whatever it announces."""


def run(
    config: Config,
    home: Path,
    on_ready: Callable[[Ready], None] | None = None,
    log_file: Path | None = None,
    clock: Clock | None = None,
    reload: Callable[[], Config] | None = None,
) -> int:
    """Be a daemon until told to stop; the exit code. OperatorError when it cannot start.

    `on_ready` is called once everything answers. Logs go to stderr, or to `log_file`, rotating.
    `clock`: another one than the machine's, for experiments. `reload` gives the settings anew, on
    SIGHUP or when the operator asks.
    """
    read = reload or partial(load, home)
    return asyncio.run(_run(config, home, on_ready, log_file, clock or SystemClock(), read))


async def _run(
    config: Config,
    home: Path,
    on_ready: Callable[[Ready], None] | None,
    log_file: Path | None,
    clock: Clock,
    read: Callable[[], Config],
) -> int:
    paths = paths_of(home)
    if config.learning.background:
        stand_back(config.learning.niceness)
    records = configure(level=config.log.level, format=config.log.format, file=log_file)
    with Lock(paths.lock):
        identity = load_or_create(paths.identity)
        if await complete(paths, identity, ENTER_SECONDS):
            log.info("entered the swarm of the invitation")
            config = read()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with _daemon(config, paths, identity, records, clock, stop, read) as ready:
            if on_ready is not None:
                on_ready(ready)
            watched = asyncio.create_task(feed_watchdog(), name="watchdog")
            tell(f"READY=1\nSTATUS=listens on port {ready.port}")
            try:
                await stop.wait()
            finally:
                watched.cancel()
            tell("STOPPING=1")
            log.info("stopping")
            if config.learning.background:
                stand_back(0)  # somebody waits for its end
    return ExitCode.OK


@contextlib.asynccontextmanager
async def _daemon(
    config: Config,
    paths: Paths,
    identity: Identity,
    records: LogRing,
    clock: Clock,
    stop: asyncio.Event,
    read: Callable[[], Config],
) -> AsyncIterator[Ready]:
    books = Books(paths.members, identity, paths.database)
    swarm = _swarm(config, books)
    compute = ComputeWorker(config.learning.niceness if config.learning.background else None)
    store = DiskStore(paths, quota_bytes=config.storage.quota_mb * 1_000_000)
    event_log = EventLog()
    try:
        learner = await compute.run(_learner, config, paths, identity)
        transport = _transport(config, identity, state.load(store).port)
        ports = Ports(
            transport=transport,
            store=store,
            clock=clock,
            compute=compute,
            learner=learner,
            signer=identity.signer(),
            rng=Random(),
            report=partial(_report, event_log),
            log=get_logger("runtime"),
            keep_revocations=books.keep_revocations,
            let_in=partial(_let_in, Invitations(books), clock),
        )
        options = _options(config, swarm, books)
        parts = await compute.run(_assembled, ports, options, paths)
        data = DataFiles(learner, compute, partial(_report, event_log))
        if store.pointers() is not None and not parts.restored:
            log.warning("the committed model is damaged or gone; starting from the initial one")
        if parts.restored:
            _report(event_log, "restored", _standing(parts))
        day = Day(paths.home / "traffic.json", config.guest.max_per_day * 1_000_000)
        upkeep = Upkeep(parts, store, clock, Guest(config.guest), day, data, event_log)
        reloader = Reloader(config, read, parts.engine.feed, upkeep, store, transport)
        if not sys.stderr.isatty():  # on a terminal that is closed it is the usual end
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.on_signal)
        operations = Operations(
            config,
            paths,
            identity,
            parts,
            compute,
            store,
            books,
            clock,
            stop,
            upkeep,
            reloader,
            data,
            partial(_report, event_log),
        )
        async with serve(operations, event_log, records, paths.socket):
            await _start(parts, config)
            upkeep.save()
            await asyncio.to_thread(give_back)
            keeping = asyncio.create_task(upkeep.run(), name="upkeep")
            try:
                status = operations.status()
                log.info("ready", peer=identity.peer_id, task=learner.task)
                yield Ready(
                    identity.peer_id,
                    tuple(status["addresses"]),
                    status["join"],
                    status["membership"],
                    parts.transport.port,
                )
            finally:
                keeping.cancel()
                upkeep.save()
                if parts.node.rounds is not None:
                    await parts.engine.farewell(Leaving(parts.leaving()), FAREWELL_SECONDS)
                await parts.engine.stop()
    finally:
        await asyncio.to_thread(compute.close)
        store.close()


def _let_in(
    invitations: Invitations, clock: Clock, peer: str, enter: Enter
) -> tuple[SignedMembership, Welcome] | Denial:
    try:
        return invitations.let_in(peer, enter, clock.wall())
    except OperatorError as error:
        log.warning("nobody can be let in", code=error.code, error=error.message)
        refused = Refused(code="busy", reason="the founder cannot write its books: try again later")
        return Denial("books-unusable", refused)


def _learner(config: Config, paths: Paths, identity: Identity) -> TorchLearner:
    # Two devices with the same data must not do the same work, so the key shuffles the batches.
    seed = int.from_bytes(digest(identity.public_key)[:6], "big")
    try:
        return learner_from_config(config.task, config.learning, seed=seed, home=paths.home)
    except LearningError as error:
        raise OperatorError("task", str(error), error.hint, ExitCode.CONFIG) from None


def _assembled(ports: Ports, options: Options, paths: Paths) -> Parts:
    try:
        return assemble(ports, options)
    except state.ForeignStateError:
        raise OperatorError(
            "another-swarm",
            f"what was learnt in {paths.home} was learnt in another swarm",
            "go back to that swarm, or choose another state directory with --home; or move "
            "state.db, models and bodies away (the key stays) to begin anew in this one",
            ExitCode.CONFIG,
        ) from None


def _transport(config: Config, identity: Identity, last_port: int) -> Libp2pTransport:
    network = config.network
    return Libp2pTransport(
        identity.seed,
        network.listen,
        network.port,
        mdns=network.mdns,
        max_connections=network.max_connections,
        heartbeat_interval=network.heartbeat_interval,
        heartbeat_timeout=network.heartbeat_timeout,
        dial_timeout=network.dial_timeout,
        max_upload=config.guest.max_upload * 1000.0,
        announce=announced(network.announce),
        last_port=last_port,
    )


def _swarm(config: Config, books: Books) -> bytes | None:
    """A membership says which swarm it is; else the setting does; None: the task's open one."""
    closed, configured = books.swarm(), bytes.fromhex(config.swarm.id) or None
    if closed is None:
        return configured
    if configured not in (None, closed):
        log.warning("swarm.id is not used: this is a member of a closed swarm", swarm=closed.hex())
    return closed


def _options(config: Config, swarm: bytes | None, books: Books) -> Options:
    own = books.own()
    return options_of(
        config,
        swarm=swarm,
        membership=b"" if own is None else own.envelope,
        revocations=tuple(signed.envelope for signed in books.revoked()),
    )


async def _start(parts: Parts, config: Config) -> None:
    try:
        await parts.engine.start(parts.started)
    except PortInUse as error:
        raise OperatorError(
            "port-in-use",
            f"cannot listen: {error.detail or error}",
            "stop what listens there, or set network.port to another port (0 chooses a free one)",
            ExitCode.FAILURE,
        ) from None
    for peer, addresses, _ in parts.store.peers():
        parts.engine.feed(events.Discovered(peer, tuple(addresses), "storage"))
    for address in config.network.peers:
        peer = address.rsplit("/p2p/", 1)[1]
        parts.engine.feed(events.Discovered(peer, (address,), "operator"))


def _standing(parts: Parts) -> dict[str, Any]:
    pointers = parts.models.pointers
    return {role: getattr(pointers, role).hex() for role in ("base", "head", "serving")}


def _report(event_log: EventLog, kind: str, fields: dict[str, Any]) -> None:
    event_log.append(kind, **fields)
    (log.debug if kind in QUIET else log.info)(kind, **fields)
