"""The help: every command explains itself and shows how it is used."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from gossipd_cli.app import app
from support.command import gossipd


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that name it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, inner in below.items():
        yield from commands(inner, *path, name)


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_its_text_its_example_and_the_common_options(
    path: tuple[str, ...],
) -> None:
    command = COMMANDS[path]
    assert command.help
    assert f"gossipd {' '.join(path)}" in command.epilog
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--format" in options
    # Those with daemons of their own have homes of their own.
    assert "--home" in options or path[0] in ("demo", "scenario")


def test_examples_are_shown_as_they_are_typed() -> None:
    outcome = gossipd("start", "--help")
    assert outcome.code == 0
    assert "\n    gossipd start\n" in outcome.out


@pytest.mark.parametrize("group", [(), ("peers",), ("models",), ("train",)])
def test_a_group_alone_shows_what_is_in_it(group: tuple[str, ...]) -> None:
    outcome = gossipd(*group)
    assert outcome.code == 0
    assert "Commands:" in outcome.out


def test_the_version_is_told() -> None:
    assert gossipd("--version").out == "gossipd 0.1.0\n"
    assert gossipd("version", "--format", "json").document["data"]["version"] == "0.1.0"
