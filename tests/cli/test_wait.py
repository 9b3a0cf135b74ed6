"""`gossipd wait`, `logs --set` and `completion`: for scripts and for shells."""

import logging
import time
from pathlib import Path

import pytest

from gossipd.errors import ExitCode
from support.command import environment, gossipd
from support.operator import served


def test_it_goes_on_when_all_that_is_asked_for_holds(tmp_path: Path) -> None:
    with served(tmp_path):
        asked = ("wait", "--peers", "1", "--round", "12", "--accuracy", "0.9")
        outcome = gossipd(*asked, home=tmp_path)
        assert (outcome.code, outcome.out) == (0, "1 peers, round 12, accuracy 0.9375\n")


@pytest.mark.parametrize("goal", [("--peers", "2"), ("--round", "13"), ("--accuracy", "0.95")])
def test_in_vain_it_ends_with_8_and_says_how_far_it_came(
    tmp_path: Path, goal: tuple[str, str]
) -> None:
    with served(tmp_path):
        arguments = ("wait", *goal, "--timeout", "0.1", "--format", "json")
        outcome = gossipd(*arguments, home=tmp_path)
    assert outcome.code == ExitCode.TIMEOUT
    error = outcome.document["error"]
    assert error["code"] == "timeout"
    assert "1 peers, round 12" in error["message"]


def test_what_nobody_has_measured_yet_is_not_zero(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        daemon.operator.accuracy = None
        assert gossipd("wait", home=tmp_path).out == "1 peers, round 12, accuracy -\n"
        outcome = gossipd("wait", "--accuracy", "0.1", "--timeout", "0.1", home=tmp_path)
        assert outcome.code == ExitCode.TIMEOUT


def test_a_daemon_that_does_not_run_is_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    outcome = gossipd("wait", "--timeout", "0.3", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.TIMEOUT
    assert time.monotonic() - begun >= 0.3


def test_levels_are_set_while_it_runs(tmp_path: Path) -> None:
    ours = logging.getLogger("gossipd")
    before = ours.level
    try:
        with served(tmp_path):
            assert gossipd("logs", "--set", "all=info", home=tmp_path).code == 0
            told = gossipd("logs", "--set", "network=debug", "--format", "json", home=tmp_path)
            levels = told.document["data"]
            assert (levels["network"], levels["runtime"]) == ("debug", "info")
            assert logging.getLogger("gossipd.network.dialler").isEnabledFor(logging.DEBUG)
            told = gossipd("logs", "--set", "network=default", "--format", "json", home=tmp_path)
            assert told.document["data"]["network"] == "info"
            for wrong in ("network", "nowhere=info", "network=loud", "all=default"):
                outcome = gossipd("logs", "--set", wrong, "--format", "json", home=tmp_path)
                assert (outcome.code, outcome.document["error"]["code"]) == (2, "bad-request")
    finally:
        ours.setLevel(before)


def test_records_of_one_room_are_shown(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        for name in ("gossipd.network.dialler", "gossipd.networking", "gossipd.daemon"):
            daemon.records.emit(logging.LogRecord(name, 20, "", 0, f"from {name}", (), None))
        shown = gossipd("logs", "--room", "network", "--format", "json", home=tmp_path).lines
        assert [row["room"] for row in shown] == ["network.dialler"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str, tmp_path: Path) -> None:
    outcome = gossipd("completion", shell, home=tmp_path)
    assert outcome.code == 0
    assert "_GOSSIPD_COMPLETE" in outcome.out


def test_the_shell_is_answered(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "gossipd_cli"],
        env={
            **environment(tmp_path),
            "_GOSSIPD_COMPLETE": "complete_bash",
            "COMP_WORDS": "gossipd doc",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["doctor"], done.stderr
