"""What commands print: one JSON envelope or text on stdout, everything said beside it on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from gossipd.errors import OperatorError

SCHEMA_VERSION = 1


class Format(StrEnum):
    """What `--format` takes."""

    text = "text"
    json = "json"


def emit(output_format: Format, data: Any, text: Callable[[Any], str]) -> None:
    """A command's result: the envelope, or what `text` makes of the data."""
    if output_format is Format.json:
        _print_json({"schema_version": SCHEMA_VERSION, "status": "ok", "data": data})
    else:
        write(text(data))


def emit_line(output_format: Format, data: Any, text: Callable[[Any], str]) -> None:
    """One element of a stream: a JSON line without envelope, or text. Flushed: somebody waits."""
    if output_format is Format.json:
        _print_json(data)
    else:
        write(text(data))
    sys.stdout.flush()


def emit_error(output_format: Format, error: OperatorError) -> None:
    """The error's envelope on stdout, or `error[code]: message` and its hint on stderr."""
    if output_format is Format.json:
        document = {"code": error.code, "message": error.message, "hint": error.hint}
        _print_json({"schema_version": SCHEMA_VERSION, "status": "error", "error": document})
        return
    say(f"{style(f'error[{error.code}]', '31;1', sys.stderr)}: {error.message}")
    if error.hint:
        say(f"{style('hint', '36', sys.stderr)}: {error.hint}")


def write(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """A line for the person, beside the result."""
    sys.stderr.write(text + "\n")


def coloured(stream: Any) -> bool:
    """Whether escape sequences are welcome (https://no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def style(text: str, code: str, stream: Any = None) -> str:
    """The text in an SGR style such as "1" (bold), where the stream shows it."""
    return f"\x1b[{code}m{text}\x1b[0m" if coloured(stream or sys.stdout) else text


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns for people; a heading that begins with ">" aligns its column to the right.

    On a terminal they are fitted to its width, elsewhere they are as wide as their contents, so
    that `gossipd peers ls | grep` sees whole lines.
    """
    rows = list(rows)
    return _fitted(headings, rows) if sys.stdout.isatty() else _aligned(headings, rows)


def _aligned(headings: Sequence[str], rows: list[Sequence[str]]) -> str:
    grid = [[heading.removeprefix(">") for heading in headings], *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headings))]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(width) if heading.startswith(">") else cell.ljust(width)
            for cell, heading, width in zip(row, headings, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _fitted(headings: Sequence[str], rows: list[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        drawn.add_column(
            heading.removeprefix(">"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        drawn.add_row(*map(Text, row))  # as text: what peers sent must not be read as markup
    console = Console()
    with console.capture() as capture:
        console.print(drawn)
    return capture.get().rstrip("\n")


def _print_json(document: Any) -> None:
    write(json.dumps(document, ensure_ascii=False))
