"""Training together gives what training one by one gives."""

import numpy as np
import pytest
import torch
from torch import nn

from gossipd.learning.digits import Digits
from gossipd.learning.ensemble import FEWEST, Ensemble, Job
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Scheme, Shard
from gossipd.learning.task import Task
from gossipd.runtime.ports import Training

NODES = FEWEST + 4


class Convolutions(Digits):
    """Small kernels, so that more than matrices is trained together."""

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, 10),
        )


class Dropping(Digits):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))


class Large(Digits):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 1500), nn.ReLU(), nn.Linear(1500, 10))


def learners(
    task: Task, scheme: Scheme = "iid", *, momentum: float = 0.0, decay: float = 0.0
) -> list[TorchLearner]:
    shards = [Shard(scheme, node, NODES, alpha=0.1, seed=2) for node in range(NODES)]
    return [
        TorchLearner(task, shard, lr=0.1, momentum=momentum, weight_decay=decay, seed=shard.node)
        for shard in shards
    ]


def jobs(nodes: list[TorchLearner], steps: int = 7, first: int = 3) -> list[Job]:
    return [Job(node, node.own_start(), None, steps, first) for node in nodes]


def one_by_one(these: list[Job]) -> list[Training]:
    return [job.learner.train(job.vector, job.momentum, job.steps, job.seed) for job in these]


def assert_alike(together: list[Training], alone: list[Training]) -> None:
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours.vector, theirs.vector, atol=1e-5, rtol=0)
        assert ours.steps == theirs.steps
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
        if theirs.momentum is None:
            assert ours.momentum is None
        else:
            assert ours.momentum is not None
            np.testing.assert_allclose(ours.momentum, theirs.momentum, atol=1e-5, rtol=0)


@pytest.mark.parametrize("task", [Digits(), Convolutions()])
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.01)])
def test_together_is_as_one_by_one(task: Task, momentum: float, decay: float) -> None:
    these = jobs(learners(task, momentum=momentum, decay=decay))
    assert_alike(Ensemble(task).together(these), one_by_one(these))


def test_it_goes_on_with_the_momentum_that_it_returned() -> None:
    nodes = learners(Digits(), momentum=0.9)
    ensemble = Ensemble(Digits())
    whole = ensemble.train(jobs(nodes, steps=10, first=0))
    half = ensemble.train(jobs(nodes, steps=5, first=0))
    rest = [
        Job(node, done.vector, done.momentum, 5, 5) for node, done in zip(nodes, half, strict=True)
    ]
    for ours, theirs in zip(ensemble.train(rest), whole, strict=True):
        np.testing.assert_allclose(ours.vector, theirs.vector, atol=1e-5, rtol=0)


def test_what_it_is_given_stays_as_it_is() -> None:
    these = jobs(learners(Digits(), momentum=0.9))
    before = [job.vector.copy() for job in these]
    Ensemble(Digits()).together(these)
    assert all(np.array_equal(job.vector, b) for job, b in zip(these, before, strict=True))


def test_skewed_shards_are_trained_in_groups_of_equal_mini_batches() -> None:
    nodes = learners(Digits(), "dirichlet")
    assert len({node.descent.batch_size for node in nodes}) > 1
    these = jobs(nodes)
    assert_alike(Ensemble(Digits()).train(these), one_by_one(these))


def test_the_same_jobs_give_the_same_bits() -> None:
    these = jobs(learners(Digits()))
    first, second = (Ensemble(Digits()).together(these) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.vector, b.vector)
        assert a.loss == b.loss


@pytest.mark.parametrize("task", [Dropping(), Large()])
def test_what_cannot_be_or_does_not_pay_is_left_to_the_learners(task: Task) -> None:
    ensemble = Ensemble(task)
    assert not ensemble.pays
    these = jobs(learners(task), steps=2)
    for ours, theirs in zip(ensemble.train(these), one_by_one(these), strict=True):
        assert np.array_equal(ours.vector, theirs.vector), "not even the order of sums differs"


def test_few_are_left_to_the_learners() -> None:
    these = jobs(learners(Digits()))[: FEWEST - 1]
    for ours, theirs in zip(Ensemble(Digits()).train(these), one_by_one(these), strict=True):
        assert np.array_equal(ours.vector, theirs.vector)


def test_drawing_its_model_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    Ensemble(Digits())
    assert torch.equal(torch.rand(1), expected)
