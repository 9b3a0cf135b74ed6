"""Asks the measuring process (measure.py) how good exported models are."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gossipd.errors import ExitCode
from gossipd_scenarios.fleet import FleetError, Member

ANSWER_SECONDS = 30.0
"""The first answer waits for the test set to be loaded."""
END_SECONDS = 5.0


class Judge:
    """One measuring process, for as long as a block lasts. It ends when its stdin does."""

    def __init__(self, directory: Path) -> None:
        """`directory`, which exists, takes the exported models."""
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        with (self._directory / "measure.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gossipd_scenarios.measure",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the engine, which ends this one
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.wait_for(self._process.wait(), END_SECONDS)

    async def accuracy(self, member: Member, model: str = "serving") -> tuple[float, str]:
        """Have the daemon export a model (a role, or a hash): (0..1 on the test set, its hash)."""
        accuracy, _, found = await self.recalls(member, model)
        return accuracy, found

    async def recalls(
        self, member: Member, model: str = "serving"
    ) -> tuple[float, tuple[float, ...], str]:
        """As `accuracy`, with the share of each class's examples that are recognised."""
        path = self._directory / f"{member.name}.safetensors"
        exported = await member.export(model, path)
        answer = await self._measured(path)
        return float(answer["accuracy"]), tuple(answer["recalls"]), str(exported["hash"])

    async def accuracy_of(self, path: Path) -> float:
        """FleetError when the file is no model, or no answer comes."""
        return float((await self._measured(path))["accuracy"])

    async def _measured(self, path: Path) -> dict[str, Any]:
        async with self._turn:
            answer = await self._ask(path)
        if "error" in answer:
            raise FleetError("not-a-model", str(answer["error"]))
        return answer

    async def _ask(self, path: Path) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{path}\n".encode())
            async with asyncio.timeout(ANSWER_SECONDS):
                await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError:
            raise FleetError(
                "timeout",
                f"waited {ANSWER_SECONDS:g} s for the measuring process",
                exit_code=ExitCode.TIMEOUT,
            ) from None
        except ConnectionError:
            line = b""
        if not line:
            log = self._directory / "measure.log"
            raise FleetError("measure-died", "the measuring process ended", log.read_text())
        answer: dict[str, Any] = json.loads(line)
        return answer
