"""What people see of the demo: lines or a table while it runs, a picture at its end."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from gossipd_scenarios import plot
from gossipd_scenarios.screen import Blank, Lines, Table, screen_for
from gossipd_scenarios.track import Track


def status(cycles: int, connected: int = 2) -> dict[str, Any]:
    return {
        "training": {"cycles": cycles, "class_counts": [0, 5, 0, 7]},
        "network": {"connected": connected, "bytes_in": 10 * cycles, "bytes_out": 20 * cycles},
        "updates": {"merged": cycles // 2},
    }


def result(nodes: int, *, killed: bool) -> dict[str, Any]:
    names = [f"n{number}" for number in range(nodes)]
    return {
        "names": names,
        "classes": [[0, 1]] * nodes,
        "alone": [0.2] * nodes,
        "mean": 0.9,
        "worst": 0.8,
        "phases": {"alone": [1.0, 3.0], "together": [3.0, 9.0]},
        "killed": {"name": "n0", "at": 4.0, "back_at": 5.0, "accuracy_after": 0.5}
        if killed
        else None,
        "ablations": {"exchange": killed},
        "history": {name: {"times": [2.0, 9.0], "accuracies": [0.2, 0.9]} for name in names},
    }


@pytest.mark.parametrize(("nodes", "killed"), [(1, False), (5, True), (40, True)])
def test_a_picture_is_drawn_of_any_number_of_nodes(
    tmp_path: Path, nodes: int, killed: bool
) -> None:
    assert plot.draw(result(nodes, killed=killed), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_counters_go_on_over_a_daemon_s_lives() -> None:
    track = Track("n1")
    track.saw(1.0, status(10), 0.3)
    track.ended()
    assert track.counters["cycles"] == 10
    assert track.peers == 0
    track.saw(2.0, status(4), 0.4)
    assert track.counters == {"cycles": 14, "bytes_in": 140, "bytes_out": 280, "merged": 7}
    assert track.classes == (1, 3)
    assert track.now == 0.4


def test_where_there_is_no_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    track = Track("n1")
    track.saw(1.0, status(10), 0.3)
    with screen_for(quiet=False) as screen:
        assert isinstance(screen, Lines)
        screen.phase("alone", 0.0)
        for second in range(12):
            screen.show([track], float(second))
        screen.note("n1 killed", 12.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "    0 s  alone",
        "    5 s  alone: mean 0.300, worst 0.300, peers 2",
        "   10 s  alone: mean 0.300, worst 0.300, peers 2",
        "   12 s  n1 killed",
    ]


def test_on_a_terminal_there_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    track = Track("n1", alone=0.2)
    track.saw(1.0, status(10), 0.5)
    with screen_for(quiet=False) as screen:
        assert isinstance(screen, Table)
        screen.phase("together", 1.0)
        screen.show([track], 1.0)
        screen.note("n1 killed", 2.0)
    for word in ("together", "n1", "1 3", "0.500", "█" * 10, "n1 killed"):
        assert word in terminal.getvalue()


def test_quiet_shows_nothing() -> None:
    assert isinstance(screen_for(quiet=True), Blank)
