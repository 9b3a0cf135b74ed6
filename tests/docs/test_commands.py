"""Every gossipd command line that the docs show is one that there is, down to its last option."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gossipd.config import convert
from gossipd_cli.app import app
from support.pages import DOCS, NOT_TYPED, PAGES, commands, examples, misuse

ROOT_COMMAND: Any = get_command(app)
GENERATED = (DOCS / "cli.md", DOCS / "configuration.md")
TYPED = {"README.md", "deploy.md", "faq.md", "how-to.md", "own-data.md", "ranking.md"}
TYPED |= {"scenarios.md", "tutorial.md"}
TYPED |= {"dashboard.md"}  # none of whose lines ends by itself; tests/dashboard opens the page
"""Pages whose commands a test of this folder types: with others it has to be added there."""


def mentions(page: Path) -> list[str]:
    """Command lines in the text, between backquotes; they may be the beginning of one."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"`(?:sudo )?(gossipd [a-z][^`\n]*)`", text)


def unknown(line: str) -> str | None:
    """What there is not of a mentioned command; None: it is understood."""
    words = shlex.split(re.split(r" (?:&&|\|\||\||>) ", line)[0])[1:]
    command, rest = ROOT_COMMAND, list(words)
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        if "|" in rest[0] or rest[0] in ("...", "…"):
            return None  # one of several, as in "config get|set"
        if rest[0] not in command.commands:
            return f"there is no {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "-h"}
    for word in rest:
        option = word.partition("=")[0]
        if re.match(r"--?[a-z]", option) and option not in known:
            return f"it has no {option}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_is_understood(page: Path) -> None:
    shown = [*(line.text for line in commands(page)), *examples(page)]
    faults = {line: why for line in shown if (why := misuse(line))}
    faults |= {line: why for line in mentions(page) if (why := unknown(line))}
    assert faults == {}


def test_a_line_that_is_not_understood_is_noticed() -> None:
    assert misuse("gossipd status --nonsense") == "No such option: --nonsense"
    assert misuse("gossipd start --port x") is not None
    assert misuse("gossipd models pin") is not None
    assert misuse("gossipd init && gossipd statsu") is not None
    assert misuse("gossipd join LINE --data not-there.csv") is None
    assert unknown("gossipd statsu") is not None


def test_what_is_to_be_typed_stands_in_fenced_blocks_that_a_test_types() -> None:
    """Else it would be read by people, and by no test."""
    assert {page.name for page in PAGES if commands(page)} == TYPED
    for page in PAGES:
        assert page in GENERATED or not examples(page), page


def test_what_is_not_typed_is_still_in_the_docs() -> None:
    shown = [line for page in PAGES for line in commands(page)]
    for start in NOT_TYPED:
        assert any(line.begins(start) for line in shown), start


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_set_takes_that_value(page: Path) -> None:
    for line in (*(line.text for line in commands(page)), *examples(page), *mentions(page)):
        words = shlex.split(line.partition("  #")[0])
        is_set = words[1:3] == ["config", "set"] and len(words) == 5
        if is_set and words[4] != "--default" and "..." not in words[4]:
            convert(words[3], words[4])
