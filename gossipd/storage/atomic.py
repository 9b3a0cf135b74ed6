"""Files that are there whole or not at all, whatever happens to the process or the power.

A file is written under a temporary name beside its place, synced, and put there in one step; then
its directory is synced, since a name is data of the directory. The standard library only:
`gossipd.config` and `gossipd.members.identity` use this too.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

TEMPORARY = ".tmp"
"""How a file's name ends while it is being written; what a crash leaves of it can be removed."""

_numbers = itertools.count()


def replace(path: Path, *parts: bytes | memoryview, mode: int = 0o600, synced: bool = True) -> None:
    """Make `path` hold `parts`, one after the other. OSError leaves what was there before.

    Not `synced`: whole whatever happens to the process, but a power cut may take it or its content.
    """
    _write(path, parts, mode, os.replace, synced)


def create(path: Path, *parts: bytes | memoryview, mode: int = 0o600) -> None:
    """As `replace`, but FileExistsError when something is there, however late it came."""

    def link(temporary: Path, place: Path) -> None:
        os.link(temporary, place)
        os.unlink(temporary)

    _write(path, parts, mode, link)


def deliver(path: Path, parts: Iterable[bytes], *, overwrite: bool) -> None:
    """Write what may be long into somebody's directory, with the mode that the umask gives.

    FileExistsError when something is there (a dangling link is something), unless it is to be
    replaced. A stick may have a file system without hard links, so the name is taken by an empty
    file first; only a crash leaves that behind.
    """
    if not overwrite:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        _write(path, parts, 0o666, os.replace)
    except BaseException:
        if not overwrite:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise


def make_private_directory(path: Path) -> None:
    """Make a directory of mode 0700, and what is missing above it. One that exists stays as is.

    NotADirectoryError when something else is in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        sync_directory(path.parent)
    except FileExistsError:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    path: Path,
    parts: Iterable[bytes | memoryview],
    mode: int,
    put: Callable[[Path, Path], None],
    synced: bool = True,
) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}{TEMPORARY}")
    # O_EXCL: never through a link or into a file that somebody else put there.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            for part in parts:
                _write_all(descriptor, memoryview(part).cast("B"))
            if synced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        put(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if synced:
        sync_directory(path.parent)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
