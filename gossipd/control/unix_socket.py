"""The socket file: who may open it, and whether anybody still answers on it."""

import os
import socket
import stat
from pathlib import Path

from gossipd.errors import ExitCode, OperatorError

BACKLOG = 64
PROBE_SECONDS = 2.0


def connect(path: Path, timeout: float) -> socket.socket:
    """A connected socket. Raises OSError as socket.connect does (nobody listens, no such file)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def listen(path: Path) -> socket.socket:
    """A listening socket that only its owner may open, at no instant anybody else.

    A file that a dead daemon left is removed. The caller holds the lock of the state directory, so
    that nobody else does the same at this moment. Raises OperatorError: "already-running" when
    somebody answers there, "not-a-socket" when the path holds something else.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode is set when the file is made: a chmod afterwards would come an instant too late.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OperatorError(
            "not-a-socket",
            f"{path} is in the way: it is not a socket",
            "move it away and start again",
            ExitCode.FAILURE,
        )
    try:
        connect(path, PROBE_SECONDS).close()
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    except (TimeoutError, BlockingIOError):
        raise _already_running(path) from None  # a full backlog: somebody is there, if stuck
    else:
        raise _already_running(path)


def _already_running(path: Path) -> OperatorError:
    return OperatorError(
        "already-running",
        f"a daemon already answers on {path}",
        "`gossipd status` shows it, `gossipd stop` stops it; a second one needs its own --home",
        ExitCode.ALREADY_RUNNING,
    )
