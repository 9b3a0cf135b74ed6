"""A task of one's own: loaded from a local file, examined, and told what is wrong with it."""

from pathlib import Path

import pytest

from gossipd.learning import templates
from gossipd.learning.errors import LearningError, TaskError
from gossipd.learning.own_code import examine, load_task

TEMPLATE = (Path(templates.__file__).parent / "my_task.py").read_text()


def task_file(folder: Path, *changes: tuple[str, str]) -> str:
    text = TEMPLATE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "my_task.py").write_text(text)
    return f"{folder}/my_task.py:MyTask"


def test_the_template_passes_its_own_examination(tmp_path: Path) -> None:
    found = examine(task_file(tmp_path), lr=0.1, batch_size=20)
    assert (found["task"], found["classes"], found["test"]) == ("my-task", 3, 100)
    assert found["examples"] + found["held_out"] == 300
    assert found["loss_after"] < found["loss_before"]
    assert len(found["layout"]) == 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("nn.Linear(32, 3)", "nn.Linear(32, 2)"), "the model returns (2, 2)"),
        (("return inputs, targets", "return inputs, targets + 1"), "labels go from 1 to 3"),
        (("nn.Linear(FEATURES, 32)", "nn.Linear(5, 32)"), "RuntimeError"),
        (("        return _read(300", "        return 1 / 0 or _read(300"), "ZeroDivisionError"),
        (('name = "my-task"', "pass"), "MyTask has no name"),
        (("import torch\n", "import torch\nimport nothing_like_it\n"), "line 8: it cannot be"),
        (("classes = 3", "classes = = 3"), "line 20: it cannot be loaded: SyntaxError"),
        (("class MyTask(Task)", "class Other(Task)"), "has no task called MyTask"),
        (("_read(300", "_read(0"), "train_data() gives no example"),
        (("* 3\n", "* 3e38\n"), "the loss is"),
        (
            ("        return nn.Seq", "        torch.seed()\n        return nn.Seq"),
            "the initial model differs from one time to the next",
        ),
        (("nn.Linear(32, 3))", "nn.Linear(32, _odd()))"), "line 24: its model or its data fail"),
    ],
)
def test_what_is_wrong_is_said_with_the_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(LearningError) as caught:
        examine(task_file(tmp_path, change), lr=0.1, batch_size=20)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_model_that_is_built_otherwise_each_time_is_refused(tmp_path: Path) -> None:
    change = (
        "        return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 3))",
        "        WIDTHS.append(len(WIDTHS) + 8)\n"
        "        w = WIDTHS[-1]\n"
        "        return nn.Sequential(nn.Linear(FEATURES, w), nn.ReLU(), nn.Linear(w, 3))",
    )
    # What another module keeps outlives the file that is read anew.
    (tmp_path / "widths_of_this_test.py").write_text("WIDTHS = []\n")
    imported = ("FEATURES = 4", "from widths_of_this_test import WIDTHS\n\nFEATURES = 4")
    with pytest.raises(TaskError, match="layout differs"):
        examine(task_file(tmp_path, change, imported), lr=0.1, batch_size=20)


@pytest.mark.parametrize("where", ["my_task", "my_task.py", "my_task.py:1", "my_task.txt:MyTask"])
def test_what_names_no_task_is_refused(where: str) -> None:
    with pytest.raises(TaskError, match="names no task"):
        load_task(where)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such file"):
        load_task(f"{tmp_path}/none.py:MyTask")
