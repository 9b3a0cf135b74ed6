"""`gossipd` as a person runs it: what it printed and how it ended."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from gossipd_cli.main import main

COMMAND = (sys.executable, "-m", "gossipd_cli")
SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        """A stream's JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(home: Path | None = None) -> dict[str, str]:
    """Ours, without what a developer's shell says about gossipd."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOSSIPD_")}
    kept |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    return kept if home is None else {**kept, "GOSSIPD_HOME": str(home)}


def gossipd(*arguments: str | Path, home: Path | None = None) -> Outcome:
    """Run `gossipd ARGUMENTS` to its end, in this process: a tenth of the time."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(home), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main([str(argument) for argument in arguments])
    return Outcome(int(code), out.getvalue(), err.getvalue())


def gossipd_process(*arguments: str | Path, home: Path | None = None) -> Outcome:
    """Run it as a process of its own, as a shell does."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def following(*arguments: str, home: Path) -> "subprocess.Popen[str]":
    """Start a command that goes on, to read its stdout line by line."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
