"""Own data from `init` to `predict`, without a daemon."""

import csv
import importlib.util
import io
import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipd.errors import ExitCode
from gossipd.members.identity import Identity
from gossipd.members.membership import at_rest, swarm_of
from gossipd.wire.envelope import seal
from gossipd.wire.identifiers import digest
from gossipd.wire.invitation import Line, closed_line, public_key_of_secret
from gossipd.wire.messages import Invitation, Welcome
from support.command import Outcome, gossipd
from support.own_data import flowers, learnt


def error(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = outcome.document["error"]
    return found


def founded(folder: Path, target: str = "flower") -> Path:
    home = folder / f"home of {target}"
    data = flowers(folder / "flowers.csv")
    assert gossipd("init", "--data", data, "--target", target, home=home).code == 0
    return home


def test_a_table_becomes_a_closed_swarm_with_a_task_description(tmp_path: Path) -> None:
    home, data = tmp_path / "home", flowers(tmp_path / "flowers.csv")
    line = ("init", "--data", data, "--target", "flower", "--format", "json")
    done = gossipd(*line, home=home).document["data"]

    assert [c["type"] for c in done["columns"]] == ["number", "category", "number", "target"]
    assert (done["title"], done["model"]) == ("flowers", "5 - 32 - 3 perceptron")
    config = tomllib.loads((home / "config.toml").read_text())
    assert config["task"] == {"name": "described", "data": str(data)}
    assert list(config) == ["task"]
    assert stat.S_IMODE((home / "task.json").stat().st_mode) == 0o600
    (own,) = gossipd("members", "ls", "--format", "json", home=home).document["data"]
    assert own["founder"]

    shown = gossipd("task", "show", "--format", "json", home=home).document["data"]
    assert shown["digest"] == done["digest"]
    assert gossipd("task", "show", home=home).out == (home / "task.json").read_text()


def test_people_see_how_each_column_was_understood(tmp_path: Path) -> None:
    outcome = gossipd(
        *("init", "--data", flowers(tmp_path / "flowers.csv"), "--target", "flower"),
        home=tmp_path / "home",
    )
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[0] == ["COLUMN", "TYPE", "MISSING", "DETAIL"]
    assert lines[4] == ["flower", "target", "-", "classes:", "a", "30,", "b", "30,", "c", "30"]
    assert "gossipd invite" in outcome.err


def test_who_joins_brings_rows_and_the_description(tmp_path: Path) -> None:
    founder, home = founded(tmp_path), tmp_path / "joiner"
    mine = flowers(tmp_path / "mine.csv", keep="ab", seed=1)
    line = ("init", "--data", mine, "--task-file", founder / "task.json", "--format", "json")
    done = gossipd(*line, home=home).document["data"]
    assert done["swarm"] is None  # until it is let in
    assert (home / "task.json").read_bytes() == (founder / "task.json").read_bytes()
    refused = gossipd("start", "--format", "json", home=home)
    assert (refused.code, error(refused)["code"]) == (ExitCode.CONFIG, "no-swarm")

    both = gossipd(*line, "--target", "flower", home=tmp_path / "other")
    assert (both.code, error(both)["code"]) == (ExitCode.USAGE, "already-described")
    carrier = gossipd("init", "--task-file", founder / "task.json", home=tmp_path / "carrier")
    assert carrier.code == 0


@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ((), "no-target", "length, colour, size, flower"),
        (("--target", "flowr"), "bad-data", "did you mean 'flower'?"),
        (("--target", "flower", "--kind", "regression"), "bad-data", "leave the cell empty"),
        (("--target", "flower", "--classes", "a,b"), "bad-data", "--classes"),
        (("--target", "flower", "--hidden", "x"), "usage", "64,32"),
        (("--task-file", "nowhere.json"), "bad-data", "task.json"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    tmp_path: Path, options: tuple[str, ...], code: str, hint: str
) -> None:
    home, data = tmp_path / "home", flowers(tmp_path / "flowers.csv")
    outcome = gossipd("init", "--data", data, *options, "--format", "json", home=home)
    assert outcome.code != 0
    assert error(outcome)["code"] == code
    assert hint in error(outcome)["hint"]
    assert not home.exists()


def test_a_prediction_is_the_table_with_answers_beside_it(tmp_path: Path) -> None:
    home = founded(tmp_path)
    model = learnt(home)
    new = tmp_path / "new.csv"
    new.write_text("name,length,colour,size\nx,0.01,red,200\ny,,blue,280\n")

    rows = list(csv.DictReader(io.StringIO(gossipd("predict", new, home=home).out)))
    assert [(row["name"], row["prediction"]) for row in rows] == [("x", "a"), ("y", "c")]
    assert sum(float(rows[0][f"p({name})"]) for name in "abc") == pytest.approx(1, abs=1e-3)

    data = gossipd("predict", new, "--format", "json", home=home).document["data"]
    assert (data["hash"], data["rows"]) == (model.hex(), rows)

    out = tmp_path / "out.csv"
    assert gossipd("predict", new, "--output", out, home=home).code == 0
    assert list(csv.DictReader(out.open())) == rows
    again = gossipd("predict", new, "-o", out, "--format", "json", home=home)
    assert error(again)["code"] == "file-exists"
    assert gossipd("predict", new, "-o", out, "--force", home=home).code == 0


def test_a_table_that_has_a_prediction_already_keeps_it(tmp_path: Path) -> None:
    home = founded(tmp_path)
    learnt(home)
    new = tmp_path / "new.csv"
    new.write_text("prediction,length,colour,size\nmine,0.01,red,200\n")
    (row,) = csv.DictReader(io.StringIO(gossipd("predict", new, home=home).out))
    assert (row["prediction"], row["prediction (gossipd)"]) == ("mine", "a")


def test_a_model_is_measured_on_a_file(tmp_path: Path) -> None:
    home = founded(tmp_path)
    learnt(home)
    test = flowers(tmp_path / "test.csv", seed=5)
    data = gossipd("eval", test, "--format", "json", home=home).document["data"]
    assert (data["accuracy"], data["examples"], data["on"]) == (1.0, 90, str(test))

    amounts = founded(tmp_path, "size")
    learnt(amounts)
    data = gossipd("eval", test, "--format", "json", home=amounts).document["data"]
    assert data["accuracy"] is None
    assert data["rmse"] < 10
    assert data["r2"] > 0.9
    lines = gossipd("eval", test, home=amounts).out
    assert "accuracy" not in lines
    assert "rmse" in lines


@pytest.mark.parametrize("command", ["predict", "eval"])
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, command: str) -> None:
    home = founded(tmp_path)
    learnt(home)
    bad = flowers(tmp_path / "bad.csv")
    bad.write_text(bad.read_text() + "long,red,1,a\n")
    outcome = gossipd(command, bad, "--format", "json", home=home)
    assert (outcome.code, error(outcome)["code"]) == (ExitCode.FAILURE, "bad-data")
    assert "row 92, column 'length': 'long' is no number" in error(outcome)["message"]


@pytest.mark.parametrize("line", ["predict {}", "eval {}", "models export serving {}.out"])
def test_before_anything_is_learnt_there_is_nothing_to_use(tmp_path: Path, line: str) -> None:
    home = founded(tmp_path)
    words = line.format(tmp_path / "flowers.csv").split()
    outcome = gossipd(*words, "--format", "json", home=home)
    assert error(outcome)["code"] == "nothing-learnt"
    assert "gossipd start" in error(outcome)["hint"]
    assert not (tmp_path / "flowers.csv.out").exists()


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", ["flower", "size"])
def test_an_exported_model_answers_alike_with_torch_alone(tmp_path: Path, target: str) -> None:
    home = founded(tmp_path, target)
    learnt(home)
    weights, loader = tmp_path / "m.safetensors", tmp_path / "load_flowers.py"
    line = ("models", "export", "serving", weights, "--loader", loader, "--format", "json")
    assert gossipd(*line, home=home).document["data"]["loader"] == str(loader)
    assert "gossipd." not in loader.read_text()  # it imports nothing of ours

    new = tmp_path / "new.csv"
    new.write_text("length,colour,size,flower\n0.01,red,,b\n1.9,green,270,\n,,240,a\n")
    theirs = loaded(loader).load(weights).predict(list(csv.DictReader(new.open())))
    ours = gossipd("predict", new, "--format", "json", home=home).document["data"]["rows"]
    if target == "flower":
        assert theirs == [row["prediction"] for row in ours]
    else:
        assert theirs == pytest.approx([float(row["prediction"]) for row in ours], rel=1e-4)
    assert error(gossipd(*line, home=home))["code"] == "file-exists"


def test_a_task_of_one_s_own_from_the_template_to_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    assert gossipd("init", "--template", home=home).code == 0
    assert not home.exists()
    assert error(gossipd("init", "--template", "--format", "json"))["code"] == "file-exists"
    checked = gossipd("task", "check", "my_task.py:MyTask", "--format", "json").document["data"]
    assert checked["task"] == "my-task"

    line = ("init", "--task", "my_task.py:MyTask", "--format", "json")
    done = gossipd(*line, home=home).document["data"]
    assert (done["task"], bool(done["swarm"])) == ("code", True)
    learnt(home)
    x = np.eye(3, 4, dtype=np.float32) * 3
    np.savez(tmp_path / "new.npz", x=x, y=np.arange(3))
    rows = gossipd("predict", "new.npz", "--format", "json", home=home).document["data"]["rows"]
    assert [row["prediction"] for row in rows] == ["0", "1", "2"]
    data = gossipd("eval", "new.npz", "--format", "json", home=home).document["data"]
    assert data["accuracy"] == 1.0
    np.savez(tmp_path / "odd.npz", x=x[:, :2])
    outcome = gossipd("predict", "odd.npz", "--format", "json", home=home)
    assert "takes no inputs of shape [2]" in error(outcome)["message"]


def test_a_task_that_cannot_be_learnt_makes_no_home(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text("x = 1 / 0\n")
    for line in (("task", "check"), ("init", "--task")):
        outcome = gossipd(*line, f"{path}:T", "--format", "json", home=tmp_path / "home")
        assert error(outcome)["code"] == "bad-task"
        assert "line 1" in error(outcome)["message"]
    assert not (tmp_path / "home").exists()


def test_a_description_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    home = founded(tmp_path)
    document = json.loads((home / "task.json").read_text())
    document["hidden"] = [4096] * 8
    (home / "task.json").write_text(json.dumps(document))
    outcome = gossipd("predict", tmp_path / "flowers.csv", "--format", "json", home=home)
    assert "parameters" in error(outcome)["message"]
    outcome = gossipd("task", "show", "--format", "json", home=home)
    assert error(outcome)["code"] == "bad-data"


def test_who_joins_with_rows_that_do_not_fit_is_in_and_told_which_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    founder, home = founded(tmp_path), tmp_path / "joiner"
    raw = (founder / "task.json").read_bytes()

    async def welcomed(line: Line, identity: Identity, timeout: float) -> Welcome:
        with at_rest(founder) as books:
            signed = books.issue(identity.peer_id, "", None, 0.0)
        return Welcome(membership=signed.envelope, description=raw)

    monkeypatch.setattr("gossipd.members.joining._ask", welcomed)
    secret = bytes(16)
    with at_rest(founder) as books:
        own = books.founded()
        made = Invitation(
            nonce=own.membership.nonce,
            key=public_key_of_secret(secret),
            task=bytes(32),
            description=digest(raw),
        )
        sealed = seal(made, swarm_of(own), books.identity.signer())
    line = closed_line(secret, sealed, ["/ip4/127.0.0.1/tcp/9"])

    mine = flowers(tmp_path / "mine.csv")
    mine.write_text(mine.read_text() + "1.0,red,200,d\n")
    outcome = gossipd("join", line, "--data", mine, "--format", "json", home=home)
    assert "row 92, column 'flower': 'd' is no class" in error(outcome)["message"]
    assert "the classes are: a, b, c" in error(outcome)["hint"]

    flowers(mine)
    done = gossipd("join", line, "--data", mine, "--format", "json", home=home)
    assert [row["type"] for row in done.document["data"]["columns"]][-1] == "target"
    config = tomllib.loads((home / "config.toml").read_text())
    assert config["task"] == {"name": "described", "data": str(mine)}
    own_code = tmp_path / "code"
    task = tmp_path / "none.py:Task"
    outcome = gossipd("join", line, "--task", task, "--format", "json", home=own_code)
    assert error(outcome)["code"] == "bad-task"
    assert not own_code.exists()
