"""A state directory for tests, and models whose content follows from a number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gossipd.runtime.ports import Pointers, StoredModel, Vector
from gossipd.storage.store import DiskStore
from gossipd.tensors.layout import content_hash
from gossipd.wire.identifiers import digest

ME = b"author:1"
PARAMETERS = 1000
PLENTY = 1_000_000_000


@dataclass(frozen=True)
class Places:
    database: Path
    models: Path
    bodies: Path


def places(home: Path) -> Places:
    return Places(home / "state.db", home / "models", home / "bodies")


def open_store(home: Path, quota: int = PLENTY) -> DiskStore:
    return DiskStore(places(home), quota)


def vector_of(number: int) -> Vector:
    return np.random.default_rng(number).normal(size=PARAMETERS).astype(np.float32)


def model_of(number: int) -> bytes:
    return content_hash(vector_of(number))


def momentum_of(number: int) -> Vector:
    return -vector_of(number)


def update_of(number: int) -> bytes:
    return digest(b"update", b"%d" % number)


def envelope_of(number: int) -> bytes:
    return b"envelope %d" % number


def body_of(number: int) -> bytes:
    return vector_of(number).astype(np.float16).tobytes()


def row_of(number: int) -> StoredModel:
    return StoredModel(
        model=model_of(number),
        role="head",
        lineage={ME: number},
        update=update_of(number),
        created=1_700_000_000.0 + number,
        loss=0.5,
        accuracy=0.75,
    )


def standing_on(number: int) -> Pointers:
    model = model_of(number)
    return Pointers(base=model, head=model, serving=model, momentum=False)


def write(store: DiskStore, number: int) -> None:
    """A model and its update, not committed."""
    store.save_update(update_of(number), "me", envelope_of(number), body_of(number))
    store.save_vector(model_of(number), vector_of(number))
    store.save_momentum(model_of(number), momentum_of(number))


def step(store: DiskStore, number: int) -> None:
    """What one training cycle does: a new head with its update, committed."""
    before = store.pointers()
    write(store, number)
    head = model_of(number)
    base = before.base if before else head
    store.commit(Pointers(base, head, serving=head, momentum=True), [row_of(number)])


def head_of(store: DiskStore) -> int:
    """The number of the committed head; everything that belongs to it is checked. 0: none."""
    pointers = store.pointers()
    if pointers is None:
        return 0
    head = next(row for row in store.models() if row.model == pointers.head)
    number = head.lineage[ME]
    assert head == row_of(number)
    for model in (pointers.base, pointers.head, pointers.serving):
        vector = store.load_vector(model)
        assert vector is not None
        assert content_hash(vector) == model
    momentum = store.load_momentum(pointers.head)
    assert momentum is not None
    np.testing.assert_array_equal(momentum, momentum_of(number))
    assert store.load_manifest(update_of(number)) == envelope_of(number)
    assert store.load_body(update_of(number)) == body_of(number)
    return number
