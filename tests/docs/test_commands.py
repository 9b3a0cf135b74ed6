"""Every gossipd command line that the docs show is one that there is."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gossipd.config import convert
from gossipd_cli.app import app
from support.tree import ROOT

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
ROOT_COMMAND: Any = get_command(app)


def lines_of(page: Path) -> list[str]:
    """Command lines in blocks, and in the text between backquotes."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^(?: {4,}|\$ )(?:sudo )?(gossipd [^\n]*)", text, re.MULTILINE)
    inline = re.findall(r"`(?:sudo )?(gossipd [a-z][^`\n]*)`", text)
    return [*blocks, *inline]


def fault(line: str) -> str | None:
    """What is wrong with it; None: it is understood."""
    words = shlex.split(re.split(r" (?:&&|\|\||\||>) ", line.partition("  #")[0])[0])[1:]
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
    faults = {line: why for line in lines_of(page) if (why := fault(line))}
    assert faults == {}


def test_the_lines_are_found() -> None:
    assert len(lines_of(ROOT / "docs" / "deploy.md")) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_set_takes_that_value(page: Path) -> None:
    for line in lines_of(page):
        words = shlex.split(line.partition("  #")[0])
        if words[1:3] == ["config", "set"] and len(words) == 5 and words[4] != "--default":
            convert(words[3], words[4])
