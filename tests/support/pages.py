"""The command lines of the documentation: found, understood, typed.

What is to be typed stands in fenced blocks that say who types it:

    ```sh ann
    gossipd status      # two spaces and a # begin a comment
    ```
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.main import get_command

from gossipd_cli.app import app
from support.tree import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])

NOT_TYPED = {
    "gossipd start": "as `start --detach`, and it stays in the foreground",
    "gossipd events -f": "goes on until somebody ends it; without -f it is typed",
    "gossipd dashboard": "stays in the foreground; tests/dashboard opens it in a browser",
    "gossipd service": "changes what systemd does on this machine; tests/cli/test_service.py",
    "gossipd scenario run first-light": "minutes; tests/scenarios runs one",
    "gossipd scenario run split": "minutes; tests/dashboard looks at one",
    "gossipd scenario run blackout": "minutes; tests/scenarios runs one",
    "gossipd scenario run quake": "minutes; tests/scenarios runs one",
    "gossipd scenario run my-village.toml": "minutes; the tutorial's is typed",
    "gossipd scenario report": "needs a run that is not typed; the tutorial's is",
    "gossipd scenario compare": "needs two runs; tests/scenarios/test_engine_cli.py",
}
"""Lines that begin so are only parsed, and why."""

_ParserError: type[Any] = typer.BadParameter.__mro__[2]  # as gossipd_cli.main has it


class Line(NamedTuple):
    """One line that somebody is to type."""

    who: tuple[str, ...]
    text: str

    @property
    def is_typed(self) -> bool:
        return not any(self.begins(start) for start in NOT_TYPED)

    def begins(self, start: str) -> bool:
        return self.text == start or (start != "gossipd start" and self.text.startswith(start))


def lines(page: Path) -> list[Line]:
    """Of the page's fenced blocks, in order; lines for other programs as well."""
    text = page.read_text(encoding="utf-8")
    found = []
    for _, words, block in re.findall(r"^( *)```sh *([\w ]*)\n(.*?)^\1```", text, re.M | re.S):
        who = tuple(words.split()) or ("ann",)
        typed = (re.split(r"\s{1,}# ", line)[0].strip() for line in block.splitlines())
        found += [Line(who, line) for line in typed if line]
    return found


def commands(page: Path) -> list[Line]:
    """Those of `lines` that are gossipd's."""
    return [line for line in lines(page) if line.text.removeprefix("sudo ").startswith("gossipd ")]


def examples(page: Path) -> list[str]:
    """Lines of gossipd's in indented blocks, as help texts have them."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^ {4,}(?:sudo )?(gossipd [^\n]*)", text, re.MULTILINE)
    return [line for line in found if "[OPTIONS]" not in line]


def misuse(line: str) -> str | None:
    """What gossipd's own parser objects to, without doing anything; None: nothing.

    A file that is not there is the reader's: only its place is looked at.
    """
    for command in re.split(r" (?:&&|\|\|) ", re.split(r"\s{2,}#| > | \| ", line)[0]):
        words = shlex.split(command.strip().removeprefix("sudo "))
        if words[0] != "gossipd":
            continue
        try:
            _idle().main(words[1:], prog_name="gossipd", standalone_mode=False)
        except _ParserError as error:
            said = " ".join(error.format_message().split())
            if "does not exist" not in said:
                return str(said)
    return None


@cache
def _idle() -> Any:
    """The tree of commands, of which none does anything."""
    root: Any = get_command(app)
    for command in _leaves(root):
        command.callback = lambda **_: None
    return root


def _leaves(command: Any) -> Iterator[Any]:
    below = getattr(command, "commands", {})
    if not below:
        yield command
    for inner in below.values():
        yield from _leaves(inner)
