"""A look into a state directory whose daemon does not run: read-only, nothing is migrated."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from gossipd.storage.migrations import MIGRATIONS


def state_is_newer(database: Path) -> bool:
    """Whether a later gossipd has written it."""
    with _opened(database) as rows:
        if rows is None:
            return False
        (version,) = rows.execute("PRAGMA user_version").fetchone()
        return bool(version > len(MIGRATIONS))


def peers(database: Path, most: int) -> list[tuple[str, tuple[str, ...]]]:
    """[(peer id, addresses)] of those that were remembered, the last changed first."""
    with _opened(database) as rows:
        if rows is None:
            return []
        try:
            found = rows.execute(
                "SELECT peer, addresses FROM peers ORDER BY age DESC LIMIT ?", (most,)
            ).fetchall()
        except sqlite3.Error:
            return []
    return [
        (peer, msgspec.msgpack.decode(addresses, type=tuple[str, ...])) for peer, addresses in found
    ]


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection | None]:
    """None when there is none, or none that can be read: other checks say so."""
    if not database.exists():
        yield None
        return
    uri = f"file:{quote(str(database))}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=1.0)
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        yield None
        return
    with closing(connection):
        yield connection
