"""Nodes of a benchmark train on exactly the examples of their shard."""

from pathlib import Path

import pytest
import torch

from benchmarks.synchronous import Run, Setting, run
from benchmarks.workload import Images, Source, learners, source
from gossipd.errors import OperatorError
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Scheme, Shard

DIGITS = Source("digits")


def trained_on(learner: TorchLearner) -> torch.Tensor:
    return learner._training[0]


@pytest.mark.parametrize("scheme", ["iid", "dirichlet"])
def test_what_the_learner_holds_back_is_spare(scheme: Scheme) -> None:
    task = Images(DIGITS)
    everything = task._train[0]
    shards = [Shard(scheme, node, 7, alpha=0.1, seed=3) for node in range(7)]
    seen = torch.cat(
        [trained_on(node) for node in learners(task, shards, lr=1, batch_size=8, seed=0)]
    )
    assert len(seen) == len(everything)
    assert sorted(seen.tolist()) == sorted(everything.tolist())


def test_inputs_are_standardised() -> None:
    inputs, _ = Images(DIGITS)._train
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-4)


def test_the_same_run_gives_the_same_numbers() -> None:
    this = Run(DIGITS, Setting("regular", nodes=6, rounds=2, push=True), "corrected", 5)
    assert run(this) == run(this)


def test_seeds_make_different_runs() -> None:
    first, second = (Run(DIGITS, Setting("ring", nodes=4, rounds=2), "plain", n) for n in (1, 2))
    assert run(first) != run(second)


def test_nodes_of_a_server_all_hold_its_model() -> None:
    (last,) = run(Run(DIGITS, Setting("server", nodes=4, rounds=1), "common", 1))
    assert last.median == last.worst


def test_only_the_asked_rounds_are_judged_and_always_the_last() -> None:
    this = Run(DIGITS, Setting("alone", nodes=2, rounds=5, judge_every=2), "plain", 1)
    assert [point.round for point in run(this)] == [2, 4, 5]


def test_a_folder_without_the_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="has no folder fashion-8k"):
        source(tmp_path, "fashion-8k")


def test_without_a_folder_there_are_the_digits() -> None:
    assert source(None, "fashion-8k") == DIGITS
