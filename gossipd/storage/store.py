"""The state directory as `runtime.ports.Store`: SQLite for rows, files for what is large.

Files first, then the row that makes them count: a crash in between leaves files that nobody asks
for. Removal goes the other way round. So a committed row never names a file that was not whole, and
what a disk does to it later is seen by its hash.

Threads: any thread may call any method. The runtime calls the small ones on its asyncio loop and
writes files in the compute worker; `collect` runs in a thread of its own. Rows are changed under
the database's lock; files are written outside of it, so that a large model holds up nobody.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gossipd.errors import ExitCode, OperatorError
from gossipd.runtime.ports import Pointers, SheetKey, StoredModel, StoredSheet, Vector
from gossipd.storage import files, retention
from gossipd.storage.database import Database
from gossipd.storage.errors import storing
from gossipd.storage.files import Files, body_digest
from gossipd.tensors.layout import Layout
from gossipd.wire import limits

RECENT_VECTORS = 6
"""Models just written that a commit may be about to name: a training or merge writes two, and one
more job of the compute worker may have run before the loop comes to commit."""
RECENT_BODIES = 16
"""Updates just written that may be waiting for a merge: twice the default of gossip.buffer."""
EVIDENCE_PER_PEER = 4
"""Proofs of equivocation kept for one peer; the first ones, one is enough."""
EVIDENCE_BYTES = 32 * limits.MIB
"""Of all proofs together; above it the oldest go."""

CHOICES = 10_000
"""What people have chosen here, as far back as that."""

_AGE = "_age"
"""The counter that tells what is older; its name cannot be one of the runtime's."""


class Places(Protocol):
    """Where the state lies: `gossipd.config.Paths`."""

    @property
    def database(self) -> Path: ...
    @property
    def models(self) -> Path: ...
    @property
    def bodies(self) -> Path: ...


class DiskStore:
    """Implements `gossipd.runtime.ports.Store`. One at a time per state directory: hold the lock.

    Opening raises OperatorError; every other method raises StoreError (an OSError with errno) when
    the disk refuses, and then nothing has changed.
    """

    def __init__(self, paths: Places, quota_bytes: int) -> None:
        self.quota = quota_bytes
        self._database = Database(paths.database)
        try:
            self._files = Files(paths.models, paths.bodies)
        except OSError as error:
            self._database.close()
            raise OperatorError(
                "state-unavailable",
                f"{paths.models} and {paths.bodies} cannot be used: {error.strerror}",
                "make room on the disk and check that this user may write there",
            ) from error
        self._recent_vectors: OrderedDict[bytes, None] = OrderedDict()
        self._recent_bodies: OrderedDict[bytes, None] = OrderedDict()

    def close(self) -> None:
        self._database.close()

    @property
    def damaged(self) -> int:
        """Files found damaged and set aside since the start."""
        return self._files.damaged

    # --- numbers ---------------------------------------------------------------------------------

    def reserve(self, counter: str, block: int) -> tuple[int, int]:
        """The next `block` values of a counter: [first, end). A counter begins at 1."""
        if block < 1:
            raise ValueError(f"a block of {block}")
        with self._database.transaction("reserve numbers") as rows:
            first = _take(rows, counter, block)
        return first, first + block

    def incarnation(self) -> int:
        """Milliseconds since 1970 when this database was made."""
        (value,) = self._database.row("SELECT value FROM meta WHERE name = 'incarnation'")
        return int(value)

    # --- models ----------------------------------------------------------------------------------

    def save_vector(self, model: bytes, vector: Vector) -> None:
        self._touch(self._recent_vectors, model, RECENT_VECTORS)
        self._files.save_vector(model, vector)

    def load_vector(self, model: bytes) -> Vector | None:
        return self._files.load_vector(model)

    def save_momentum(self, model: bytes, momentum: Vector) -> None:
        self._touch(self._recent_vectors, model, RECENT_VECTORS)
        self._files.save_momentum(model, momentum)

    def load_momentum(self, model: bytes) -> Vector | None:
        return self._files.load_momentum(model)

    def commit(
        self, pointers: Pointers, models: Sequence[StoredModel], state: bytes | None = None
    ) -> None:
        """Flip the pointers, remember these models and the core's state: all or nothing."""
        with self._database.transaction("commit models") as rows:
            age = _take(rows, _AGE, 1)
            if state is not None:
                rows.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (state,))
            for model in models:
                _remember(rows, model, age)
            rows.execute(
                "INSERT OR REPLACE INTO pointers VALUES (1, ?, ?, ?, ?)",
                (pointers.base, pointers.head, pointers.serving, pointers.momentum),
            )
        with self._database.lock:
            for model in models:
                self._recent_vectors.pop(model.model, None)

    def remember(self, model: StoredModel) -> None:
        """Add a saved model to those that are known; what the node stands on stays as it is."""
        with self._database.transaction("remember a model") as rows:
            _remember(rows, model, _take(rows, _AGE, 1))

    def pointers(self) -> Pointers | None:
        row = self._database.row("SELECT base, head, serving, momentum FROM pointers")
        return Pointers(row[0], row[1], row[2], bool(row[3])) if row else None

    def models(self) -> Sequence[StoredModel]:
        """Newest first."""
        return [
            StoredModel(
                model=model,
                role=role,
                lineage=msgspec.msgpack.decode(lineage, type=dict[bytes, int]),
                update=update,
                created=created,
                loss=loss,
                accuracy=accuracy,
            )
            for model, role, lineage, update, created, loss, accuracy in self._database.rows(
                "SELECT model, role, lineage, update_id, created, loss, accuracy FROM models "
                "ORDER BY age DESC, model"
            )
        ]

    def export(self, path: Path, vector: Vector, layout: Layout) -> int:
        """Write a model as safetensors with its tensors' names; bytes written.

        Raises OperatorError "export-failed": the path is the operator's.
        """
        try:
            return files.export(path, vector, layout)
        except OSError as error:
            raise OperatorError(
                "export-failed",
                f"cannot write {path}: {error.strerror}",
                "give a path in a directory that exists, is writable and has room",
                ExitCode.FAILURE,
            ) from error

    # --- what people chose -----------------------------------------------------------------------

    def pin(self, model: bytes) -> None:
        """Never collect this model, until `unpin`."""
        with self._database.transaction("pin a model") as rows:
            rows.execute("INSERT OR IGNORE INTO pins VALUES (?)", (model,))

    def unpin(self, model: bytes) -> None:
        with self._database.transaction("unpin a model") as rows:
            rows.execute("DELETE FROM pins WHERE model = ?", (model,))

    def pins(self) -> frozenset[bytes]:
        return frozenset(model for (model,) in self._database.rows("SELECT model FROM pins"))

    def use(self, model: bytes | None) -> None:
        """Answer with this model in place of the serving average; None: with the average again."""
        with self._database.transaction("choose a model") as rows:
            rows.execute("DELETE FROM used")
            if model is not None:
                rows.execute("INSERT INTO used VALUES (1, ?)", (model,))

    def used(self) -> bytes | None:
        row = self._database.row("SELECT model FROM used")
        return row[0] if row else None

    # --- updates ---------------------------------------------------------------------------------

    def save_update(
        self, update: bytes, author: str, envelope: bytes, body: bytes, *, lasting: bool = True
    ) -> None:
        """The same update again renews it: its body is written anew, its age is now.

        `lasting` waits until a power cut could not take it. Others' updates need not: what is lost
        of them is fetched again, and a body that was damaged is found by its digest.
        """
        self._touch(self._recent_bodies, update, RECENT_BODIES)
        self._files.save_body(update, body, synced=lasting)
        with self._database.transaction("save an update", lasting=lasting) as rows:
            rows.execute(
                "INSERT OR REPLACE INTO updates VALUES (?, ?, ?, ?, ?)",
                (update, author, envelope, body_digest(body), _take(rows, _AGE, 1)),
            )

    def load_manifest(self, update: bytes) -> bytes | None:
        """The envelope of an update; None when it is not (or no longer) known."""
        row = self._database.row("SELECT envelope FROM updates WHERE id = ?", update)
        return row[0] if row else None

    def load_body(self, update: bytes) -> bytes | None:
        """The body of an update; None when it is not known, gone or damaged."""
        row = self._database.row("SELECT body FROM updates WHERE id = ?", update)
        return self._files.load_body(update, row[0]) if row else None

    def updates(self) -> Sequence[bytes]:
        """The ids of all that are kept, newest first."""
        rows = self._database.rows("SELECT id FROM updates ORDER BY age DESC")
        return [update for (update,) in rows]

    # --- peers -----------------------------------------------------------------------------------

    def save_peers(self, peers: Iterable[tuple[str, Sequence[str], bytes | None]]) -> None:
        """Remember peers; without a record the one that is there stays.

        Of more than `limits.KNOWN_PEERS` those go that have not changed for longest.
        """
        news = []
        for peer, addresses, record in peers:
            packed = msgspec.msgpack.encode(tuple(addresses))
            before = self._database.row("SELECT addresses, record FROM peers WHERE peer = ?", peer)
            if before is None or before != (packed, before[1] if record is None else record):
                news.append((peer, packed, record))
        if not news:
            return  # heard again, nothing new: not worth a write
        with self._database.transaction("save peers") as rows:
            age = _take(rows, _AGE, len(news))
            rows.executemany(
                "INSERT INTO peers VALUES (?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE SET "
                "addresses = excluded.addresses, age = excluded.age, "
                "record = coalesce(excluded.record, record)",
                [(*row, age + place) for place, row in enumerate(news)],
            )
            rows.execute(
                "DELETE FROM peers WHERE peer IN "
                "(SELECT peer FROM peers ORDER BY age DESC LIMIT -1 OFFSET ?)",
                (limits.KNOWN_PEERS,),
            )

    def forget_peer(self, peer: str) -> None:
        with self._database.transaction("forget a peer") as rows:
            rows.execute("DELETE FROM peers WHERE peer = ?", (peer,))

    def peers(self) -> Sequence[tuple[str, Sequence[str], bytes | None]]:
        """(peer id, addresses, signed record if there is one), last changed first."""
        return [
            (peer, msgspec.msgpack.decode(addresses, type=tuple[str, ...]), record)
            for peer, addresses, record in self._database.rows(
                "SELECT peer, addresses, record FROM peers ORDER BY age DESC"
            )
        ]

    # --- the swarm -------------------------------------------------------------------------------

    def save_state(self, state: bytes) -> None:
        with self._database.transaction("save the swarm's state") as rows:
            rows.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (state,))

    def state(self) -> bytes | None:
        row = self._database.row("SELECT value FROM meta WHERE name = 'state'")
        return row[0] if row else None

    def append_evidence(self, peer: str, first: bytes, second: bytes) -> None:
        """Keep two contradicting envelopes; bounded per peer and in all."""
        digest = body_digest(first + second)
        with self._database.transaction("save evidence") as rows:
            rows.execute(
                "INSERT OR IGNORE INTO evidence (peer, digest, first, second) "
                "SELECT ?, ?, ?, ? WHERE (SELECT count(*) FROM evidence WHERE peer = ?) < ?",
                (peer, digest, first, second, peer, EVIDENCE_PER_PEER),
            )
            rows.execute(
                "DELETE FROM evidence WHERE number IN (SELECT number FROM ("
                "SELECT number, sum(length(first) + length(second)) OVER (ORDER BY number DESC) "
                "AS bytes FROM evidence) WHERE bytes > ?)",
                (EVIDENCE_BYTES,),
            )

    def evidence(self) -> Sequence[tuple[str, bytes, bytes]]:
        """(peer, first envelope, second envelope), oldest first."""
        return self._database.rows("SELECT peer, first, second FROM evidence ORDER BY number")

    # --- clicks ----------------------------------------------------------------------------------

    def save_sheets(self, kept: Sequence[StoredSheet], gone: Sequence[SheetKey]) -> None:
        with self._database.transaction("save clicks") as rows:
            rows.executemany(
                "DELETE FROM sheets WHERE author = ? AND incarnation = ? AND seq = ?", gone
            )
            rows.executemany(
                "INSERT OR IGNORE INTO sheets (author, incarnation, seq, envelope, at) "
                "VALUES (?, ?, ?, ?, ?)",
                [(*sheet.key, sheet.envelope, sheet.at) for sheet in kept],
            )

    def sheets(self) -> Sequence[tuple[bytes, float]]:
        """(envelope, Unix seconds of its arrival), in the order of arrival."""
        return self._database.rows("SELECT envelope, at FROM sheets ORDER BY number")

    def save_choice(self, query: str, item: bytes, at: float) -> None:
        """Of more than `CHOICES` the oldest go."""
        with self._database.transaction("save a choice") as rows:
            rows.execute(
                "INSERT INTO choices (query, item, at) VALUES (?, ?, ?)", (query, item, at)
            )
            rows.execute(
                "DELETE FROM choices WHERE number <= (SELECT max(number) FROM choices) - ?",
                (CHOICES,),
            )

    def choices(self) -> Sequence[tuple[str, bytes, float]]:
        """(query, item, Unix seconds), oldest first."""
        return self._database.rows("SELECT query, item, at FROM choices ORDER BY number")

    # --- room ------------------------------------------------------------------------------------

    def collect(self) -> int:
        """Remove what is beyond the quota or the bounds on history; the bytes that were freed.

        The quota is for models and bodies; the bounds on history keep the database small. Oldest
        first. What the node stands on and what people chose stay, even when they alone are beyond
        the quota.
        """
        lying = list(self._files.scan())
        with self._database.lock:
            known = self._known()
            removal = retention.choose(lying, known, self.quota)
            with self._database.transaction("forget old models") as rows:
                for table, column, keys in (
                    ("models", "model", removal.models),
                    ("updates", "id", removal.updates),
                ):
                    rows.executemany(
                        f"DELETE FROM {table} WHERE {column} = ?", [(key,) for key in keys]
                    )
            with storing("remove old models"):
                for file in removal.files:
                    file.path.unlink(missing_ok=True)
        return sum(file.size for file in removal.files)

    def _known(self) -> retention.Known:
        """What must stay, and how old the rest is. Under the lock."""
        pointers = self.pointers()
        standing = {pointers.base, pointers.head, pointers.serving} if pointers else set()
        used = self.used()
        standing |= self.pins() | (set() if used is None else {used})
        recent = set(self._recent_vectors)
        describing = {
            update
            for model, update in self._database.rows("SELECT model, update_id FROM models")
            if model in standing and update is not None
        }
        return retention.Known(
            models=dict(self._database.rows("SELECT model, age FROM models")),
            updates=dict(self._database.rows("SELECT id, age FROM updates")),
            pinned_models=standing | recent,
            pinned_updates=describing | set(self._recent_bodies),
            pinned_momentum=({pointers.head} if pointers and pointers.momentum else set()) | recent,
        )

    def _touch(self, recent: OrderedDict[bytes, None], key: bytes, most: int) -> None:
        """Keep `collect` from what is about to be written."""
        with self._database.lock:
            recent[key] = None
            recent.move_to_end(key)
            while len(recent) > most:
                recent.popitem(last=False)


def _take(rows: sqlite3.Connection, counter: str, count: int) -> int:
    """Use up `count` values of a counter, in a transaction; the first of them."""
    row = rows.execute("SELECT next FROM counters WHERE name = ?", (counter,)).fetchone()
    first: int = row[0] if row else 1
    rows.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (counter, first + count))
    return first


def _remember(rows: sqlite3.Connection, model: StoredModel, age: int) -> None:
    """Insert or renew a model's row. One that names a manifest is not replaced by one that does
    not: the serving model may be the very head, and then the head's row is what is known of it."""
    rows.execute(
        "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model) DO UPDATE SET "
        "role = excluded.role, lineage = excluded.lineage, update_id = excluded.update_id, "
        "created = excluded.created, loss = excluded.loss, accuracy = excluded.accuracy "
        "WHERE excluded.update_id IS NOT NULL OR update_id IS NULL",
        (
            model.model,
            model.role,
            msgspec.msgpack.encode(dict(model.lineage)),
            model.update,
            model.created,
            model.loss,
            model.accuracy,
            age,
        ),
    )
    rows.execute("UPDATE models SET age = ? WHERE model = ?", (age, model.model))
