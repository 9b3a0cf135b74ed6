"""What a daemon has stored it finds again, and nothing else."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gossipd.errors import OperatorError
from gossipd.runtime.ports import Pointers, Store, StoredModel
from gossipd.storage import store as store_module
from gossipd.tensors.layout import Layout, TensorSpec
from gossipd.wire import limits
from support.disk import (
    body_of,
    envelope_of,
    head_of,
    model_of,
    open_store,
    places,
    row_of,
    step,
    update_of,
    vector_of,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_it_is_the_store_that_the_runtime_asks_for(home: Path) -> None:
    store: Store = open_store(home)
    assert store.pointers() is None
    assert store.state() is None
    assert (list(store.models()), list(store.peers())) == ([], [])


def test_a_restarted_daemon_stands_where_it_stood(home: Path) -> None:
    store = open_store(home)
    step(store, 1)
    step(store, 2)
    store.save_state(b"the swarm")
    born = store.incarnation()
    store.close()

    again = open_store(home)

    assert head_of(again) == 2
    assert [row.model for row in again.models()] == [model_of(2), model_of(1)]
    assert again.state() == b"the swarm"
    assert again.incarnation() == born


def test_a_wiped_database_is_a_new_incarnation(home: Path) -> None:
    first = open_store(home)
    born = first.incarnation()
    first.close()
    places(home).database.unlink()
    assert open_store(home).incarnation() >= born


def test_nobody_else_can_read_the_state(home: Path) -> None:
    step(open_store(home), 1)
    found = [home, *home.rglob("*")]
    assert len(found) > 6
    assert [path for path in found if path.stat().st_mode & 0o077] == []


# --- numbers -------------------------------------------------------------------------------------


def test_a_counter_never_gives_a_number_twice(home: Path) -> None:
    store = open_store(home)
    assert store.reserve("seq", 10) == (1, 11)
    assert store.reserve("steps", 5) == (1, 6)
    assert store.reserve("seq", 1) == (11, 12)
    store.close()
    assert open_store(home).reserve("seq", 2) == (12, 14)


def test_a_block_of_nothing_is_our_own_mistake(home: Path) -> None:
    with pytest.raises(ValueError, match="block of 0"):
        open_store(home).reserve("seq", 0)


# --- models --------------------------------------------------------------------------------------


def test_a_vector_is_stored_under_its_own_hash_only(home: Path) -> None:
    with pytest.raises(ValueError, match="the vector is model"):
        open_store(home).save_vector(model_of(1), vector_of(2))


def test_the_head_that_is_also_the_serving_model_keeps_its_manifest(home: Path) -> None:
    """The first head enters the average alone; a commit then names it twice."""
    store = open_store(home)
    head = model_of(1)
    as_serving = StoredModel(head, "serving", row_of(1).lineage, update=None, created=1.0)

    store.commit(Pointers(head, head, head, False), [row_of(1), as_serving])

    assert list(store.models()) == [row_of(1)]


def test_a_model_committed_again_is_the_newest(home: Path) -> None:
    store = open_store(home)
    for number in (1, 2, 1):
        step(store, number)
    assert [row.model for row in store.models()] == [model_of(1), model_of(2)]


def test_an_exported_model_has_its_tensors_names(home: Path, tmp_path: Path) -> None:
    layout = Layout(
        (TensorSpec("layer.weight", (2, 3), "weight"), TensorSpec("layer.bias", (2,), "bias"))
    )
    vector = np.arange(8, dtype=np.float32)
    place = tmp_path / "model.safetensors"

    size = open_store(home).export(place, vector, layout)

    assert place.stat().st_size == size
    tensors = load_file(place)
    np.testing.assert_array_equal(tensors["layer.weight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["layer.bias"], [6, 7])


def test_an_export_to_nowhere_tells_the_operator(home: Path, tmp_path: Path) -> None:
    layout = Layout((TensorSpec("w", (1,), "weight"),))
    with pytest.raises(OperatorError, match="No such file or directory") as refused:
        open_store(home).export(tmp_path / "no" / "where", np.ones(1, np.float32), layout)
    assert refused.value.code == "export-failed"


# --- updates -------------------------------------------------------------------------------------


def test_an_update_is_found_by_its_id(home: Path) -> None:
    store = open_store(home)
    store.save_update(update_of(1), "author", envelope_of(1), body_of(1))
    assert store.load_manifest(update_of(1)) == envelope_of(1)
    assert store.load_body(update_of(1)) == body_of(1)
    assert store.load_manifest(update_of(2)) is None
    assert store.load_body(update_of(2)) is None


def test_the_same_update_again_changes_nothing(home: Path) -> None:
    store = open_store(home)
    for _ in range(2):
        store.save_update(update_of(1), "author", envelope_of(1), body_of(1))
    assert store.load_body(update_of(1)) == body_of(1)


def test_others_updates_wait_for_no_disk_and_own_ones_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(home)
    synced: list[int] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.save_update(update_of(1), "author", envelope_of(1), body_of(1), lasting=False)
    assert not synced
    assert store.load_body(update_of(1)) == body_of(1)
    store.save_update(update_of(2), "me", envelope_of(2), body_of(2))
    assert len(synced) == 2


# --- peers ---------------------------------------------------------------------------------------


def test_peers_are_remembered_and_forgotten(home: Path) -> None:
    store = open_store(home)
    store.save_peers([("anna", ["/ip4/192.0.2.1/tcp/1"], b"record")])
    store.save_peers([("bert", [], None)])
    store.save_peers([("anna", ["/ip4/192.0.2.2/tcp/2", "/ip4/192.0.2.1/tcp/1"], None)])
    assert list(store.peers()) == [
        ("anna", ("/ip4/192.0.2.2/tcp/2", "/ip4/192.0.2.1/tcp/1"), b"record"),
        ("bert", (), None),
    ]

    store.forget_peer("anna")
    store.close()

    assert list(open_store(home).peers()) == [("bert", (), None)]


def test_too_many_peers_push_out_those_that_changed_longest_ago(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KNOWN_PEERS", 3)
    store = open_store(home)
    for name in ("anna", "bert", "cleo"):
        store.save_peers([(name, ["/ip4/192.0.2.1/tcp/1"], None)])
    store.save_peers([("anna", ["/ip4/192.0.2.9/tcp/9"], None)])
    store.save_peers([("dora", [], None)])
    assert [peer for peer, _, _ in store.peers()] == ["dora", "anna", "cleo"]


# --- evidence ------------------------------------------------------------------------------------


def test_proofs_against_one_peer_are_few_and_the_first_ones(home: Path) -> None:
    store = open_store(home)
    for number in range(store_module.EVIDENCE_PER_PEER + 5):
        for _ in range(2):  # heard again from another peer
            store.append_evidence("liar", b"yes", b"no %d" % number)
    store.append_evidence("other", b"yes", b"no")
    found = store.evidence()
    assert [second for _, _, second in found if second != b"no"] == [
        b"no %d" % number for number in range(store_module.EVIDENCE_PER_PEER)
    ]
    assert ("other", b"yes", b"no") in found


def test_proofs_together_have_a_bound(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "EVIDENCE_BYTES", 100)
    store = open_store(home)
    for number in range(5):
        store.append_evidence(f"liar {number}", b"yes" + bytes(20), b"no %d" % number + bytes(20))
    assert [peer for peer, _, _ in store.evidence()] == ["liar 3", "liar 4"]


# --- threads -------------------------------------------------------------------------------------


def test_loop_compute_worker_and_collection_do_not_get_in_each_others_way(home: Path) -> None:
    store = open_store(home, quota=30_000)
    step(store, 1)
    done = threading.Event()

    def compute() -> None:
        for number in range(2, 22):
            step(store, number)
            assert store.load_vector(model_of(number)) is not None

    def loop() -> None:
        while not done.is_set():
            store.reserve("seq", 1)
            before, rows, after = store.pointers(), store.models(), store.pointers()
            assert before is not None
            assert before != after or before.head in {row.model for row in rows}

    def collector() -> None:
        while not done.is_set():
            store.collect()

    with ThreadPoolExecutor() as threads:
        others = [threads.submit(loop), threads.submit(collector)]
        try:
            threads.submit(compute).result(60)
        finally:
            done.set()
        for other in others:
            other.result(60)

    assert head_of(store) == 21
