"""Scenarios of the library on small fleets of real daemons, shortened: the file is the same."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from gossipd_scenarios import run as scenarios
from support.fleet import left_of

pytestmark = pytest.mark.slow

BRISK = {
    "settings.learning.background": "false",
    "settings.network.heartbeat_interval": "1.0",
    "settings.network.heartbeat_timeout": "3.0",
    "settings.gossip.anti_entropy_seconds": "1.0",
}


def ran(name: str, nodes: int, output: Path, **values: str) -> dict[str, Any]:
    """The run's answer; every check of it holds."""
    answer = scenarios.run(
        {
            "name": name,
            "backend": "real",
            "nodes": nodes,
            "values": BRISK | {key.replace("__", "."): value for key, value in values.items()},
            "output": output,
            "quiet": True,
        }
    )
    assert [check for check in answer["checks"] if not check["holds"]] == []
    assert answer["log_hash"] is None
    assert (output / "report.html").is_file()
    return answer


def test_first_light(tmp_path: Path) -> None:
    ran("first-light", 4, tmp_path, seconds="16")


def test_blackout(tmp_path: Path) -> None:
    ran(
        "blackout",
        5,
        tmp_path,
        seconds="24",
        timeline__0__at="8",
        timeline__1__at="12",
        checks__1__within="12",
    )


def test_sybils(tmp_path: Path) -> None:
    """By the paper's rules one liar is enough: that it lies shows."""
    ran(
        "sybils",
        4,
        tmp_path,
        seconds="20",
        defended="false",
        checks__0__at_least="0.0",
        checks__0__at_most="0.5",
        checks__1__at_least="0.0",
    )


def test_split(tmp_path: Path) -> None:
    ran("split", 4, tmp_path, seconds="30", timeline__1__at="12")


def test_quake(tmp_path: Path) -> None:
    ran(
        "quake",
        6,
        tmp_path,
        seconds="20",
        timeline__0__at="8",
        **{"settings.gossip.cycle_seconds": "0.5"},
    )


def test_ctrl_c_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    words = ["scenario", "run", "first-light", "--nodes", "2", "--output", "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gossipd_cli", *words, "--set", "seconds=100"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "nodes, accuracy" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
    assert left_of(children) == []
    assert list(tmp_path.iterdir()) == []
