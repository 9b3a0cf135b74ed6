"""The real backend: a scenario on the shipped daemons, as processes of this machine.

Daemons are forked by a preloaded parent (fleet.py) and talk over libp2p, through a proxy that makes
the lines between them as long, slow and broken as the scenario wants, or each from a network
namespace of its own (lines.py). Who may talk to whom is kept by the daemons themselves
(`network.allow`).
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from gossipd_scenarios.backend import Event, Fault, Given, NodePlan, Quality, Reading
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.fleet import Fleet, Member
from gossipd_scenarios.judge import Judge
from gossipd_scenarios.real.directory import run_directory
from gossipd_scenarios.real.lines import Lines, ProxyLines, SwitchLines
from gossipd_scenarios.real.looking import Looking
from gossipd_scenarios.real.roster import Roster
from gossipd_scenarios.real.wiring import Wiring

T = TypeVar("T")

STARTS_AT_ONCE = 8
"""Daemons that begin together; more would only share the same cores. Ours."""
START_SECONDS = 60.0


class RealBackend:
    """Implements `gossipd_scenarios.backend.Backend`."""

    name = "real"
    log_hash = None
    """The same seed gives the same faults, but never the same run."""

    def __init__(
        self, directory: Path | None, seed: int, *, keep: bool = False, netns: bool = False
    ) -> None:
        """`directory` takes the nodes' homes, and is removed in the end unless they are to be kept.

        Its path is short, since sockets are made in there. None: a fresh one (directory.py).
        `netns`: a network namespace for each daemon instead of the proxy; entering raises
        ScenarioError "no-namespaces" where that cannot be.
        """
        self.directory = (directory or run_directory(lasting=keep)).absolute()
        self._keep = keep
        settings = SwitchLines.settings if netns else ProxyLines.settings
        self._fleet = Fleet(self.directory, settings, temporary=not keep)
        self._lines: Lines
        if netns:
            self._lines = SwitchLines(self._fleet)
        else:
            self._lines = ProxyLines(self.directory / "proxy.log", seed)
        self._judge = Judge(self.directory)
        self._looking = Looking(self._judge)
        self._roster = Roster(self._fleet)
        self._wiring = Wiring()
        self._told: dict[str, set[str]] = {}
        """Node -> whose addresses it was told in its present life."""
        self._ends: dict[str, int] = {}
        """Node -> its last life whose end has been told."""
        self._blocks = contextlib.AsyncExitStack()

    # --- life ------------------------------------------------------------------------------------

    def drive(self, main: Coroutine[Any, Any, T]) -> T:
        async def guarded() -> T:
            # Ended by the system or with its terminal: clean up as on Ctrl-C.
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(
                    number, os.kill, os.getpid(), signal.SIGINT
                )
            return await main

        return asyncio.run(guarded())

    async def __aenter__(self) -> Self:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        try:
            await self._fleet.__aenter__()
            # Not its own exit, which complains of who has died: that is for the checks to say.
            self._blocks.push_async_callback(self._fleet.close)
            await self._blocks.enter_async_context(self._lines)
            await self._blocks.enter_async_context(self._judge)
        except BaseException:
            await self._close()
            raise
        self._looking = Looking(self._judge)  # whose clock begins now
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        try:
            await self._blocks.aclose()
        finally:
            if not self._keep:
                shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def now(self) -> float:
        return self._looking.now

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.now))

    # --- lives -----------------------------------------------------------------------------------

    async def add(self, plans: Sequence[NodePlan]) -> None:
        names = [self._roster.add(plan).name for plan in plans]
        self._looking.names = self._roster.ranked()
        await self._lines.add(names)
        await self._lines.shape(self._wiring.add(names))
        for member in self._alive():
            neighbours = self._roster.plans[member.name].neighbours
            if neighbours is not None and neighbours & set(names):
                await member.restrict(self._roster.allowed(member.name))

    async def start(self, nodes: Collection[str]) -> None:
        starting = self._roster.members(nodes, running=False)
        self._tell_ends()
        before = [member for member in self._fleet.members.values() if member.lives]
        turn = asyncio.Semaphore(STARTS_AT_ONCE)
        known = {member.name for member in before}
        waits = []
        for member in starting:
            waits.append(self._start(member, known - {member.name}, turn))
            known.add(member.name)
        failures = await asyncio.gather(*waits, return_exceptions=True)
        for failure in failures:
            if failure is not None:
                raise failure  # when all others have started, or failed too
        await self._introduce([m.name for m in starting if m not in before])

    async def _start(self, member: Member, known: set[str], turn: asyncio.Semaphore) -> None:
        """Begin a life that dials whom of the known it is told of."""
        name = member.name
        async with turn:
            told = known & self._roster.reachable(name) if self._lines.typed else set()
            self._told[name] = told
            addresses = [await self._address(name, other) for other in sorted(told)]
            settings = self._roster.settings(name, addresses)
            member.role = self._roster.role(name)
            await self._fleet.start(name, settings, seconds=START_SECONDS)
            await self._lines.listens(name, member.port)
            await self._looking.began(member)

    async def _introduce(self, newcomers: Sequence[str]) -> None:
        """Tell those that run of newcomers, if these were not told of them and dial them."""
        if not self._lines.typed:
            return
        for member in self._alive():
            told = self._told[member.name]
            for name in self._roster.reachable(member.name) & set(newcomers) - told:
                if member.name not in self._told[name]:
                    await member.add_peer(await self._address(member.name, name))
                    told.add(name)

    async def _address(self, source: str, target: str) -> str:
        where = await self._lines.address(source, target)
        return f"{where}/p2p/{self._roster.peer_ids[target]}"

    async def stop(self, nodes: Collection[str]) -> None:
        members = self._roster.members(nodes, running=True)
        if frozen := [member.name for member in members if member.suspended]:
            raise ScenarioError(f"{', '.join(frozen)}: frozen", "thaw it, or kill it")
        await self._looking.last_look(members)
        await asyncio.gather(*(member.stop() for member in members))
        self._tell_ends()

    async def kill(self, nodes: Collection[str]) -> None:
        members = self._roster.members(nodes, running=True)
        await self._looking.last_look([m for m in members if not m.suspended])
        await asyncio.gather(*(member.kill() for member in members))
        self._tell_ends()

    async def restart(self, nodes: Collection[str]) -> None:
        members = self._roster.members(nodes)
        await self.stop([member.name for member in members if member.running])
        await self.start(nodes)

    async def freeze(self, nodes: Collection[str]) -> None:
        members = self._roster.members(nodes, running=True)
        await asyncio.gather(*(member.suspend() for member in members))

    async def thaw(self, nodes: Collection[str]) -> None:
        members = self._roster.members(nodes, running=True)
        await asyncio.gather(*(member.resume_process() for member in members))

    def running(self) -> frozenset[str]:
        return frozenset(member.name for member in self._fleet.members.values() if member.running)

    def _alive(self) -> list[Member]:
        """Those that can answer."""
        members = self._fleet.members.values()
        return [member for member in members if member.running and not member.suspended]

    def _tell_ends(self) -> None:
        """Of every life that has ended since the last time."""
        for member in self._fleet.members.values():
            if member.running or self._ends.get(member.name, 0) == member.lives:
                continue
            self._ends[member.name] = member.lives
            self._looking.ended(member, asked=not member.died)

    # --- disks and clocks ------------------------------------------------------------------------

    async def wipe(self, nodes: Collection[str]) -> None:
        for member in self._roster.members(nodes, running=False):
            await asyncio.to_thread(member.wipe)

    async def corrupt(self, nodes: Collection[str], file: str, rng_seed: int) -> None:
        for member in self._roster.members(nodes, running=False):
            model = self._looking.models_of(member.name).get(file)
            if model is None:
                raise ScenarioError(f"{member.name} has no {file}", "head, base or serving")
            rng = Random(f"{rng_seed}/{member.name}")
            member.corrupt(f"models/{model}.safetensors", rng)

    async def full_disk(self, nodes: Collection[str], full: bool) -> None:
        for member in self._roster.members(nodes, running=True):
            member.fill_disk(full)

    async def set_clock(self, nodes: Collection[str], offset: float) -> None:
        for member in self._roster.members(nodes):
            member.set_clock(offset)

    # --- network ---------------------------------------------------------------------------------

    async def partition(self, deaf: Mapping[str, Collection[str]], *, reset: bool) -> None:
        await self._lines.shape(self._wiring.partition(deaf, reset=reset))

    async def set_links(
        self, senders: Collection[str], receivers: Collection[str] | None, quality: Quality
    ) -> None:
        await self._lines.shape(self._wiring.set_quality(senders, receivers, quality))

    async def carry(self, stick: str, node: str) -> Given:
        (member,) = self._roster.members([node], running=True)
        pocket = self.directory / "sticks" / stick.replace("/", "-")
        pocket.mkdir(parents=True, exist_ok=True)
        brought = [path for path in sorted(pocket.iterdir()) if path.name != node]
        answers = [await member.import_bundle(path) for path in brought]
        await member.export_bundle(pocket / node)
        refused: Counter[str] = Counter()
        for answer in answers:
            refused.update(answer["refused"])
        return Given(len(answers), sum(answer["updates"] for answer in answers), refused)

    # --- looking ---------------------------------------------------------------------------------

    async def events(self) -> Sequence[Event]:
        self._tell_ends()
        return await self._looking.events(self._alive())

    async def read(self, nodes: Collection[str], *, accuracy: bool = True) -> Sequence[Reading]:
        members = self._roster.members(nodes)
        answering = [member for member in members if member.running and not member.suspended]
        return await self._looking.read(answering, accuracy=accuracy)

    def faults(self) -> Sequence[Fault]:
        self._tell_ends()
        return self._looking.faults(self._fleet.members.values())

    async def holdings(self) -> Mapping[str, tuple[int, ...] | None]:
        return dict(self._looking.holdings)

    def home(self, node: str) -> str | None:
        (member,) = self._roster.members([node])
        return str(member.home)
