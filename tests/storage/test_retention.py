"""Old models make room for new ones; what a node stands on never goes."""

from pathlib import Path

import pytest

from gossipd.storage import retention
from gossipd.storage.files import Kind, StoredFile
from gossipd.storage.retention import Known, choose
from support.disk import (
    body_of,
    envelope_of,
    head_of,
    model_of,
    open_store,
    places,
    row_of,
    standing_on,
    step,
    update_of,
    vector_of,
)

NOTHING = Known(models={}, updates={}, pinned_models=(), pinned_updates=(), pinned_momentum=())


def file(kind: Kind, key: bytes, size: int = 10) -> StoredFile:
    return StoredFile(Path(kind, key.hex()), kind, key, size)


def known(**changes: object) -> Known:
    return Known(**{name: changes.get(name, getattr(NOTHING, name)) for name in Known.__slots__})  # type: ignore[arg-type]


# --- the decision --------------------------------------------------------------------------------


def test_nothing_goes_while_there_is_room() -> None:
    files = [file("model", b"a"), file("body", b"b")]
    removal = choose(files, known(models={b"a": 1}, updates={b"b": 2}), room=20)
    assert (removal.models, removal.updates, removal.files) == ((), (), ())


def test_the_oldest_go_first_models_and_updates_alike() -> None:
    old, middle, new = file("model", b"a"), file("body", b"b"), file("model", b"c")
    what = known(models={b"a": 1, b"c": 3}, updates={b"b": 2})
    assert choose([new, old, middle], what, room=20).files == (old,)
    removal = choose([new, old, middle], what, room=10)
    assert removal.files == (middle, old)
    assert (removal.models, removal.updates) == ((b"a",), (b"b",))


def test_what_is_pinned_stays_even_beyond_the_quota() -> None:
    files = [file("model", b"a"), file("momentum", b"a"), file("body", b"b"), file("model", b"c")]
    what = known(
        models={b"a": 1, b"c": 2},
        updates={b"b": 1},
        pinned_models=(b"a",),
        pinned_momentum=(b"a",),
        pinned_updates=(b"b",),
    )
    assert choose(files, what, room=5).files == (file("model", b"c"),)


def test_damaged_files_and_those_without_a_row_go_before_all_others() -> None:
    damaged, orphan = file("damaged", b""), file("model", b"b")
    newest = file("model", b"c")
    what = known(models={b"c": 1})
    assert choose([damaged, orphan, newest], what, room=30).files == ()
    assert set(choose([damaged, orphan, newest], what, room=10).files) == {damaged, orphan}


def test_only_the_heads_optimiser_state_is_kept() -> None:
    files = [file("momentum", b"a"), file("momentum", b"b")]
    what = known(models={b"a": 1, b"b": 2}, pinned_momentum=(b"b",))
    assert choose(files, what, room=100).files == (file("momentum", b"a"),)


def test_history_has_a_bound_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "HISTORY_MODELS", 2)
    ages = {bytes([number]): number for number in range(5)}
    files = [file("model", key) for key in ages]
    removal = choose(files, known(models=ages, pinned_models=(b"\0",)), room=1000)
    assert set(removal.models) == {b"\1", b"\2"}
    assert {found.key for found in removal.files} == {b"\1", b"\2"}


# --- the store -----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_store_beyond_its_quota_forgets_old_models_and_keeps_the_head(home: Path) -> None:
    store = open_store(home, quota=80_000)
    for number in range(1, 41):
        step(store, number)
    store.close()
    store = open_store(home, quota=80_000)  # nothing is recent any more

    freed = store.collect()

    assert freed > 0
    left = [path for folder in ("models", "bodies") for path in (home / folder).iterdir()]
    used = sum(path.stat().st_size for path in left)
    assert 60_000 < used <= 80_000
    assert head_of(store) == 40
    remembered = {row.model for row in store.models()}
    assert remembered >= {model_of(1), model_of(40)}, "the first is the base of all"
    assert len(remembered) < 40
    assert store.collect() == 0


def test_what_people_chose_stays_beyond_quota_and_history_until_they_let_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "HISTORY_MODELS", 2)
    store = open_store(home)
    for number in range(1, 8):
        step(store, number)
    store.pin(model_of(2))
    store.use(model_of(3))
    store.close()
    store = open_store(home, quota=1)  # nothing is recent any more

    store.collect()
    chosen = {model_of(2), model_of(3)}
    kept = {row.model for row in store.models()}
    assert kept == chosen | {model_of(1), model_of(7)}, "the first is the base of all"
    assert all(store.load_vector(model) is not None for model in kept)
    assert store.load_body(update_of(2)) is not None, "what describes it"

    store.unpin(model_of(2))
    store.use(None)
    store.collect()
    assert {row.model for row in store.models()} == {model_of(1), model_of(7)}
    assert (store.pins(), store.used()) == (frozenset(), None)


def test_what_was_just_written_is_not_collected_before_its_commit(home: Path) -> None:
    store = open_store(home, quota=1)
    step(store, 1)
    store.save_update(update_of(2), "me", envelope_of(2), body_of(2))
    store.save_vector(model_of(2), vector_of(2))

    store.collect()

    assert store.load_vector(model_of(2)) is not None
    assert store.load_body(update_of(2)) is not None
    store.commit(standing_on(2), [row_of(2)])
    store.collect()
    assert store.load_vector(model_of(2)) is not None
    assert store.load_vector(model_of(1)) is None


def test_other_peoples_files_are_left_alone(home: Path) -> None:
    store = open_store(home, quota=1)
    step(store, 1)
    foreign = [places(home).models / "notes.txt", places(home).models / "mine.safetensors"]
    for path in foreign:
        path.write_bytes(b"x" * 1000)
    store.collect()
    assert all(path.exists() for path in foreign)
