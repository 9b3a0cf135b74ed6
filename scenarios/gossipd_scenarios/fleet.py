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
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from gossipd.config import paths_of, write_initial
from gossipd.errors import ExitCode
from gossipd_scenarios.errors import FleetError
from gossipd_scenarios.member import END_SECONDS, LAST_WORDS, Document, Member, Setting

__all__ = ["LOOPBACK", "Fleet", "FleetError", "Member", "Setting"]

P = ParamSpec("P")
R = TypeVar("R")

PRELOAD_SECONDS = 60.0
"""Importing torch and libp2p: 3 s of CPU, more on a busy machine."""
START_SECONDS = 30.0
WIRE_SECONDS = 60.0
"""For hundreds of calls of `ip`, 10 ms each."""
REQUESTS = 64
"""Threads for the API's blocking client: long polls of many daemons at once."""

LOOPBACK: Mapping[str, Setting] = {
    "network.listen": "127.0.0.1",
    "network.mdns": False,
    "learning.background": False,
}
"""What all daemons of a fleet are told first: nobody outside this machine is to find them, and an
experiment is no guest here that would give way to whatever else runs."""


class Fleet:
    """Daemons that live in one directory and end with this object."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Setting] = LOOPBACK,
        *,
        threads: int = 1,
        temporary: bool = False,
    ) -> None:
        """`settings` are given to every daemon, before its own. `threads`: OpenMP's, per daemon.
        `temporary`: the directory is removed too if this process is killed."""
        self.directory = directory.absolute()
        self.members: dict[str, Member] = {}
        self.parent_pid: int | None = None
        self.parent_threads: int | None = None
        """Threads of the parent when all was loaded; more than one makes forking a gamble."""
        self._settings = dict(settings)
        self._openmp_threads = threads
        self._temporary = temporary
        self._parent: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._preloaded = asyncio.Event()
        self._number = 0
        self._answers: dict[int, asyncio.Future[str | None]] = {}
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

        `settings` by their dotted names ("network.peers"); None: those of its last life. A name
        that was used before is the same daemon: its home is still there. Configuration that does
        not hold raises OperatorError here.
        """
        member = self.members.get(name)
        if member is None:
            member = self.add(name)
        if member.running:
            raise FleetError("already-running", f"{name} runs already")
        if settings is not None:
            member.settings = dict(settings)
        paths_of(member.home).config.unlink(missing_ok=True)
        write_initial(member.home, {**self._settings, **member.settings})
        await member.begin(seconds)
        return member

    def add(self, name: str) -> Member:
        """A daemon that has not lived yet; it gets its settings at its start."""
        member = Member(self, name, self.directory / name, self.directory / f"{name}.log")
        self.members[name] = member
        return member

    async def restart(self, member: Member, *, seconds: float = START_SECONDS) -> Member:
        """Start a member again with the settings that it had; stop it first if it runs."""
        if member.running:
            await member.stop()
        return await self.start(member.name, seconds=seconds)

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
            self._writer.write(b'{"bye": true}\n')
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
                    *([str(self.directory)] if self._temporary else ()),
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
                if "done" in message:
                    if message["done"] in self._answers:
                        self._answers[message["done"]].set_result(message["error"])
                    continue
                name = message.get("started") or message.get("ready") or message.get("ended")
                self.members[name].on_message(message)
        except ConnectionError:
            pass
        finally:
            self._lost.set()
            self._preloaded.set()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result("the parent of all daemons ended")
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

    async def wire(self, request: Document) -> None:
        """Have the parent do something to the daemons' network namespaces (real/namespaces.py).

        Before the first daemon, {"isolate": true} gives each one of its own. FleetError
        "no-namespaces" with the reason when that cannot be done here.
        """
        self._number += 1
        number, done = self._number, asyncio.get_running_loop().create_future()
        self._answers[number] = done
        await self.tell({**request, "id": number})
        try:
            error = await asyncio.wait_for(done, WIRE_SECONDS)
        except TimeoutError:
            error = f"no answer within {WIRE_SECONDS:g} s"
        finally:
            del self._answers[number]
        if error is not None:
            raise FleetError("no-namespaces", error)

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call of the API's client."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    def _complaint(self) -> str:
        log = self.directory / "parent.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_WORDS:])
