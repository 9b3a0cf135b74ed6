"""The database of every version is understood or refused in words, and never thrown away."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.database import Database, backup_of
from gossipd.storage.migrations import MIGRATIONS
from support import golden_state
from support.disk import head_of, open_store, places, step
from support.tree import ROOT

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def golden(home: Path) -> Path:
    """A state directory of this version, as it was left on somebody's disk."""
    shutil.copytree(GOLDEN / f"state-v{len(MIGRATIONS)}", home)
    return home


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        return version


def add_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE peers ADD COLUMN colour TEXT")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE pointers")
    raise sqlite3.OperationalError("disk I/O error")


# --- versions ------------------------------------------------------------------------------------


def test_a_state_of_every_version_is_among_the_golden_ones() -> None:
    assert sorted(path.name for path in GOLDEN.glob("state-v*")) == [
        f"state-v{version}" for version in range(1, len(MIGRATIONS) + 1)
    ]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_state_of_every_version_is_understood(version: int, home: Path) -> None:
    shutil.copytree(GOLDEN / f"state-v{version}", home)
    store = open_store(home)
    assert head_of(store) == golden_state.LAST
    assert store.incarnation() == golden_state.INCARNATION
    assert store.reserve("seq", 1)[0] == golden_state.RESERVED
    assert list(store.peers()) == [golden_state.PEER]
    assert store.state() == golden_state.STATE
    assert list(store.evidence()) == [golden_state.EVIDENCE]
    sheets = [(golden_state.SHEET.envelope, golden_state.SHEET.at)] if version > 1 else []
    assert list(store.sheets()) == sheets
    assert list(store.choices()) == ([golden_state.CHOICE] if version > 1 else [])
    assert store.pins() == ({golden_state.PINNED} if version > 2 else set())
    assert store.used() == (golden_state.USED if version > 2 else None)
    step(store, golden_state.LAST + 1)
    assert head_of(store) == golden_state.LAST + 1


def test_a_migration_goes_forward_and_leaves_a_backup(golden: Path) -> None:
    path = places(golden).database
    before = version_of(path)

    Database(path, (*MIGRATIONS, add_colour)).close()

    assert version_of(path) == before + 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT peer, colour FROM peers").fetchall() == [("peer", None)]
    backup = backup_of(path, before)
    assert version_of(backup) == before
    assert backup.stat().st_mode & 0o077 == 0
    backup.replace(path)
    assert head_of(open_store(golden)) == golden_state.LAST


def test_a_migration_that_fails_changes_nothing(golden: Path) -> None:
    path = places(golden).database
    with pytest.raises(OperatorError, match="disk I/O error"):
        Database(path, (*MIGRATIONS, add_colour, fail_half_way))
    assert version_of(path) == len(MIGRATIONS)
    assert head_of(open_store(golden)) == golden_state.LAST


def test_a_newer_state_is_refused_and_left_as_it_is(golden: Path) -> None:
    path = places(golden).database
    Database(path, (*MIGRATIONS, add_colour)).close()
    before = path.read_bytes()
    with pytest.raises(OperatorError, match=f"this gossipd knows {len(MIGRATIONS)}") as refused:
        open_store(golden)
    assert (refused.value.code, refused.value.exit_code) == ("state-too-new", ExitCode.CONFIG)
    assert path.read_bytes() == before


def test_a_new_state_needs_no_backup(home: Path) -> None:
    open_store(home).close()
    assert list(home.glob("*.backup")) == []


# --- damage --------------------------------------------------------------------------------------


def scribble_over(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000:30_000] = b"\xff" * 29_000
    path.write_bytes(data)


def not_a_database(path: Path) -> None:
    path.write_bytes(b"Dear diary" * 1000)


def another_programs(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
        database.commit()


@pytest.mark.parametrize("damage", [scribble_over, not_a_database, another_programs])
def test_a_damaged_database_is_said_so_and_never_deleted(
    golden: Path, damage: Callable[[Path], None]
) -> None:
    path = places(golden).database
    damage(path)
    before = path.read_bytes()
    with pytest.raises(OperatorError) as refused:
        open_store(golden)
    assert refused.value.code == "state-damaged"
    assert str(path) in refused.value.message
    assert "move it away" in refused.value.hint
    assert path.read_bytes() == before


def test_an_empty_file_is_a_database_that_was_never_begun(home: Path) -> None:
    home.mkdir(mode=0o700)
    places(home).database.touch()
    step(open_store(home), 1)


def test_a_state_that_cannot_be_written_is_said_so(home: Path) -> None:
    home.mkdir(mode=0o700)
    places(home).database.mkdir()
    with pytest.raises(OperatorError) as refused:
        open_store(home)
    assert refused.value.code == "state-unavailable"


def test_what_need_not_last_leaves_the_next_transaction_as_durable_as_ever(home: Path) -> None:
    home.mkdir()
    database = Database(home / "state.db")

    def waits() -> int:
        mode: int = database.row("PRAGMA synchronous")[0]
        return mode

    full = waits()
    with database.transaction("test", lasting=False) as rows:
        rows.execute("INSERT INTO peers VALUES ('ann', x'90', NULL, 1)")
        assert rows.execute("PRAGMA synchronous").fetchone()[0] < full
    assert waits() == full
    with pytest.raises(ZeroDivisionError), database.transaction("test", lasting=False):
        raise ZeroDivisionError
    assert waits() == full
    database.close()
