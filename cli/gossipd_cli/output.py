"""What commands print: one JSON envelope or text on stdout, everything said beside it on stderr."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from gossipd.errors import OperatorError

SCHEMA_VERSION = 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
    say(f"{style(f'error[{error.code}]', '31;1', sys.stderr)}: {printable(error.message)}")
    if error.hint:
        # A hint may be several lines, such as the end of a log.
        hint = "\n".join(map(printable, error.hint.splitlines()))
        say(f"{style('hint', '36', sys.stderr)}: {hint}")


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
    """Aligned columns, a line for each row; a heading with ">" before it aligns to the right.

    Nothing is cut or folded to the terminal's width: identifiers are there to be copied, and lines
    to be searched.
    """
    grid = [[heading.removeprefix(">") for heading in headings], *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headings))]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(width) if heading.startswith(">") else cell.ljust(width)
            for cell, heading, width in zip(row, headings, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([style(lines[0], "1"), *lines[1:]])


def printable(value: Any) -> Any:
    """The same JSON data with control characters written out in every text.

    Some of what the daemon shows came from strangers; none of it may move a cursor or begin a line.
    """
    if isinstance(value, str):
        return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], value)
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): printable(item) for name, item in value.items()}
    return value


def _print_json(document: Any) -> None:
    write(json.dumps(document, ensure_ascii=False))
