"""A fleet: real daemons as processes on this machine, started, watched, killed and brought back.

    async with Fleet(directory) as fleet:
        ann = await fleet.start("ann", {"task.partition": "iid", "task.nodes": 2})
        ben = await fleet.start("ben", {"network.peers": ann.addresses, "task.nodes": 2})
        await ben.until(lambda status: status["updates"]["merged"] > 0, 20, "a merge")
        await ann.kill()
        await fleet.restart(ann)

Daemons are forked by one preloaded parent (parent.py): twenty are up in the time that one takes
to import torch. Each has a home `directory/<name>`, kept between its lives, and a log file beside
it. Every wait has a deadline, and its error names whom was waited for. When the block ends, or the
engine ends however it may, no daemon is left.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from gossipd.config import paths_of, write_initial
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError

P = ParamSpec("P")
R = TypeVar("R")

Document = dict[str, Any]
Setting = str | int | float | bool | Sequence[str]

PRELOAD_SECONDS = 60.0
"""Importing torch and libp2p: 3 s of CPU, more on a busy machine."""
START_SECONDS = 30.0
STOP_SECONDS = 20.0
END_SECONDS = 10.0
"""A killed process has ended within a moment; longer than this something is wrong."""
LAST_WORDS = 12
"""Lines of a dead daemon's log that its error shows."""
LOG_TAIL_BYTES = 16_384
REQUESTS = 64
"""Threads for the API's blocking client: long polls of many daemons at once."""

LOOPBACK: Mapping[str, Setting] = {"network.listen": "127.0.0.1", "network.mdns": False}
"""What all daemons of a fleet are told first: nobody outside this machine is to find them."""


class FleetError(OperatorError):
    """A daemon or the fleet did not do what was asked of it. The hint is the end of its log."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}".rstrip()


class Member:
    """One daemon of a fleet, over all of its lives. Made by `Fleet.start`."""

    def __init__(self, fleet: "Fleet", name: str, home: Path, log: Path) -> None:
        self.name = name
        self.home = home
        self.log = log
        """What it writes on stdout and stderr, all lives after each other."""
        self.settings: dict[str, Setting] = {}
        self.pid: int | None = None
        """None while it does not run."""
        self.returncode: int | None = None
        """How its last life ended: exit code, or minus the signal's number. None while it runs."""
        self.peer_id = ""
        self.addresses: tuple[str, ...] = ()
        """Complete multiaddresses, of its last start."""
        self.lives = 0
        self.suspended = False
        self._fleet = fleet
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._end_expected = False
        self._client = Client(paths_of(home).socket)

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.pid is not None else f"ended {self.returncode}"
        return f"<{self.name}: {state}>"

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def died(self) -> bool:
        """Whether its last life ended though nobody had asked for it."""
        return not self.running and self.returncode is not None and not self._end_expected

    @property
    def expected_to_end(self) -> bool:
        """Whether somebody has asked for the end of this life, or of the last one."""
        return self._end_expected

    # --- its control API -------------------------------------------------------------------------

    async def status(self) -> Document:
        return await self._ask(self._client.status)

    async def peers(self) -> list[Document]:
        return await self._ask(self._client.peers)

    async def add_peer(self, address: str) -> Document:
        return await self._ask(self._client.add_peer, address)

    async def models(self) -> list[Document]:
        return await self._ask(self._client.models)

    async def export(self, role: str, path: Path) -> Document:
        return await self._ask(self._client.export, role, path)

    async def evaluate(self) -> Document:
        return await self._ask(self._client.evaluate)

    async def events(self, since: int = 0, wait: float = 0.0) -> Document:
        """{run, events, next, missed} after `since`; waits up to `wait` seconds for the first."""
        return await self._ask(self._client.events, since, wait=wait)

    async def pause(self) -> Document:
        return await self._ask(self._client.pause)

    async def resume(self) -> Document:
        return await self._ask(self._client.resume)

    async def _ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._fleet.in_thread(call, *args, **kwargs)
        except OperatorError as error:
            if error.code in ("not-running", "no-answer"):
                # The socket is gone before the process is reaped: hear first how it ended.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), 1.0)
            if self.died:
                raise self._death() from error
            raise FleetError(
                error.code, f"{self.name}: {error.message}", error.hint, error.exit_code
            ) from error

    async def until(
        self, condition: Callable[[Document], bool], seconds: float, what: str
    ) -> Document:
        """Wait until its status meets the condition, and return that status.

        Looks again whenever the daemon has reported an event, and once a second besides.
        FleetError "timeout" after `seconds`.
        """
        deadline = time.monotonic() + seconds
        since = (await self.events())["next"]
        while True:
            status = await self.status()
            if condition(status):
                return status
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._late(seconds, what)
            since = (await self.events(since, wait=min(left, 1.0)))["next"]

    # --- its process -----------------------------------------------------------------------------

    async def kill(self) -> None:
        """SIGKILL: no last word, nothing flushed. Returns when it has ended."""
        self._end_expected = True
        await self._signal(signal.SIGKILL)
        await self._wait(self._ended, END_SECONDS, "its end after SIGKILL")

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to stop, as `gossipd stop` does, and wait until it has ended."""
        self._end_expected = True
        await self._ask(self._client.stop)
        await self._wait(self._ended, seconds, "its end after a stop")

    async def suspend(self) -> None:
        """SIGSTOP: it holds its sockets and says nothing."""
        await self._signal(signal.SIGSTOP)
        self.suspended = True

    async def resume_process(self) -> None:
        """SIGCONT."""
        await self._signal(signal.SIGCONT)
        self.suspended = False

    async def ended(self, seconds: float) -> int:
        """Wait until its current life ends by whatever means; the return code."""
        await self._wait(self._ended, seconds, "its end")
        assert self.returncode is not None
        return self.returncode

    async def _signal(self, number: signal.Signals) -> None:
        if not self.running:
            raise FleetError("not-running", f"{self.name} does not run", "", ExitCode.NOT_RUNNING)
        await self._fleet.tell({"signal": self.name, "number": int(number)})

    async def _wait(self, event: asyncio.Event, seconds: float, what: str) -> None:
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            raise self._late(seconds, what) from None

    # --- what the fleet tells it -----------------------------------------------------------------

    async def begin(self, seconds: float) -> None:
        """Be forked, and wait until it listens and answers. FleetError when it does not."""
        self._ready.clear()
        self._ended.clear()
        self._end_expected = self.suspended = False
        self.returncode = None
        request = {"start": self.name, "home": str(self.home), "log": str(self.log)}
        await self._fleet.tell(request)
        waits = [
            asyncio.ensure_future(self._ready.wait()),
            asyncio.ensure_future(self._ended.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        # The caller hears of it here, so it is no surprise later.
        self._end_expected = not self._ready.is_set()
        if self._ended.is_set():
            raise self._death()
        if not self._ready.is_set():
            await self.kill()
            raise self._late(seconds, "it to be ready")
        self._end_expected = False

    def on_message(self, message: Document) -> None:
        match message:
            case {"started": _, "pid": pid}:
                self.pid = pid
                self.lives += 1
            case {"ready": _, "peer_id": peer_id, "addresses": addresses}:
                self.peer_id = peer_id
                self.addresses = tuple(addresses)
                self._ready.set()
            case {"ended": _, "code": code}:
                self.on_end(code)

    def expect_end(self) -> None:
        """From now on its end is no failure."""
        self._end_expected = self._end_expected or self.running

    def on_end(self, code: int) -> None:
        self.pid = None
        self.returncode = code
        self._ended.set()

    def _late(self, seconds: float, what: str) -> FleetError:
        return FleetError(
            "timeout",
            f"{self.name}: waited {seconds:g} s for {what}",
            f"the end of its log:\n{self.last_words()}",
            ExitCode.TIMEOUT,
        )

    def _death(self) -> FleetError:
        return FleetError(
            "daemon-died",
            f"{self.name} ended by itself with {self.returncode}",
            f"the end of its log:\n{self.last_words()}",
        )

    def failure(self) -> FleetError | None:
        """Its unexpected death, as an error to raise."""
        return self._death() if self.died else None

    def last_words(self) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LAST_WORDS:])


class Fleet:
    """Daemons that live in one directory and end with this object."""

    def __init__(
        self, directory: Path, settings: Mapping[str, Setting] = LOOPBACK, *, threads: int = 1
    ) -> None:
        """`settings` are given to every daemon, before its own. `threads`: OpenMP's, per daemon."""
        self.directory = directory.absolute()
        self.members: dict[str, Member] = {}
        self.parent_pid: int | None = None
        self.parent_threads: int | None = None
        """Threads of the parent when all was loaded; more than one makes forking a gamble."""
        self._settings = dict(settings)
        self._openmp_threads = threads
        self._parent: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._preloaded = asyncio.Event()
        self._lost = asyncio.Event()
        self._pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="fleet")

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        dead = [failure for m in self.members.values() if (failure := m.failure())]
        await self.close()
        if dead and error is None:
            raise dead[0]

    async def start(
        self,
        name: str,
        settings: Mapping[str, Setting] | None = None,
        *,
        seconds: float = START_SECONDS,
    ) -> Member:
        """Start the daemon `name`, and wait until it listens and answers.

        `settings` by their dotted names ("network.peers"). A name that was used before is the same
        daemon: its home is still there. Configuration that does not hold raises OperatorError here.
        """
        member = self.members.get(name)
        if member is None:
            member = Member(self, name, self.directory / name, self.directory / f"{name}.log")
            self.members[name] = member
        if member.running:
            raise FleetError("already-running", f"{name} runs already")
        member.settings = dict(settings or {})
        paths_of(member.home).config.unlink(missing_ok=True)
        write_initial(member.home, {**self._settings, **member.settings})
        await member.begin(seconds)
        return member

    async def restart(self, member: Member, *, seconds: float = START_SECONDS) -> Member:
        """Start a member again with the settings that it had; stop it first if it runs."""
        if member.running:
            await member.stop()
        return await self.start(member.name, member.settings, seconds=seconds)

    def check(self) -> None:
        """Raise the error of a daemon that ended unasked, or of their parent."""
        if self._lost.is_set():
            raise FleetError(
                "fleet-lost", "the parent of all daemons ended, and so did they", self._complaint()
            )
        for member in self.members.values():
            failure = member.failure()
            if failure is not None:
                raise failure

    async def close(self) -> None:
        """Kill what still runs; nothing is left when this returns. May be called again."""
        for member in self.members.values():
            member.expect_end()
        if self._writer is not None:
            self._writer.close()  # to the parent this is the end: it kills and reaps its children
        if self._parent is not None:
            try:
                await asyncio.wait_for(self._parent.wait(), END_SECONDS)
            except TimeoutError:
                self._parent.kill()  # the kernel kills its children
                await self._parent.wait()
            self._parent = None
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for member in self.members.values():
            if member.running:
                member.on_end(-signal.SIGKILL)
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- the parent ------------------------------------------------------------------------------

    async def _open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GOSSIPD_")}
        environment |= {
            name: str(self._openmp_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        try:
            with (self.directory / "parent.log").open("wb") as log:
                self._parent = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gossipd_scenarios.parent",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=environment,
                )
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.parent_pid = self._parent.pid
        self._listening = asyncio.create_task(self._listen(reader), name="fleet-parent")
        try:
            await asyncio.wait_for(self._preloaded.wait(), PRELOAD_SECONDS)
        except TimeoutError:
            raise FleetError(
                "timeout",
                f"waited {PRELOAD_SECONDS:g} s for the daemons' parent to load",
                self._complaint(),
                ExitCode.TIMEOUT,
            ) from None
        self.check()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """What the parent says, until it ends."""
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "preloaded" in message:
                    self.parent_threads = message["threads"]
                    self._preloaded.set()
                    continue
                name = message.get("started") or message.get("ready") or message.get("ended")
                self.members[name].on_message(message)
        except ConnectionError:
            pass
        finally:
            self._lost.set()
            self._preloaded.set()
            for member in self.members.values():
                if member.running:
                    member.on_end(-signal.SIGKILL)

    async def tell(self, message: Document) -> None:
        """Send a request to the parent."""
        if self._writer is None or self._lost.is_set():
            self.check()
            raise FleetError("fleet-closed", "the fleet is closed")
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call of the API's client."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    def _complaint(self) -> str:
        log = self.directory / "parent.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_WORDS:])
