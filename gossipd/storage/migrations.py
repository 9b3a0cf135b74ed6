"""The schema, as the steps that made it. State version n is what the first n steps leave.

A step that was released is never changed: a newer one is added below it, and a state directory of
the version before goes into tests/golden/. `database` runs the missing steps in one transaction.
"""

import sqlite3
import time
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]


def _begin(connection: sqlite3.Connection) -> None:
    for statement in (
        """
        CREATE TABLE meta (
            name  TEXT PRIMARY KEY,
            value NOT NULL
        ) WITHOUT ROWID
        """,
        # Numbers that never go back: `next` was never given to anybody.
        """
        CREATE TABLE counters (
            name TEXT PRIMARY KEY,
            next INTEGER NOT NULL CHECK (next >= 1)
        ) WITHOUT ROWID
        """,
        # `age` comes from the counter "age", common to models and updates: the oldest go first.
        """
        CREATE TABLE updates (
            id       BLOB PRIMARY KEY,
            author   TEXT NOT NULL,
            envelope BLOB NOT NULL,
            body     BLOB NOT NULL CHECK (length(body) = 32),  -- digest of the body's file
            age      INTEGER NOT NULL
        )
        """,
        "CREATE INDEX updates_by_age ON updates (age)",
        """
        CREATE TABLE models (
            model     BLOB PRIMARY KEY CHECK (length(model) = 32),
            role      TEXT NOT NULL,
            lineage   BLOB NOT NULL,  -- msgpack {author key: steps}
            update_id BLOB,
            created   REAL NOT NULL,
            loss      REAL,
            accuracy  REAL,
            age       INTEGER NOT NULL
        )
        """,
        "CREATE INDEX models_by_age ON models (age)",
        # Where the node stands: one row, so that it moves as a whole.
        """
        CREATE TABLE pointers (
            id       INTEGER PRIMARY KEY CHECK (id = 1),
            base     BLOB NOT NULL CHECK (length(base) = 32),
            head     BLOB NOT NULL CHECK (length(head) = 32),
            serving  BLOB NOT NULL CHECK (length(serving) = 32),
            momentum INTEGER NOT NULL CHECK (momentum IN (0, 1))
        )
        """,
        """
        CREATE TABLE peers (
            peer      TEXT PRIMARY KEY,
            addresses BLOB NOT NULL,  -- msgpack [text]
            record    BLOB,
            age       INTEGER NOT NULL
        )
        """,
        "CREATE INDEX peers_by_age ON peers (age)",
        """
        CREATE TABLE evidence (
            number INTEGER PRIMARY KEY,
            peer   TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE,  -- of both envelopes: the same proof is kept once
            first  BLOB NOT NULL,
            second BLOB NOT NULL
        )
        """,
        "CREATE INDEX evidence_by_peer ON evidence (peer, number)",
    ):
        connection.execute(statement)
    # A wiped disk is a new author: this database's life is named by when it began.
    connection.execute("INSERT INTO meta VALUES ('incarnation', ?)", (time.time_ns() // 1_000_000,))


def _add_clicks(connection: sqlite3.Connection) -> None:
    for statement in (
        # In the order of arrival; everybody's, this node's own among them.
        """
        CREATE TABLE sheets (
            number      INTEGER PRIMARY KEY,
            author      TEXT NOT NULL,
            incarnation INTEGER NOT NULL,
            seq         INTEGER NOT NULL,
            envelope    BLOB NOT NULL,
            at          REAL NOT NULL,
            UNIQUE (author, incarnation, seq)
        )
        """,
        # What people have chosen here; it leaves this disk only as a row of a sheet.
        """
        CREATE TABLE choices (
            number INTEGER PRIMARY KEY,
            query  TEXT NOT NULL,
            item   BLOB NOT NULL,
            at     REAL NOT NULL
        )
        """,
    ):
        connection.execute(statement)


def _add_choices_of_models(connection: sqlite3.Connection) -> None:
    for statement in (
        # What people want to keep: never collected.
        """
        CREATE TABLE pins (
            model BLOB PRIMARY KEY CHECK (length(model) = 32)
        ) WITHOUT ROWID
        """,
        # What answers in place of the serving average; without a row the average does.
        """
        CREATE TABLE used (
            id    INTEGER PRIMARY KEY CHECK (id = 1),
            model BLOB NOT NULL CHECK (length(model) = 32)
        )
        """,
    ):
        connection.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (_begin, _add_clicks, _add_choices_of_models)
