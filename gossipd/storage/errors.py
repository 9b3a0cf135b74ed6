"""What goes wrong with a disk, as one exception that still is an OSError."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator


class StoreError(OSError):
    """Something could not be stored or read; what was stored before is untouched.

    `errno` tells why: ENOSPC (disk full), EROFS (read-only), EDQUOT, EFBIG, EIO. The caller may try
    again when there is room.
    """


@contextlib.contextmanager
def storing(doing: str) -> Iterator[None]:
    """Raise what the file system and SQLite raise as StoreError: "cannot <doing>: ..."."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        number = error.errno or errno.EIO
        raise StoreError(number, f"cannot {doing}: {os.strerror(number)}") from error
    except sqlite3.Error as error:
        raise StoreError(_number_of(error), f"cannot {doing}: {error}") from error


def _number_of(error: sqlite3.Error) -> int:
    """The errno that says what SQLite means; its primary result code is in the low byte."""
    return {
        sqlite3.SQLITE_FULL: errno.ENOSPC,
        sqlite3.SQLITE_READONLY: errno.EROFS,
        sqlite3.SQLITE_PERM: errno.EACCES,
        sqlite3.SQLITE_CANTOPEN: errno.EACCES,
        sqlite3.SQLITE_BUSY: errno.EBUSY,
    }.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, errno.EIO)
