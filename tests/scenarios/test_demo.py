"""`gossipd demo`, on fewer daemons and for a shorter time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from gossipd.errors import OperatorError
from gossipd_scenarios import demo
from support.fleet import left_of

SECONDS = 9.0


def daemons_of(pid: int) -> list[psutil.Process]:
    return list(psutil.Process(pid).children(recursive=True))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("demo")
    options = {"nodes": 3, "seconds": SECONDS, "output": directory, "quiet": True}
    return demo.run(options)


@pytest.mark.slow
def test_it_tells_what_came_of_it(result: dict[str, Any]) -> None:
    assert result["names"] == ["n1", "n2", "n3"]
    assert sorted({label for row in result["classes"] for label in row}) == list(range(10))
    for kind in ("alone", "together"):
        assert all(0.0 <= accuracy <= 1.0 for accuracy in result[kind])
    assert result["ablations"] == {"exchange": True, "averaging": "variance_corrected"}
    assert result["updates"]["merged"] > 0
    assert all(row["sent"] > 0 and row["received"] > 0 for row in result["bytes_per_node"])
    assert all(len(line["times"]) > 3 for line in result["history"].values())
    assert "alone" in result["summary"]


@pytest.mark.slow
def test_together_they_know_more_than_alone(result: dict[str, Any]) -> None:
    assert min(result["together"]) > max(result["alone"])


@pytest.mark.slow
def test_the_killed_one_came_back_with_its_committed_model(result: dict[str, Any]) -> None:
    killed = result["killed"]
    assert killed["name"] == "n3"
    assert abs(killed["accuracy_after"] - killed["accuracy_before"]) <= 0.02
    assert killed["steps_after"] >= killed["steps_before"] > 0
    assert killed["remembered"]


@pytest.mark.slow
def test_it_draws_a_picture_and_writes_the_numbers(result: dict[str, Any]) -> None:
    image = Path(result["plot"])
    assert image.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(image.with_suffix(".json").read_text())
    assert numbers["together"] == result["together"]


@pytest.mark.slow
def test_it_leaves_nothing_behind(result: dict[str, Any]) -> None:
    assert result["homes"] is None
    assert left_of(daemons_of(os.getpid()), 0.5) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_leaves_no_process(tmp_path: Path, number: int) -> None:
    code = "from gossipd_scenarios import demo; demo.run({'nodes': 2, 'seconds': 60.0})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "alone" in line:
                break
        children = daemons_of(process.pid)
        assert len(children) == 4  # the measuring process, the parent, two daemons
        process.send_signal(number)
        assert process.wait(20) != 0
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
    assert left_of(children) == []
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="cannot write"):
        demo.run({"output": tmp_path / "file" / "plots"})
