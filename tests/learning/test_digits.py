"""The built-in digits are scikit-learn's, split the same way everywhere."""

import hashlib

import numpy as np

from gossipd.learning.digits import Digits
from gossipd.learning.genesis import portable_genesis
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.tensors.layout import Layout, TensorSpec

GENESIS = "42e122112cd94cbad0e7f864c009f98e"
"""BLAKE2b-128 of the float32 little-endian genesis vector of digits, seed 0. If this test fails on
some machine, that machine cannot join a swarm of the others: the rule must be fixed, not the test.
"""


def test_the_images_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    task = Digits()
    x, y = (np.concatenate(p) for p in zip(task.train_data(Shard()), task.test_data(), strict=True))
    ours = sorted((*row.tolist(), int(label)) for row, label in zip(x, y, strict=True))
    theirs = sorted(
        (*(row / 16).tolist(), int(label)) for row, label in zip(images, labels, strict=True)
    )
    assert ours == theirs


def test_the_test_set_is_the_same_whatever_the_seed() -> None:
    x, y = Digits(seed=0).test_data()
    other = Digits(seed=7).test_data()
    assert len(y) == 359
    assert x.equal(other[0])
    assert y.equal(other[1])
    assert y.bincount().min() > 25


def test_the_initial_model_is_the_same_bits_everywhere() -> None:
    learner = TorchLearner(Digits(), Shard(), lr=0.1)
    vector = learner.genesis()
    digest = hashlib.blake2b(vector.astype("<f4").tobytes(), digest_size=16).hexdigest()
    assert digest == GENESIS


def test_the_initial_model_is_spread_as_torch_would() -> None:
    layout = Layout(
        (
            TensorSpec("a.weight", (50, 400), "weight"),
            TensorSpec("a.bias", (50,), "bias"),
            TensorSpec("b.weight", (8, 4, 3, 3), "weight"),
        )
    )
    weight, bias, kernel = (v.ravel() for v in layout.views(portable_genesis(layout, "t", 1)))
    for values, inputs in ((weight, 400), (bias, 400), (kernel, 36)):
        bound = inputs**-0.5
        assert np.abs(values).max() < bound
        assert np.abs(values).max() > 0.8 * bound
    assert abs(weight.mean()) < 0.002
    assert weight.std() == np.float32(weight.std())
    assert abs(weight.std() / (400**-0.5 / 3**0.5) - 1) < 0.02


def test_another_seed_task_or_tensor_draws_other_numbers() -> None:
    layout = Layout((TensorSpec("a.weight", (2, 3), "weight"),))
    other = Layout((TensorSpec("b.weight", (2, 3), "weight"),))
    drawn = [
        portable_genesis(layout, "t", 1),
        portable_genesis(layout, "t", 2),
        portable_genesis(layout, "u", 1),
        portable_genesis(other, "t", 1),
    ]
    assert len({vector.tobytes() for vector in drawn}) == 4
