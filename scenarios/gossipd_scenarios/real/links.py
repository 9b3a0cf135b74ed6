"""The engine's end of the shaping proxy (proxy.py): a process that lives as long as a block."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from gossipd.errors import ExitCode
from gossipd_scenarios.errors import FleetError
from gossipd_scenarios.real.proxy import Pair
from gossipd_scenarios.real.shaping import Conditions

START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
END_SECONDS = 5.0


class Shape(NamedTuple):
    """What some directions (source, target) are to be like."""

    pairs: Collection[Pair]
    conditions: Conditions
    uplink: int = 0
    """Directions of one source with the same number share a rate."""


class Links:
    """Links between named nodes of this machine; perfect until something else is said."""

    def __init__(self, log: Path, seed: int = 0) -> None:
        """`log` takes what the process writes on stderr. `seed`: of jitter and loss."""
        self._log = log
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._turn = asyncio.Lock()
        self._number = 0

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gossipd_scenarios.real.proxy",
                    *(str(theirs.fileno()), str(os.getpid()), str(self._seed)),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is for the engine, which ends this one
                )
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.wait_for(self._process.wait(), END_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def open(self, source: str, target: str) -> int:
        """The port at which `source` is to dial `target`, wherever that listens (`moved`)."""
        answer = await self._ask({"open": [source, target]})
        return int(answer["port"])

    async def moved(self, target: str, port: int) -> None:
        """`target` listens here from now on; connections that stand are left alone."""
        await self._ask({"moved": target, "port": port})

    async def shape(self, *shapes: "Shape") -> None:
        """Give directions other conditions, all at once."""
        rows = [(list(s.pairs), asdict(s.conditions), s.uplink) for s in shapes]
        await self._ask({"shape": rows})

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """One question at a time; an answer that nobody waits for any more is passed over."""
        async with self._turn:
            try:
                number = self._number = self._number + 1
                self._writer.write(json.dumps({**message, "id": number}).encode() + b"\n")
                async with asyncio.timeout(START_SECONDS if number == 1 else ANSWER_SECONDS):
                    while line := await self._reader.readline():
                        answer: dict[str, Any] = json.loads(line)
                        if answer["id"] == number:
                            return answer
            except TimeoutError:
                raise FleetError(
                    "timeout", "the shaping proxy does not answer", "", ExitCode.TIMEOUT
                ) from None
            except ConnectionError:
                pass
        raise FleetError(
            "proxy-died", "the shaping proxy ended", self._log.read_text(errors="replace")
        )
