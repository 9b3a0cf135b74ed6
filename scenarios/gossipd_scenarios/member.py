"""One daemon of a fleet: its control API, its process, and how it ended.

Every wait has a deadline, and its error names whom was waited for and shows the end of its log.
"""

import asyncio
import contextlib
import shutil
import signal
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import psutil

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_scenarios.errors import FleetError

if TYPE_CHECKING:
    from gossipd_scenarios.fleet import Fleet

P = ParamSpec("P")
R = TypeVar("R")

Document = dict[str, Any]
Setting = str | int | float | bool | Sequence[str] | Sequence[int]

STOP_SECONDS = 20.0
END_SECONDS = 10.0
"""A killed process has ended within a moment; longer than this something is wrong."""
OFFSET = struct.Struct("=d")
"""A clock's offset in seconds, as it lies in its file."""
CORRUPT_BYTES = 64
"""Overwritten at once: a torn or lost sector is larger, a flipped bit smaller. Ours."""
LAST_WORDS = 12
"""Lines of a dead daemon's log that its error shows."""
LOG_TAIL_BYTES = 16_384


class Member:
    """One daemon of a fleet, over all of its lives. Made by `Fleet.start`."""

    def __init__(self, fleet: "Fleet", name: str, home: Path, log: Path) -> None:
        self.name = name
        self.home = home
        self.log = log
        """What it writes on stdout and stderr, all lives after each other."""
        self._clock = log.with_suffix(".clock")
        self.settings: dict[str, Setting] = {}
        self.pid: int | None = None
        """None while it does not run."""
        self.returncode: int | None = None
        """How its last life ended: exit code, or minus the signal's number. None while it runs."""
        self.peer_id = ""
        self.addresses: tuple[str, ...] = ()
        """Complete multiaddresses, of its last start."""
        self.port = 0
        """Where it listens, whatever it announces."""
        self.lives = 0
        self.began_at = self.ended_at = 0.0
        """Monotonic seconds, of the last life to begin and to end."""
        self.suspended = False
        self.role: Document | None = None
        """What it does otherwise than a shipped daemon, in its next life: hostile.py."""
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

    async def inside(self) -> Document:
        return await self._ask(self._client.inside)

    async def first_choice(self) -> str | None:
        """The peer that comes first for what it asks most."""
        items = (await self._ask(self._client.rank, "peers", limit=1))["items"]
        return str(items[0]["peer_id"]) if items else None

    async def peers(self) -> list[Document]:
        return await self._ask(self._client.peers)

    async def add_peer(self, address: str) -> Document:
        return await self._ask(self._client.add_peer, address)

    async def restrict(self, allow: Sequence[str]) -> Document:
        """Have it talk to these peer ids only, until it is started again."""
        return await self._ask(self._client.restrict, allow)

    async def block(self, peer: str) -> Document:
        """Have it never talk to a peer, until it is unblocked or its settings are written anew."""
        return await self._ask(self._client.block_peer, peer)

    async def unblock(self, peer: str) -> Document:
        return await self._ask(self._client.unblock_peer, peer)

    async def models(self) -> list[Document]:
        return await self._ask(self._client.models)

    async def export(self, model: str, path: Path) -> Document:
        return await self._ask(self._client.export, model, path)

    async def export_bundle(self, path: Path) -> Document:
        """Replaces what is there."""
        return await self._ask(self._client.export_bundle, path, force=True)

    async def import_bundle(self, path: Path) -> Document:
        return await self._ask(self._client.import_bundle, path)

    async def evaluate(self) -> Document:
        return await self._ask(self._client.evaluate)

    async def events(
        self, since: int = 0, wait: float = 0.0, *, run: str = "", limit: int = 10_000
    ) -> Document:
        """{run, events, next, missed} after `since`; waits up to `wait` seconds for the first."""
        return await self._ask(self._client.events, since, run=run, wait=wait, limit=limit)

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
        """SIGSTOP: it holds its sockets and says nothing. Returns when it stands still."""
        await self._signal(signal.SIGSTOP)
        process = psutil.Process(self.pid)
        deadline = time.monotonic() + END_SECONDS
        while process.status() != psutil.STATUS_STOPPED:
            if time.monotonic() > deadline:
                raise self._late(END_SECONDS, "it to stand still after SIGSTOP")
            await asyncio.sleep(0.005)
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

    # --- its disk and its clock ------------------------------------------------------------------

    def wipe(self) -> None:
        """Empty its home, while it does not run; only its key and its settings stay."""
        self._expect_not_running()
        for path in self.home.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in ("identity.key", "config.toml"):
                path.unlink()

    def corrupt(self, name: str, rng: Random) -> None:
        """Overwrite bytes in the middle of a file of its home, while it does not run."""
        self._expect_not_running()
        path = self.home / name
        size = path.stat().st_size
        length = min(CORRUPT_BYTES, size)
        with path.open("r+b") as file:
            file.seek(rng.randint(size // 4, max(size // 4, 3 * size // 4 - length)))
            file.write(rng.randbytes(length))

    def private_memory(self) -> int:
        """Bytes that are its own; the rest it shares with the parent that forked it."""
        return int(psutil.Process(self.pid).memory_full_info().uss)

    def fill_disk(self, full: bool) -> None:
        """Let every write of its present life fail as on a disk without room, or not any more."""
        if not self.running:
            raise FleetError("not-running", f"{self.name} does not run", "", ExitCode.NOT_RUNNING)
        process = psutil.Process(self.pid)
        _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (0 if full else hard, hard))

    def set_clock(self, offset: float) -> None:
        """Put its wall clock `offset` seconds ahead of the machine's, now and in later lives."""
        if not self._clock.exists():
            self._clock.write_bytes(OFFSET.pack(0.0))
        with self._clock.open("r+b") as file:  # in place: a daemon has it mapped
            file.write(OFFSET.pack(offset))

    def _expect_not_running(self) -> None:
        if self.running:
            raise FleetError("already-running", f"{self.name} runs", "stop or kill it first")

    # --- what the fleet tells it -----------------------------------------------------------------

    async def begin(self, seconds: float) -> None:
        """Be forked, and wait until it listens and answers. FleetError when it does not."""
        self._ready.clear()
        self._ended.clear()
        self._end_expected = self.suspended = False
        self.returncode = None
        if not self._clock.exists():
            self.set_clock(0.0)
        files = {"home": self.home, "log": self.log, "clock": self._clock}
        request = {"start": self.name, "role": self.role}
        await self._fleet.tell(request | {k: str(v) for k, v in files.items()})
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
                self.began_at = time.monotonic()
                self.lives += 1
            case {"ready": _, "peer_id": peer_id, "addresses": addresses, "port": port}:
                self.peer_id = peer_id
                self.port = port
                self.addresses = tuple(addresses)
                self._ready.set()
            case {"ended": _, "code": code}:
                self.on_end(code)

    def expect_end(self) -> None:
        """From now on its end is no failure."""
        self._end_expected = self._end_expected or self.running

    def on_end(self, code: int) -> None:
        self.pid = None
        self.ended_at = time.monotonic()
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
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LAST_WORDS:])
