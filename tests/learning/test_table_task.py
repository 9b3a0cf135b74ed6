"""The task of a table: nodes that lack classes fit, data that change are read again."""

import os
from pathlib import Path

import numpy as np
import pytest

from gossipd.learning.answers import Answers
from gossipd.learning.describe import Wish, describe, fit
from gossipd.learning.description import Table
from gossipd.learning.errors import DataError, LearningError
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.table import TableTask
from gossipd.learning.table_files import read_table
from gossipd.learning.watch import Watch
from gossipd.tensors.layout import content_hash

ROWS = 120


def flowers(path: Path, keep: str = "abc", rows: int = ROWS, seed: int = 0) -> Path:
    """Three classes on a line, with a colour that tells nothing, and their size as a number."""
    rng = np.random.default_rng(seed)
    lines = ["length,colour,size,flower"]
    for n in range(rows):
        length = n % 3 + rng.normal(0, 0.1)
        flower = "abc"[n % 3]
        if flower in keep:
            lines.append(f"{length:.3f},{('red', 'blue')[n % 2]},{40 * length + 200:.3f},{flower}")
    path.write_text("\n".join(lines) + "\n")
    return path


def described(path: Path, target: str = "flower", ignore: str = "size") -> Table:
    return describe(read_table(path), Wish(target, "flowers", ignore=frozenset({ignore})))[0]


def learner(table: Table, data: Path | None) -> TorchLearner:
    return TorchLearner(TableTask(table, data), Shard(), lr=0.1)


def trained(node: TorchLearner, steps: int = 300) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    return node.train(node.genesis(), None, steps, 0).vector


def test_a_node_that_lacks_a_class_and_a_colour_fits_the_same_model(tmp_path: Path) -> None:
    table = described(flowers(tmp_path / "founder.csv"))
    founder = learner(table, tmp_path / "founder.csv")
    other = flowers(tmp_path / "other.csv", keep="ab", seed=1)
    other.write_text(other.read_text().replace("blue", "green"))
    node = learner(table, other)
    assert node.layout.hash == founder.layout.hash
    assert content_hash(node.genesis()) == content_hash(founder.genesis())
    assert node.class_counts == (36, 36, 0)
    assert node.held_out(trained(node)).accuracy == 1.0


def test_two_tasks_that_differ_in_a_scale_begin_with_different_models(tmp_path: Path) -> None:
    flowers(tmp_path / "a.csv")
    flowers(tmp_path / "b.csv", seed=1)
    one, two = (learner(described(tmp_path / n), tmp_path / n) for n in ("a.csv", "b.csv"))
    assert one.layout.hash == two.layout.hash
    assert content_hash(one.genesis()) != content_hash(two.genesis())


def test_a_node_without_data_of_its_own_carries_the_model(tmp_path: Path) -> None:
    table = described(flowers(tmp_path / "a.csv"))
    node = learner(table, None)
    assert (node.examples, node.class_counts) == (0, (0, 0, 0))
    assert trained(node).tobytes() == node.genesis().tobytes()


def test_a_regression_is_measured_in_the_target_s_own_unit(tmp_path: Path) -> None:
    table = described(flowers(tmp_path / "a.csv"), "size", "flower")
    node = learner(table, tmp_path / "a.csv")
    assert node.class_counts is None
    found = node.held_out(trained(node))
    assert found.accuracy is None
    assert found.metrics["r2"] > 0.9
    assert 0 < found.metrics["rmse"] < 10  # of sizes from 200 to 280
    assert found.known_loss is not None
    assert found.known_loss < node.guess


def test_answers_are_in_words_and_units_of_the_table(tmp_path: Path) -> None:
    data = flowers(tmp_path / "a.csv")
    (tmp_path / "new.csv").write_text("colour,length,mine\nred,0.02,k1\n,1.98,k2\n")
    task = TableTask(described(data), None)
    given = task.read(tmp_path / "new.csv", targets=False)
    assert given.shown["mine"] == ["k1", "k2"]
    vector = trained(learner(task.description, data))
    found = Answers(task).of(vector, given.inputs, tmp_path / "new.csv")
    assert found["prediction"] == ["a", "c"]
    assert list(found) == ["prediction", "p(a)", "p(b)", "p(c)"]
    assert float(found["p(a)"][0]) > 0.5

    sizes = TableTask(described(data, "size", "flower"), None)
    vector = trained(learner(sizes.description, data))
    given = sizes.read(tmp_path / "new.csv", targets=False)
    (small, large) = Answers(sizes).of(vector, given.inputs, data)["prediction"]
    assert float(small) == pytest.approx(200, abs=8)
    assert float(large) == pytest.approx(280, abs=8)


def test_rows_without_a_target_are_measured_nowhere(tmp_path: Path) -> None:
    data = flowers(tmp_path / "a.csv")
    answers = Answers(TableTask(described(data), None))
    (tmp_path / "some.csv").write_text("colour,length,flower\nred,0.0,a\nred,1.0,\nred,2.0,c\n")
    vector = trained(learner(described(data), data))
    given = answers.task.read(tmp_path / "some.csv", targets=True)
    found = answers.measured(vector, given, tmp_path / "some.csv")
    assert (found["examples"], found["accuracy"]) == (2, 1.0)
    (tmp_path / "none.csv").write_text("colour,length,flower\nred,0.0,\n")
    given = answers.task.read(tmp_path / "none.csv", targets=True)
    with pytest.raises(DataError, match="what is right"):
        answers.measured(vector, given, tmp_path / "none.csv")


# --- data that change -----------------------------------------------------------------------------


def epoch(node: TorchLearner) -> None:
    node.train(node.genesis(), None, 30, 0)


def test_changed_data_are_read_again_at_an_epoch_s_end(tmp_path: Path) -> None:
    data = flowers(tmp_path / "a.csv")
    node = learner(described(data), data)
    before = node.examples
    flowers(data, rows=2 * ROWS)
    assert node.refresh() is False  # no epoch has ended
    node.train(node.genesis(), None, 1, 0)
    assert node.refresh() is False
    epoch(node)
    assert node.refresh() is False  # seen changed for the first time: it may still be written
    assert node.refresh() is True
    assert node.examples == 2 * before
    assert trained(node).any()
    epoch(node)
    assert node.refresh() is False  # nothing new


REASONS = {
    "broken": "row 122, column 'length'",
    "gone": "no such file",
    "emptied": "no example any more",
}


@pytest.mark.parametrize("how", REASONS)
def test_a_file_that_breaks_keeps_the_last_good_data(tmp_path: Path, how: str) -> None:
    data = flowers(tmp_path / "a.csv")
    node = learner(described(data), data)
    before = node.examples
    epoch(node)
    if how == "broken":
        data.write_text(data.read_text() + "long,red,1,a\n")
    elif how == "gone":
        data.unlink()
    else:
        flowers(data, rows=0)
    assert node.refresh() is False
    found = node.refresh()
    assert isinstance(found, LearningError)
    assert REASONS[how] in str(found)
    assert found.hint
    assert node.refresh() is False  # it is said once
    assert node.examples == before
    epoch(node)

    flowers(data, rows=2 * ROWS)
    assert [node.refresh(), node.refresh()] == [False, True]
    assert node.examples == 2 * before


def test_rows_may_come_later(tmp_path: Path) -> None:
    table = described(flowers(tmp_path / "founder.csv"))
    data = flowers(tmp_path / "mine.csv", rows=0)
    assert "no row has one yet" in str(fit(table, read_table(data)))
    node = learner(table, data)
    assert node.examples == 0
    flowers(data)
    assert [node.refresh(), node.refresh()] == [False, True]
    assert node.held_out(trained(node)).accuracy == 1.0


def test_a_file_counts_as_changed_when_two_looks_agree(tmp_path: Path) -> None:
    data = flowers(tmp_path / "a.csv")
    watch = Watch([data, tmp_path / "not there"])
    assert not watch.changed()
    for size in (10, 20):  # it grows from look to look
        os.truncate(data, size)
        assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()
