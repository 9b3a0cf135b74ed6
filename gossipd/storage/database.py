"""One SQLite database: opened, checked, brought up to date; durable transactions.

WAL with synchronous=FULL: a transaction is on the disk when it returns, and a crash at any instant
leaves it done or not done. One connection, used under a lock: any thread may call.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import TEMPORARY, make_private_directory, sync_directory
from gossipd.storage.errors import storing
from gossipd.storage.migrations import MIGRATIONS, Migration

APPLICATION_ID = 0x676F7331
"""Marks the file as ours ("gos1")."""
BUSY_SECONDS = 5.0
"""How long to wait for somebody who looks into the database with another tool."""


class Database:
    """The open database.

    Raises OperatorError when it cannot be used; it is never deleted: "state-too-new" (exit 5),
    "state-damaged", "state-unavailable".
    """

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            self._connection = _connect(path)
            try:
                self._check()
                self._migrate(migrations)
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @property
    def lock(self) -> threading.RLock:
        """Held by a transaction. Held around several, it keeps others out between them."""
        return self._lock

    @contextlib.contextmanager
    def transaction(self, doing: str, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing. StoreError: "cannot <doing>: ...".

        Durable at its end if it is `lasting`, else with the next one that is.
        """
        with self._lock, storing(doing):
            if not lasting:  # with a write-ahead log: COMMIT does not wait for the disk
                self._connection.execute("PRAGMA synchronous = NORMAL")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                if not lasting:
                    self._connection.execute("PRAGMA synchronous = FULL")

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query. Raises StoreError."""
        with self._lock, storing("read the database"):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Any:
        """The first row of a query, or None."""
        return next(iter(self.rows(sql, *values)), None)

    # --- opening ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Refuse what is not a sound database of ours. An empty file is a new one."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise sqlite3.DatabaseError("it is another program's database")
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise OperatorError(
                "state-too-new",
                f"{self._path} has version {version}; this gossipd knows {len(migrations)}",
                "install the newer gossipd again, or choose another --home",
                ExitCode.CONFIG,
            )
        if version == len(migrations):
            return
        if version:
            self._back_up(version)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for migration in migrations[version:]:
                migration(self._connection)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {len(migrations)}")
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        sync_directory(self._path.parent)

    def _back_up(self, version: int) -> None:
        """Copy the database as it is to `<name>.v<version>.backup`, before a migration."""
        place = backup_of(self._path, version)
        temporary = place.with_name(place.name + TEMPORARY)
        temporary.unlink(missing_ok=True)
        _make_private(temporary)
        with contextlib.closing(sqlite3.connect(temporary)) as copy:
            self._connection.backup(copy)
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(place)
        sync_directory(place.parent)


def backup_of(path: Path, version: int) -> Path:
    """Where a database of this version is copied to before it is migrated."""
    return path.with_name(f"{path.name}.v{version}.backup")


def _connect(path: Path) -> sqlite3.Connection:
    make_private_directory(path.parent)
    _make_private(path)
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin and end where we say
        check_same_thread=False,  # our lock does
    )


def _make_private(path: Path) -> None:
    """Make an empty file of mode 0600; SQLite gives its journals the mode of the database."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _unusable(path: Path, error: OSError | sqlite3.Error) -> OperatorError:
    # Our own verdicts carry no code; other codes are about the disk, not about what is on it.
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if isinstance(error, sqlite3.Error) and code in damaged:
        return OperatorError(
            "state-damaged",
            f"{path} is damaged: {error}",
            f"restore it from a backup; or move it away (with {path.name}-wal and -shm): the next "
            "start begins a new incarnation with the same identity",
        )
    return OperatorError(
        "state-unavailable",
        f"{path} cannot be used: {error}",
        "make room on the disk and check that this user may write there",
    )
