"""From configuration to learner, and the worker's thread."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gossipd.learning.build import learner_from_config
from gossipd.learning.compute import give_way
from gossipd.learning.errors import DataError, LearningError

NICENESS = 10


def configured(**task: Any) -> tuple[Any, Any]:
    defaults = {
        "name": "digits",
        "data": "",
        "partition": "classes",
        "alpha": 0.5,
        "classes_per_node": 2,
        "node": 1,
        "nodes": 5,
        "parts": 1,
        "labels": (),
        "seed": 0,
    }
    learning = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 20, "threads": 1}
    return SimpleNamespace(**(defaults | task)), SimpleNamespace(**learning)


def test_a_configured_node_holds_its_shard() -> None:
    learner = learner_from_config(*configured())
    assert learner.task == "digits"
    assert learner.class_counts is not None
    assert sum(count > 0 for count in learner.class_counts) == 2


def test_the_nodes_of_an_experiment_start_alike_and_shuffle_apart() -> None:
    one, two = (
        learner_from_config(*configured(partition="all", node=node, nodes=2)) for node in (0, 1)
    )
    start = one.genesis()
    assert start.tobytes() == two.genesis().tobytes()
    assert (
        one.train(start, None, 5, 0).vector.tobytes()
        != two.train(start, None, 5, 0).vector.tobytes()
    )


def test_an_identity_seeds_the_shuffling() -> None:
    one, two = (learner_from_config(*configured(), seed=seed) for seed in (2**64 - 1, 7))
    start = one.genesis()
    assert (
        one.train(start, None, 5, 0).vector.tobytes()
        != two.train(start, None, 5, 0).vector.tobytes()
    )


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(LearningError, match="task idx has no data"):
        learner_from_config(*configured(name="idx"))
    with pytest.raises(DataError, match="no such folder"):
        learner_from_config(*configured(name="idx", data=str(tmp_path / "none")))
    with pytest.raises(LearningError, match="node 5 is not one of the 5"):
        learner_from_config(*configured(node=5))
    with pytest.raises(LearningError, match="no task 'chess'"):
        learner_from_config(*configured(name="chess"))


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are per thread on Linux only")
def test_only_the_thread_that_asks_gives_way() -> None:
    seen: list[tuple[bool, int]] = []
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> None:
        reached = give_way(NICENESS)
        seen.append((reached, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert seen == [(True, NICENESS)] or before > NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_where_a_thread_cannot_give_way_it_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    assert not give_way(NICENESS)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not give_way(NICENESS)


def test_the_rooms_light_modules_load_no_torch() -> None:
    script = """
import sys
import gossipd.learning, gossipd.learning.compute, gossipd.learning.errors
import gossipd.learning.partition
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
