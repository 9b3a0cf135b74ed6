"""What a disk does to files is seen when they are read; it never becomes a model."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gossipd.storage.errors import StoreError
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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def tear(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def flip_first_bit(file: Path) -> None:
    flip(file, 0)


def flip_last_bit(file: Path) -> None:
    flip(file, -1)


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def no_metadata(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data.replace(b"__metadata__", b"__mutadatu__"))


KINDS: list[tuple[str, Callable[[Any], object]]] = [
    (f"models/{model_of(1).hex()}.safetensors", lambda store: store.load_vector(model_of(1))),
    (
        f"models/{model_of(1).hex()}.momentum.safetensors",
        lambda store: store.load_momentum(model_of(1)),
    ),
    (f"bodies/{update_of(1).hex()}.body", lambda store: store.load_body(update_of(1))),
]


@pytest.mark.parametrize("damage", [tear, empty, flip_first_bit, flip_last_bit])
@pytest.mark.parametrize(("name", "read"), KINDS, ids=["model", "momentum", "body"])
def test_a_damaged_file_counts_as_missing_and_is_set_aside(
    home: Path, damage: Callable[[Path], None], name: str, read: Callable[[Any], object]
) -> None:
    store = open_store(home)
    step(store, 1)
    damage(home / name)

    assert read(store) is None
    assert store.damaged == 1
    assert not (home / name).exists()
    assert (home / f"{name}.damaged").exists()
    assert read(store) is None
    assert store.damaged == 1

    step(store, 1)
    assert head_of(store) == 1


def test_an_optimiser_state_that_does_not_say_its_hash_is_damaged(home: Path) -> None:
    store = open_store(home)
    step(store, 1)
    no_metadata(home / KINDS[1][0])
    assert store.load_momentum(model_of(1)) is None
    assert store.damaged == 1


def test_another_models_file_under_this_name_is_damaged(home: Path) -> None:
    store = open_store(home)
    step(store, 1)
    step(store, 2)
    models = places(home).models
    (models / f"{model_of(2).hex()}.safetensors").replace(home / KINDS[0][0])
    assert store.load_vector(model_of(1)) is None


def test_what_a_crashed_write_left_is_removed_at_the_next_start(home: Path) -> None:
    step(open_store(home), 1)
    leftovers = [places(home).models / "a.1-2.tmp", places(home).bodies / "b.1-3.tmp"]
    for file in leftovers:
        file.write_bytes(b"half")
    open_store(home)
    assert [file for file in leftovers if file.exists()] == []


# --- a disk that refuses -------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on files take half of what is written, then nothing."""

    def fill() -> None:
        real = os.write

        def write(descriptor: int, data: memoryview) -> int:
            if len(data) > 1:
                return real(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", write)

    return fill


def test_a_full_disk_is_said_with_its_number_and_leaves_nothing_half_written(
    home: Path, full_disk: Callable[[], None]
) -> None:
    store = open_store(home)
    step(store, 1)
    before = sorted(home.rglob("*"))
    full_disk()

    for attempt in (
        partial(store.save_vector, model_of(2), vector_of(2)),
        partial(store.save_momentum, model_of(1), vector_of(2)),
        partial(store.save_update, update_of(1), "me", envelope_of(2), body_of(2)),
    ):
        with pytest.raises(StoreError) as refused:
            attempt()
        assert refused.value.errno == errno.ENOSPC

    assert sorted(home.rglob("*")) == before
    assert head_of(store) == 1


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """SQLite writes from C, so the kernel has to refuse."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_that_cannot_grow_keeps_what_it_has(home: Path) -> None:
    store = open_store(home)
    step(store, 1)
    reserved = store.reserve("seq", 5)
    store.save_vector(model_of(2), vector_of(2))
    log = places(home).database.with_name("state.db-wal")

    with no_file_longer_than(log.stat().st_size):
        with pytest.raises(StoreError):
            store.commit(standing_on(2), [row_of(2)])
        with pytest.raises(StoreError):
            store.reserve("seq", 5)

    assert head_of(store) == 1
    assert store.reserve("seq", 1)[0] >= reserved[1]
    step(store, 2)
    assert head_of(store) == 2


def test_a_store_error_is_what_the_runtime_catches() -> None:
    assert issubclass(StoreError, OSError)
