"""The measuring process shares no code with what it measures, and comes to the same result."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gossipd.learning.digits import Digits
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd_scenarios.fleet import FleetError
from gossipd_scenarios.judge import Judge
from gossipd_scenarios.measure import digits_for_testing, measure, read_safetensors


@pytest.fixture(scope="module")
def learner() -> TorchLearner:
    return TorchLearner(Digits(), Shard(), lr=0.1)


def save(learner: TorchLearner, steps: int, path: Path) -> np.ndarray[tuple[int], np.dtype]:
    vector = learner.train(learner.genesis(), None, steps, 0).vector
    specs = zip(learner.layout.tensors, learner.layout.slices, strict=True)
    save_file({spec.name: vector[piece].reshape(spec.shape) for spec, piece in specs}, path)
    return vector


def test_its_test_set_is_the_task_s() -> None:
    images, labels = digits_for_testing()
    theirs, their_labels = Digits().test_data()
    np.testing.assert_array_equal(images, theirs.numpy())
    np.testing.assert_array_equal(labels, their_labels.numpy())


@pytest.mark.parametrize("steps", [0, 200])
def test_it_measures_what_the_learner_measures(
    learner: TorchLearner, tmp_path: Path, steps: int
) -> None:
    vector = save(learner, steps, tmp_path / "model")
    measured = measure(tmp_path / "model", *digits_for_testing())
    theirs = learner.test(vector)
    assert measured["accuracy"] == pytest.approx(theirs.accuracy, abs=1e-9)
    assert measured["loss"] == pytest.approx(theirs.loss, abs=1e-5)
    assert measured["examples"] == theirs.examples


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0{}",
        b'\x2a\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}',
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((ValueError, KeyError, TypeError)):
        measure(tmp_path / "file", *digits_for_testing())


def test_tensors_come_back_as_they_were_saved(learner: TorchLearner, tmp_path: Path) -> None:
    vector = save(learner, 10, tmp_path / "model")
    tensors = read_safetensors(tmp_path / "model")
    np.testing.assert_array_equal(
        np.concatenate([tensors[s.name].ravel() for s in learner.layout.tensors]), vector
    )


async def test_the_judge_answers_and_survives_a_bad_file(
    learner: TorchLearner, tmp_path: Path
) -> None:
    vector = save(learner, 200, tmp_path / "model")
    (tmp_path / "bad").write_bytes(b"nothing")
    async with Judge(tmp_path) as judge:
        with pytest.raises(FleetError, match="no model"):
            await judge.accuracy_of(tmp_path / "bad")
        assert await judge.accuracy_of(tmp_path / "model") == pytest.approx(
            learner.test(vector).accuracy
        )
