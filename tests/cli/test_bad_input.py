"""Bad input to any command is answered in the one form of errors, and changes nothing."""

from pathlib import Path

import pytest
from typer.main import get_command

from gossipd.errors import ExitCode
from gossipd_cli.app import app
from support.command import gossipd


def commands(command: object, *path: str) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    if not below:
        return [path]
    return [found for name, inner in below.items() for found in commands(inner, *path, name)]


COMMANDS = commands(get_command(app))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_option_that_there_is_not_is_a_usage_error_with_a_hint(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    outcome = gossipd(*path, "--format", "json", "--no-such-option", home=home)
    assert outcome.code == ExitCode.USAGE
    assert set(outcome.document) == {"schema_version", "status", "error"}
    error = outcome.document["error"]
    assert error["code"] == "usage"
    assert error["message"]
    assert f"gossipd {' '.join(path)} --help" in error["hint"]
    assert not home.exists()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_format_that_there_is_not_is_refused(path: tuple[str, ...], tmp_path: Path) -> None:
    outcome = gossipd(*path, "--format", "xml", home=tmp_path / "home")
    assert outcome.code == ExitCode.USAGE
    assert outcome.err.startswith("error[usage]: ")
    assert "\nhint: " in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_words_that_are_too_many_are_refused(path: tuple[str, ...], tmp_path: Path) -> None:
    words = ["\x1b[2Jx"] * 12
    outcome = gossipd(*path, *words, "--format", "json", home=tmp_path / "home")
    assert outcome.code == ExitCode.USAGE
    assert outcome.document["error"]["hint"]


@pytest.mark.parametrize(
    "line",
    [
        "status", "health", "eval", "peers ls", "peers rm x", "models ls", "train pause",
        "train resume", "logs", "events", "metrics show", "metrics write x", "config reload",
        "invite", "invite --list", "stop",
    ],
)  # fmt: skip
def test_what_needs_a_daemon_says_that_none_runs(line: str, tmp_path: Path) -> None:
    outcome = gossipd(*line.split(), "--format", "json", home=tmp_path / "home")
    assert outcome.code == ExitCode.NOT_RUNNING
    error = outcome.document["error"]
    assert error["code"] == "not-running"
    assert error["hint"]
