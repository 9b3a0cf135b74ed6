"""`gossipd scenario`: one envelope on stdout, progress on stderr, an exit code to rely on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gossipd_cli.main import main

FILE = """
title = "Small"
about = "A small one."
nodes = 3
seconds = 6.0
training = "stub"
settings = { rounds = { round_seconds = 1.0 } }

[parameters]
most = 100

[[timeline]]
at = 2.0
do = "kill"
who = { count = 1 }

[[checks]]
check = "bytes"
at_most = "$most"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(FILE)
    return "small.toml"


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """Exit code, the data or error of the envelope, and what was said beside it."""
    code = main(["scenario", *words, "--format", "json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    return code, document.get("data", document.get("error")), err


def test_the_library_is_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, data, _ = called(capsys, "ls")
    assert code == 0
    rows = {row["name"]: row for row in data["scenarios"]}
    assert {"first-light", "blackout", "quake", "split", "archipelago"} <= rows.keys()
    assert rows["quake"]["parameters"] == {"case": 2, "x": 30}
    code, data, _ = called(capsys, "show", "quake")
    assert code == 0
    assert data["text"].startswith("title = ")
    assert main(["scenario", "ls"]) == 0
    assert "blackout" in capsys.readouterr().out


def test_a_run_whose_checks_hold_exits_with_0(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data, said = called(capsys, "run", file, "--backend", "sim", "--seed", "3")
    assert (code, said) == (0, "")
    assert (data["seed"], data["nodes"], data["scenario"]) == (3, 3, "small")
    assert Path(data["report"]).name == "scenario-small-sim-3"
    again = called(capsys, "run", file, "--backend", "sim", "--seed", "3", "--output", "again")
    assert again[1]["log_hash"] == data["log_hash"]


def test_a_run_with_a_check_that_fails_exits_with_1(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", file, "--backend", "sim", "--set", "most=0.0001", "--nodes", "4"]
    code, data, _ = called(capsys, *words)
    assert (code, data["nodes"], data["holds"]) == (1, 4, False)
    assert main(["scenario", *words]) == 1
    out, err = capsys.readouterr()
    assert "FAILS  bytes worst" in out
    assert "kill n" in err, "progress is told beside the result"


def test_runs_are_compared_and_drawn_again(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    called(capsys, "run", file, "--backend", "sim", "--output", "one")
    code, data, _ = called(capsys, "compare", "one", "one")
    assert (code, data["first"]) == (0, "small sim 3 seed 1")
    code, data, _ = called(capsys, "report", "one")
    assert (code, Path(data["report"]).name) == (0, "report.html")


HASHED = """
[topology]
kind = "erdos-renyi"
probability = 0.7

[[timeline]]
at = 3.0
do = "partition"
maker = "halves"

[[timeline]]
at = 4.0
do = "flap"
every = 1.0
down = 0.5
seconds = 1.5
"""


@pytest.mark.slow
def test_the_same_seed_makes_the_same_run_in_another_process(file: str) -> None:
    Path(file).write_text(FILE.replace("nodes = 3", "nodes = 6") + HASHED)
    hashes = set()
    for number in ("1", "2"):
        words = ["scenario", "run", file, "--backend", "sim", "--output", "out", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "gossipd_cli", *words],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            timeout=60,
            check=True,
        )
        hashes.add(json.loads(done.stdout)["data"]["log_hash"])
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["run", "nothing"], 5, "no-scenario"),
        (["run", "nothing.toml"], 5, "bad-scenario"),
        (["run", "small.toml", "--set", "most"], 2, "usage"),
        (["run", "small.toml", "--set", "mist=1"], 5, "bad-scenario"),
        (["run", "small.toml", "--backend", "real"], 5, "bad-scenario"),
        (["report", "."], 5, "no-result"),
    ],
)
def test_mistakes_have_a_code_and_a_hint(
    file: str, capsys: pytest.CaptureFixture[str], words: list[str], code: int, error: str
) -> None:
    found, document, _ = called(capsys, *words)
    assert (found, document["code"]) == (code, error)
    assert document["hint"]
