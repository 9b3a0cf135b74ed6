"""Training, judging, and the flat vectors in between."""

import math
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gossipd.learning.digits import Digits
from gossipd.learning.errors import TaskError
from gossipd.learning.learner import TorchLearner
from gossipd.learning.parameters import FlatModule
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task
from gossipd.runtime.ports import Learner


class Blobs(Task):
    """Three clouds in the plane, a model with every kind of state; notes what it is shown."""

    name = "blobs"
    classes = 3
    seed = 4

    def __init__(self) -> None:
        self.seen: set[float] = set()

    def model(self) -> nn.Module:
        body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        model = nn.Sequential(body, nn.Linear(8, 3))
        model.register_forward_pre_hook(self._see)
        return model

    def _see(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        if module.training:
            self.seen.update(inputs[0][:, 0].tolist())

    def train_data(self, shard: Shard) -> Examples:
        x, y = clouds(150, seed=1)
        mine = torch.from_numpy(shard.pick(len(y), y.numpy()))
        return x[mine], y[mine]

    def test_data(self) -> Examples:
        return clouds(60, seed=2)


class Line(Task):
    """A regression with no test set."""

    name = "line"

    def model(self) -> nn.Module:
        return nn.Linear(1, 1)

    def train_data(self, shard: Shard) -> Examples:
        x = torch.linspace(-1, 1, 1000).reshape(-1, 1)
        return x, 3 * x[:, 0] + 1

    def test_data(self) -> Examples:
        return torch.empty(0, 1), torch.empty(0)


def clouds(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0, 2], [2, -1], [-2, -1]], dtype=np.float32)
    points = centres[labels] + rng.normal(0, 0.5, (count, 2)).astype(np.float32)
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(labels)


def blobs(momentum: float = 0.9, seed: int = 3) -> TorchLearner:
    return TorchLearner(Blobs(), Shard(), lr=0.05, momentum=momentum, batch_size=16, seed=seed)


def digits(node: int = 0) -> TorchLearner:
    return TorchLearner(Digits(), Shard("classes", node, 5), lr=0.1)


def test_it_is_what_the_runtime_asks_for() -> None:
    learner: Learner = blobs()
    assert learner.task == "blobs"
    assert learner.examples == 135
    assert learner.class_counts == (45, 45, 45)


def test_it_learns() -> None:
    learner = blobs()
    genesis = learner.genesis()
    trained = learner.train(genesis, None, steps=200, seed=0)
    assert trained.steps == 200
    assert trained.loss < learner.guess
    before, after = learner.test(genesis), learner.test(trained.vector)
    assert after.loss < before.loss
    assert after.accuracy is not None
    assert after.accuracy > 0.95
    assert (after.examples, learner.held_out(genesis).examples) == (60, 15)


def test_a_node_with_two_classes_knows_two_classes() -> None:
    learner = digits()
    trained = learner.train(learner.genesis(), None, steps=200, seed=0)
    accuracy = learner.test(trained.vector).accuracy
    assert accuracy is not None
    assert accuracy <= 0.25
    assert learner.held_out(trained.vector).accuracy == 1.0


def test_training_leaves_its_arguments_alone() -> None:
    learner = blobs()
    start = learner.genesis()
    momentum = np.ones_like(start)
    start.setflags(write=False)
    momentum.setflags(write=False)
    learner.train(start, momentum, steps=3, seed=0)
    assert start.tobytes() == learner.genesis().tobytes()
    assert (momentum == 1).all()


def test_training_is_a_function_of_its_arguments() -> None:
    learner = blobs()
    start = learner.genesis()
    first = learner.train(start, None, steps=20, seed=5)
    learner.train(first.vector, first.momentum, steps=7, seed=99)
    learner.test(start)
    torch.manual_seed(1)
    for other in (learner, blobs()):
        again = other.train(start, None, steps=20, seed=5)
        assert again.vector.tobytes() == first.vector.tobytes()
        assert again.loss == first.loss
    assert learner.train(start, None, steps=20, seed=6).vector.tobytes() != first.vector.tobytes()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_interrupted_training_goes_on_bit_for_bit(momentum: float) -> None:
    whole = blobs(momentum).train(blobs().genesis(), None, steps=30, seed=0)
    half = blobs(momentum).train(blobs().genesis(), None, steps=13, seed=0)
    rest = blobs(momentum).train(half.vector, half.momentum, steps=17, seed=13)
    assert rest.vector.tobytes() == whole.vector.tobytes()
    assert (rest.momentum is None) == (momentum == 0.0)
    if rest.momentum is not None and whole.momentum is not None:
        assert rest.momentum.tobytes() == whole.momentum.tobytes()
        assert rest.momentum.shape == rest.vector.shape


def test_training_that_failed_halfway_leaves_no_trace() -> None:
    class Stumbling(Blobs):
        stumbles = False

        def loss(self, output: Tensor, target: Tensor) -> Tensor:
            loss = super().loss(output, target)
            if self.stumbles:
                loss.backward()  # type: ignore[no-untyped-call]
                raise RuntimeError("out of memory")
            return loss

    task = Stumbling()
    learner = TorchLearner(task, Shard(), lr=0.1)
    start = learner.genesis()
    before = learner.train(start, None, steps=3, seed=0)
    task.stumbles = True
    with pytest.raises(RuntimeError, match="out of memory"):
        learner.train(start, None, steps=3, seed=0)
    task.stumbles = False
    assert learner.train(start, None, steps=3, seed=0).vector.tobytes() == before.vector.tobytes()


def test_two_nodes_with_the_same_data_do_not_do_the_same_work() -> None:
    start = blobs().genesis()
    one = blobs(seed=1).train(start, None, steps=5, seed=0)
    two = blobs(seed=2).train(start, None, steps=5, seed=0)
    assert one.vector.tobytes() != two.vector.tobytes()


def test_held_out_examples_are_never_trained_on() -> None:
    task = Blobs()
    learner = TorchLearner(task, Shard(), lr=0.1, batch_size=16)
    learner.train(learner.genesis(), None, steps=200, seed=0)
    everything = set(task.train_data(Shard())[0][:, 0].tolist())
    assert len(task.seen) == learner.examples
    assert task.seen < everything
    assert len(everything) - len(task.seen) == learner.held_out(learner.genesis()).examples


def test_a_guess_scores_the_logarithm_of_the_classes_that_are_trained_on() -> None:
    assert digits().guess == pytest.approx(math.log(2))
    assert TorchLearner(Digits(), Shard(), lr=0.1).guess == pytest.approx(math.log(10))


def test_only_known_classes_count_as_answers_where_the_gate_looks() -> None:
    learner = digits()
    stranger = digits(node=1)
    theirs = stranger.train(stranger.genesis(), None, steps=100, seed=0).vector
    mine = learner.train(theirs, None, steps=20, seed=0).vector
    evaluation = stranger.held_out(mine)
    assert evaluation.known_loss is not None
    assert evaluation.known_loss < stranger.guess < evaluation.loss


def test_a_regression_learns_and_is_measured_against_its_mean() -> None:
    learner = TorchLearner(Line(), Shard(), lr=0.1)
    assert learner.class_counts is None
    assert learner.guess == pytest.approx(3.0, rel=0.2)
    trained = learner.train(learner.genesis(), None, steps=300, seed=0)
    assert learner.held_out(trained.vector).loss < 1e-3
    assert sorted(trained.vector.tolist()) == pytest.approx([1.0, 3.0], abs=0.05)


def test_where_there_is_no_test_set_a_model_is_as_good_as_a_guess() -> None:
    learner = TorchLearner(Line(), Shard(), lr=0.1)
    evaluation = learner.test(learner.genesis())
    assert (evaluation.loss, evaluation.examples) == (learner.guess, 0)
    assert learner.metrics(learner.genesis()) == {}


def test_a_node_without_examples_only_carries() -> None:
    class Nothing(Blobs):
        def train_data(self, shard: Shard) -> Examples:
            return torch.empty(0, 2), torch.empty(0, dtype=torch.int64)

    learner = TorchLearner(Nothing(), Shard(), lr=0.1)
    start = learner.genesis()
    training = learner.train(start, None, steps=5, seed=0)
    assert (learner.examples, learner.class_counts) == (0, (0, 0, 0))
    assert (training.steps, training.vector.tobytes()) == (0, start.tobytes())
    evaluation = learner.held_out(start)
    assert (evaluation.loss, evaluation.examples) == (learner.guess, 0)
    assert learner.guess == pytest.approx(math.log(3))


def test_a_task_may_bring_its_own_loss_and_metrics() -> None:
    class Doubled(Blobs):
        def loss(self, output: Tensor, target: Tensor) -> Tensor:
            return 2 * super().loss(output, target)

        def metrics(self, output: Tensor, target: Tensor) -> Mapping[str, float]:
            return {**super().metrics(output, target), "first": float(output[0, 0])}

    learner = TorchLearner(Doubled(), Shard(), lr=0.1)
    genesis = learner.genesis()
    assert learner.guess == pytest.approx(2 * math.log(3))
    assert learner.test(genesis).loss == pytest.approx(2 * blobs().test(genesis).loss)
    assert set(learner.metrics(genesis)) == {"accuracy", "first"}
    assert learner.metrics(genesis)["accuracy"] == learner.test(genesis).accuracy


def test_a_users_initial_model_follows_its_seed() -> None:
    assert blobs().genesis().tobytes() == blobs().genesis().tobytes()

    class Reseeded(Blobs):
        seed = 5

    other = TorchLearner(Reseeded(), Shard(), lr=0.1)
    assert other.genesis().tobytes() != blobs().genesis().tobytes()


def test_the_layout_tells_weights_from_what_averaging_leaves_alone() -> None:
    layout = blobs().layout
    assert [(spec.name, spec.kind) for spec in layout.tensors] == [
        ("0.0.weight", "weight"),
        ("0.0.bias", "bias"),
        ("0.1.weight", "bias"),
        ("0.1.bias", "bias"),
        ("1.weight", "weight"),
        ("1.bias", "bias"),
        ("0.1.running_mean", "buffer"),
        ("0.1.running_var", "buffer"),
    ]
    assert layout.output == ("1.weight", "1.bias")
    assert TorchLearner(Line(), Shard(), lr=0.1).layout.output == ()


def test_a_vector_goes_in_and_comes_out_unchanged() -> None:
    flat = FlatModule(Blobs().model(), classes=3)
    vector = np.random.default_rng(0).normal(size=flat.layout.parameters).astype(np.float32)
    flat.load(vector)
    assert flat.vector().tobytes() == vector.tobytes()
    state = flat.module.state_dict()
    for spec, view in zip(flat.layout.tensors, flat.layout.views(vector), strict=True):
        assert np.array_equal(state[spec.name].numpy(), view)
    vector[:] = 0
    assert flat.vector().any()


def test_frozen_parameters_travel_but_are_not_trained() -> None:
    class Frozen(Line):
        def model(self) -> nn.Module:
            model = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
            model[0].requires_grad_(requires_grad=False)
            return model

    learner = TorchLearner(Frozen(), Shard(), lr=0.1, weight_decay=0.1)
    start = learner.genesis()
    after = learner.train(start, None, steps=5, seed=0).vector
    for spec, piece in zip(learner.layout.tensors, learner.layout.slices, strict=True):
        assert np.array_equal(start[piece], after[piece]) == (spec.kind == "buffer")


def test_a_buffer_that_is_assigned_anew_is_carried_too() -> None:
    class Counts(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(1, 1)
            self.register_buffer("calls", torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.calls = self.calls + 1
            output: Tensor = self.line(x)
            return output

    class Counting(Line):
        def model(self) -> nn.Module:
            return Counts()

    learner = TorchLearner(Counting(), Shard(), lr=0.1)
    once = learner.train(learner.genesis(), None, steps=5, seed=0).vector
    twice = learner.train(once, None, steps=5, seed=5).vector
    assert (once[-2:].tolist(), twice[-2:].tolist()) == ([5, 5], [10, 10])
    assert learner.train(learner.genesis(), None, steps=5, seed=0).vector.tobytes() == (
        once.tobytes()
    )


def test_sgd_steps_as_torch_does() -> None:
    """Against torch's own optimiser, in a process of its own: it must not be imported here."""
    script = """
import numpy as np, torch
from gossipd.learning.parameters import FlatModule
torch.manual_seed(0)
module, twin = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
flat = FlatModule(module, 2)
twin.load_state_dict(module.state_dict())
theirs = torch.optim.SGD(twin.parameters(), lr=.1, momentum=.9, weight_decay=.01)
velocity = torch.zeros(flat.trained)
for _ in range(20):
    x = torch.randn(4, 3)
    module(x).square().mean().backward()
    flat.descend(velocity, .1, .9, .01)
    theirs.zero_grad()
    twin(x).square().mean().backward()
    theirs.step()
want = torch.cat([p.detach().reshape(-1) for p in twin.parameters()]).numpy()
np.testing.assert_allclose(flat.vector(), want, rtol=1e-5)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_vector_of_another_model_is_refused() -> None:
    learner = blobs()
    with pytest.raises(ValueError, match="float32"):
        learner.test(np.zeros(3, dtype=np.float32))
    with pytest.raises(ValueError, match="float32"):
        learner.test(learner.genesis().astype(np.float64))
    with pytest.raises(ValueError, match="momentum"):
        learner.train(learner.genesis(), np.zeros(3, dtype=np.float32), steps=1, seed=0)


class _Faulty(Blobs):
    inputs = torch.zeros(6, 2)
    targets = torch.arange(6) % 3

    def train_data(self, shard: Shard) -> Examples:
        return self.inputs, self.targets


@pytest.mark.parametrize(
    ("inputs", "targets", "fault"),
    [
        (torch.zeros(5, 2), torch.arange(6) % 3, "5 inputs and 6 targets"),
        (torch.full((6, 2), math.nan), torch.arange(6) % 3, "not a finite number"),
        (torch.zeros(6, 2), torch.arange(6), "from 0 to 5"),
        (torch.zeros(6, 2), torch.arange(6) - 1, "from -1"),
        (torch.zeros(6, 2), torch.zeros(6), "float32"),
    ],
)
def test_data_that_do_not_fit_the_task_are_refused(
    inputs: Tensor, targets: Tensor, fault: str
) -> None:
    task = _Faulty()
    task.inputs, task.targets = inputs, targets
    with pytest.raises(TaskError, match=fault) as caught:
        TorchLearner(task, Shard(), lr=0.1)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (nn.Linear(2, 5), r"returns \(2, 5\)"),
        (nn.Linear(2, 3).double(), "float64"),
        (nn.Flatten(), "no parameter"),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_refused(model: nn.Module, fault: str) -> None:
    class Odd(Blobs):
        def model(self) -> nn.Module:
            return model

    with pytest.raises(TaskError, match=fault):
        TorchLearner(Odd(), Shard(), lr=0.1)


def test_torch_optim_and_scikit_learn_are_not_loaded() -> None:
    """Their import would cost every daemon of a fleet a second and 80 MB or more."""
    script = """
import sys
from gossipd.learning.digits import Digits
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
learner = TorchLearner(Digits(), Shard(), lr=.1, momentum=.9)
learner.train(learner.genesis(), None, 3, 0)
loaded = {"torch._dynamo", "sklearn", "scipy"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
