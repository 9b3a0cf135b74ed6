"""The disk, the compute worker and the fuse, one by one."""

import asyncio
import gc
from typing import NoReturn

import numpy as np
import pytest

from gossipd.runtime.ports import Pointers, StoredModel
from gossipd.simulation.compute import Costs, SimCompute
from gossipd.simulation.fuse import Fuse
from gossipd.simulation.loop import VirtualLoop
from gossipd.simulation.store import Shelf, SimStore
from gossipd.simulation.stub import StubLearner
from gossipd.tensors.layout import content_hash


def model(number: int, *, update: bytes | None = None) -> StoredModel:
    return StoredModel(b"%032d" % number, "head", {b"author--": number}, update, 1.0)


def standing(number: int) -> Pointers:
    name = b"%032d" % number
    return Pointers(base=name, head=name, serving=name, momentum=False)


# --- store ---------------------------------------------------------------------------------------


def test_a_counter_never_gives_a_value_twice() -> None:
    store = SimStore(1)
    assert [store.reserve("seq", 3), store.reserve("steps", 2), store.reserve("seq", 1)] == [
        (1, 4),
        (1, 3),
        (4, 5),
    ]
    with pytest.raises(ValueError, match="a block of 0"):
        store.reserve("seq", 0)


def test_a_saved_vector_counts_for_nothing_until_it_is_committed() -> None:
    store = SimStore(1)
    vector = np.arange(3, dtype=np.float32)
    store.save_vector(b"m", vector)
    assert store.load_vector(b"m") is vector
    assert store.pointers() is None
    assert store.models() == []


def test_history_is_bounded_and_what_the_node_stands_on_stays() -> None:
    store = SimStore(1, history_models=4, history_updates=4)
    store.save_update(b"first", "author", b"envelope", b"body")
    store.save_vector(model(0).model, np.zeros(1, np.float32))
    store.commit(standing(0), [model(0, update=b"first")])
    for number in range(1, 30):
        store.save_update(b"%d" % number, "author", b"envelope", b"body")
        store.save_vector(b"%d" % number, np.zeros(1, np.float32))
        store.commit(standing(0), [model(number)])
    assert len(store.models()) <= 4 + 3
    assert store.models()[0] == model(29)
    assert model(0, update=b"first") in store.models()
    assert store.load_vector(model(0).model) is not None
    assert store.load_body(b"first") == b"body"
    assert store.load_body(b"1") is None
    assert store.load_body(b"29") == b"body"


def test_a_row_that_names_a_manifest_is_not_replaced_by_one_that_does_not() -> None:
    store = SimStore(1)
    store.commit(standing(1), [model(1, update=b"u")])
    store.commit(standing(1), [model(1)])
    assert store.models() == [model(1, update=b"u")]


def test_a_full_disk_refuses_and_changes_nothing() -> None:
    store = SimStore(1)
    store.commit(standing(1), [model(1)])
    store.full = True
    with pytest.raises(OSError, match="no space left"):
        store.commit(standing(2), [model(2)])
    with pytest.raises(OSError, match="no space left"):
        store.reserve("seq", 1)
    assert store.pointers() == standing(1)
    store.full = False
    assert store.reserve("seq", 1) == (1, 2)


def test_what_many_have_saved_is_there_once() -> None:
    shelf = Shelf()
    stores = [SimStore(number, shelf=shelf) for number in range(3)]
    for store in stores:
        store.save_vector(b"m", np.ones(3, np.float32))
        store.save_update(b"u", "author", b"envelope" * 1000, bytes(1000))
    assert len({id(store.load_vector(b"m")) for store in stores}) == 1
    assert len({id(store.load_body(b"u")) for store in stores}) == 1
    stores[0].save_update(b"u", "author", b"another envelope", bytes(1000))
    assert stores[0].load_manifest(b"u") == b"another envelope"
    assert stores[1].load_manifest(b"u") == b"envelope" * 1000
    stores.clear()
    del store
    gc.collect()
    assert len(shelf) == 0


def test_peers_are_remembered_with_their_last_record() -> None:
    store = SimStore(1)
    store.save_peers([("a", ("x",), b"record")])
    store.save_peers([("b", ("y",), None)])
    store.save_peers([("a", ("z",), None)])
    assert store.peers() == [("a", ("z",), b"record"), ("b", ("y",), None)]
    store.forget_peer("a")
    assert store.peers() == [("b", ("y",), None)]


# --- fuse ----------------------------------------------------------------------------------------


def test_a_fuse_blows_instead_of_the_next_effect() -> None:
    def blow(effect: str) -> NoReturn:
        raise KeyError(effect)

    fuse = Fuse(blow)
    store = SimStore(1, step=fuse.step)
    fuse.arm(after=1)
    store.reserve("seq", 1)
    with pytest.raises(KeyError, match="save_state"):
        store.save_state(b"never written")
    assert store.state() is None
    assert fuse.effects == 1
    store.save_state(b"the next life")
    assert store.state() == b"the next life"


# --- compute -------------------------------------------------------------------------------------


def test_work_takes_virtual_time_one_job_after_the_other() -> None:
    loop = VirtualLoop()
    worker = SimCompute(StubLearner(0), Costs(step=1.0, evaluation=0.5, megabyte=0.0, job=0.25))
    done: list[tuple[str, float]] = []

    async def train(steps: int) -> None:
        vector = worker.learner.genesis()
        await worker.run(worker.learner.train, vector, None, steps, 0)
        done.append((f"train {steps}", loop.now))

    async def judge() -> None:
        await worker.run(worker.learner.held_out, worker.learner.genesis())
        done.append(("judge", loop.now))

    async def both() -> None:
        await asyncio.gather(train(10), judge(), train(1))

    loop.run_until_complete(both())
    loop.close()
    assert done == [("train 10", 10.25), ("judge", 11.0), ("train 1", 12.25)]


def test_a_job_that_fails_has_taken_its_time_too() -> None:
    loop = VirtualLoop()
    worker = SimCompute(StubLearner(0), Costs(job=3.0, megabyte=0.0))
    with pytest.raises(IndexError):
        loop.run_until_complete(worker.run([].pop))
    assert loop.now == 3.0
    loop.close()


# --- stub ----------------------------------------------------------------------------------------


def test_the_stub_trains_towards_its_own_target_and_a_mean_of_many_tests_well() -> None:
    learners = [StubLearner(seed) for seed in range(20)]
    genesis = learners[0].genesis()
    assert all(content_hash(learner.genesis()) == content_hash(genesis) for learner in learners)
    trained = [learner.train(genesis, None, 100, seed=0).vector for learner in learners]
    for learner, vector in zip(learners, trained, strict=True):
        assert learner.held_out(vector).loss < learner.held_out(genesis).loss / 10
        again = learner.train(genesis, None, 100, seed=0).vector
        assert content_hash(again) == content_hash(vector)
    alone = [learners[0].test(vector).accuracy or 0 for vector in trained]
    together = learners[0].test(np.mean(trained, axis=0, dtype=np.float32)).accuracy or 0
    assert together > max(alone) + 0.2
