"""The daemon as a process: starting one that outlives its terminal, seeing one end."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gossipd.control.client import Client, Document
from gossipd.errors import ExitCode, OperatorError

COMMAND = (sys.executable, "-m", "gossipd_cli")
POLL_SECONDS = 0.1
TERMINATE_SECONDS = 10.0


def detach(arguments: Sequence[str], client: Client, logs: Path, timeout: float) -> Document:
    """Run `gossipd ARGUMENTS` in a session of its own, and wait until it listens and answers.

    Returns its status. Raises what it said when it ended instead, and "start-timeout" when it did
    neither within `timeout` seconds; it is stopped then, so that nobody finds it half-started.
    """
    for directory in (logs.parent, logs):  # parents=True would make them as open as the umask is
        directory.mkdir(mode=0o700, exist_ok=True)
    said, complaint = logs / "start.json", logs / "stderr.log"
    with _private(said) as stdout, _private(complaint) as stderr:
        child = subprocess.Popen(
            [*COMMAND, *arguments, "--format", "json"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + timeout
    try:
        while child.poll() is None:
            status = _status(client)
            # It answers a little before it listens. When it does it says so, where it may have no
            # address to show.
            is_up = status is not None and (status["addresses"] or said.stat().st_size)
            if status is not None and status["pid"] == child.pid and is_up:
                child.returncode = 0  # it is on its own now: nothing here waits for its end
                return status
            if time.monotonic() > deadline:
                raise OperatorError(
                    "start-timeout",
                    f"the daemon did not answer within {timeout:g} s and was stopped",
                    f"{logs} tells what it did",
                    ExitCode.TIMEOUT,
                )
            time.sleep(POLL_SECONDS)
    except BaseException:
        _end(child)
        raise
    raise _last_words(said, complaint, child.returncode)


def _status(client: Client) -> Document | None:
    try:
        return client.status()
    except OperatorError:
        return None  # not yet; the caller watches the process and the clock


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_words(said: Path, complaint: Path, code: int) -> OperatorError:
    """The error that a daemon ended with."""
    try:
        error = json.loads(said.read_text())["error"]
        return OperatorError(error["code"], error["message"], error["hint"], ExitCode(code))
    except (ValueError, KeyError, TypeError):
        lines = complaint.read_text(errors="replace").strip().splitlines()
        ending = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return OperatorError(
            "start-failed",
            lines[-1] if lines else f"the daemon {ending}",
            f"{complaint} has all that it said",
        )


def _private(path: Path) -> Any:
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


class Watch:
    """Notices the end of a process, be it our child or not."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it has ended already."""
        self._pid = pid
        # A descriptor cannot come to mean a later process, as a reused number could. Linux only.
        self._descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def ended(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it did."""
        if self._descriptor is not None:
            return bool(select.select([self._descriptor], [], [], timeout)[0])
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                os.kill(self._pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def close(self) -> None:
        """Release what `ended` needs."""
        if self._descriptor is not None:
            os.close(self._descriptor)
