"""`gossipd demo`, on fewer daemons and for a shorter time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gossipd.errors import OperatorError
from gossipd_scenarios import demo
from support.fleet import left_of

SECONDS = 9.0


def processes_of(pid: int) -> list[psutil.Process]:
    return list(psutil.Process(pid).children(recursive=True))


@pytest.mark.slow
def test_three_daemons_learn_from_each_other_and_one_survives_its_death(tmp_path: Path) -> None:
    options = {"nodes": 3, "seconds": SECONDS, "output": tmp_path, "quiet": True}
    result = demo.run(options)

    # Everybody knows some of the digits, together they know them all.
    assert result["names"] == ["n1", "n2", "n3"]
    assert sorted({label for row in result["classes"] for label in row}) == list(range(10))
    assert all(0.0 <= accuracy <= 1.0 for accuracy in result["alone"] + result["together"])
    assert min(result["together"]) > max(result["alone"])
    assert result["updates"]["merged"] > 0
    assert all(row["sent"] > 0 and row["received"] > 0 for row in result["bytes_per_node"])
    assert all(len(line["times"]) > 3 for line in result["history"].values())
    assert result["ablations"] == {"exchange": True, "averaging": "variance_corrected"}

    # The killed one came back with its last committed model.
    killed = result["killed"]
    assert killed["name"] == "n3"
    # It may have learnt more between the measurement and its death, but it lost nothing.
    assert killed["accuracy_after"] >= killed["accuracy_before"] - 0.02
    assert killed["steps_after"] >= killed["steps_before"] > 0
    assert killed["remembered"]

    # What remains is a picture and the numbers.
    assert Path(result["plot"]).read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(Path(result["plot"]).with_suffix(".json").read_text())
    assert numbers["together"] == result["together"]
    assert "alone" in result["summary"]
    assert result["homes"] is None
    assert left_of(processes_of(os.getpid()), 0.5) == []


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
        children = processes_of(process.pid)
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
