"""One daemon per state directory.

The lock is the kernel's (flock): it ends with the process, however that ends, and needs no clearing
away. The file's content only tells who holds it.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import make_private_directory


class Lock:
    """`with Lock(path): ...` holds the state directory; it is made (0700) when missing.

    Raises OperatorError "already-running" (exit 7) when another process holds it, and
    "home-unusable" (exit 6) when the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            make_private_directory(self._path.parent)
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise OperatorError(
                "home-unusable",
                f"the state directory {self._path.parent} cannot be used: {error.strerror}",
                "make it writable for this user, or choose another with --home",
                ExitCode.IDENTITY,
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            # Only told to people, so a full disk must not keep the daemon from starting.
            with contextlib.suppress(OSError):
                os.write(descriptor, b"%d\n" % os.getpid())
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise OperatorError(
                "already-running",
                f"a daemon{holder} already runs in {self._path.parent}",
                "`gossipd status` shows it, `gossipd stop` stops it; another one needs its own "
                "--home",
                ExitCode.ALREADY_RUNNING,
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The file stays: removing it would let two processes lock two files of the same name.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = -1


def _holder(descriptor: int) -> str:
    """ " (pid 123)"; empty in the instant before the holder has written it."""
    pid = os.pread(descriptor, 32, 0).strip()
    return f" (pid {pid.decode()})" if pid.isdigit() else ""
