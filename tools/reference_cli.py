"""docs/cli.md: every command, from the tree that the command line itself is made of."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from gossipd import errors
from gossipd_cli.app import app

HEAD = """# Commands

<!-- Written by tools/reference.py from cli/gossipd_cli. -->

What `--help` of each command says. All take `--help`, and all but `demo` and `scenario`, which
have daemons of their own, take `--home DIR`: the state directory, by default `$GOSSIPD_HOME`, else
in the user's data directory. All take `--format json`: exactly one
`{schema_version, status, data|error}` on standard output, for `logs -f` and `events -f` one line
for each element. People are spoken to on standard error.

An error has a stable code, a sentence and mostly a hint; the command then ends with one of these:

| exit code | what it means |
|---|---|
"""
COMMON = {"home", "output_format", "help"}
"""What the head of the page explains, by the parameters' names."""


def page() -> str:
    parts = [HEAD, *_exit_codes(), "\n"]
    for path, command in _commands(get_command(app)):
        parts.append(_group(path, command) if _below(command) else _command(path, command))
    return "".join(parts).rstrip() + "\n"


def _exit_codes() -> Iterator[str]:
    """Rows from the enumeration and the docstring under each of its members."""
    (tree,) = ast.parse(inspect.getsource(errors.ExitCode)).body
    assert isinstance(tree, ast.ClassDef)
    for member, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(member, ast.Assign):
            assert isinstance(text, ast.Expr)
            yield f"| {ast.unparse(member.value)} | {ast.literal_eval(text.value)} |\n"


def _below(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


def _commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below this one, in the order of the help."""
    for name, inner in _below(command).items():
        yield (*path, name), inner
        yield from _commands(inner, *path, name)


def _group(path: tuple[str, ...], group: Any) -> str:
    return f"## gossipd {' '.join(path)}\n\n{group.help}\n\n"


def _command(path: tuple[str, ...], command: Any) -> str:
    context = command.context_class(command, info_name=path[-1])
    usage = " ".join(["gossipd", *path, *command.collect_usage_pieces(context)])
    text = f"{'#' * (1 + len(path))} gossipd {' '.join(path)}\n\n"
    text += f"{command.help.strip()}\n\n    {usage}\n\n"
    parameters = [p for p in command.params if p.name not in COMMON and not p.hidden]
    if parameters:
        text += "| option | what it is |\n|---|---|\n"
        for parameter in parameters:
            name, about = parameter.get_help_record(context)
            text += f"| `{_cell(name)}` | {_cell(about)} |\n"
        text += "\n"
    return text + _example(command.epilog)


def _example(epilog: str) -> str:
    """The lines of an epilog as a block; its first line names it."""
    _, title, *lines = epilog.splitlines()
    return f"{title}\n\n" + "".join(f"  {line}\n" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
