"""Every benchmark runs, and says what its bounds say of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import BARS, judge, load_bars, median_or_none
from support.browser import missing
from support.tree import ROOT

SECONDS = 240
COMMANDS = [
    "averaging",
    "blackout",
    "codecs",
    "dashboard",
    "grank",
    "guest",
    "islands",
    "personal",
    "quake",
    "ranking",
    "returning",
    "rounds",
    "scale",
    "several",
    "soak",
    "tables",
    "transport",
    "variance",
    "w1",
]


def benchmark(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *(f"benchmarks.{arguments[0]}", *map(str, arguments[1:]))],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_smoke_test_measures_every_bound(name: str, tmp_path: Path) -> None:
    if name == "dashboard" and (reason := missing()):
        pytest.skip(reason)
    done = benchmark(name, "--quick", "--format", "json", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    envelope: dict[str, Any] = json.loads(line)
    assert (envelope["schema_version"], envelope["status"]) == (1, "ok")
    data = envelope["data"]
    assert [bar["name"] for bar in data["bars"]] == [bar["name"] for bar in load_bars(name)]
    for bar in data["bars"]:
        assert bar.keys() == {"name", "value", "bound", "holds"}
        assert isinstance(bar["value"], float | int | None)
        assert isinstance(bar["bound"], str)
        assert isinstance(bar["holds"], bool)
    assert data["rows"]
    assert data["seconds"] > 0
    images = [Path(path) for path in data["figures"]]
    assert images
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in images)


def test_for_people_it_prints_tables(tmp_path: Path) -> None:
    done = benchmark("averaging", "--quick", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "variance_corrected, ten received" in done.stdout
    assert "holds" in done.stdout


def test_a_folder_that_is_not_there_is_said_in_the_envelope(tmp_path: Path) -> None:
    done = benchmark("averaging", "--data", tmp_path / "none", "--format", "json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "no-data"


def test_a_value_on_its_bound_holds_it_unless_it_must_be_above() -> None:
    bars = [{"name": "a", "at_least": 1, "at_most": 2}, {"name": "b", "above": 2}]
    assert [bar["holds"] for bar in judge(bars, {"a": 2, "b": 2})] == [True, False]
    assert [bar["holds"] for bar in judge(bars, {"a": 0.5, "b": 2.1})] == [False, True]


def test_what_was_not_reached_holds_no_bound() -> None:
    (bar,) = judge([{"name": "a", "at_least": 1}], {"a": None})
    assert bar == {"name": "a", "value": None, "bound": ">= 1", "holds": False}


@pytest.mark.parametrize("measured", [{}, {"a": 1.0, "b": 1.0}])
def test_no_bound_is_forgotten_and_none_is_made_up(measured: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="do not match"):
        judge([{"name": "a", "at_most": 1}], measured)


def test_a_repetition_that_never_got_there_is_later_than_all() -> None:
    assert median_or_none([None, 3, 5]) == 5
    assert median_or_none([None, None, 5]) is None


def test_bounds_are_kept_for_benchmarks_that_exist() -> None:
    assert BARS.exists()
    assert all(load_bars(name) for name in COMMANDS)
