"""Bundles as files, on a stick or wherever the operator says: `runtime.bundles` reads and fills
them.

Raises OperatorError: the paths are the operator's.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import deliver


@dataclass(frozen=True, slots=True)
class BundleFile:
    """An open file, read where it is asked to."""

    descriptor: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        pieces = []
        while length > 0:
            piece = os.pread(self.descriptor, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BundleFile]:
    """Open a bundle. Only plain files: a pipe could be waited for without end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unreadable(path, "not a file")
        try:
            yield BundleFile(descriptor, found.st_size)
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def write(path: Path, pieces: Iterable[bytes], *, overwrite: bool) -> None:
    """Put a bundle there, whole or not at all."""
    try:
        deliver(path, pieces, overwrite=overwrite)
    except FileExistsError:
        raise OperatorError(
            "file-exists",
            f"{path} is there already",
            "give another name, or --force to replace it",
            ExitCode.USAGE,
        ) from None
    except OSError as error:
        raise OperatorError(
            "export-failed",
            f"cannot write {path}: {error.strerror}",
            "give a path in a directory that exists, is writable and has room",
        ) from error


def _unreadable(path: Path, why: str) -> OperatorError:
    return OperatorError(
        "no-file",
        f"{path} cannot be read: {why}",
        "give a file that `gossipd bundle export` has written",
        ExitCode.USAGE,
    )
