"""A log record as people read it; shared by the daemon and the CLI, so it loads nothing."""

import json
from datetime import UTC, datetime
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_RESET = "\x1b[0m"


def text_of(row: dict[str, Any], *, colour: bool = False) -> str:
    """Time, level, room, event, fields; below them the traceback if there is one."""
    level = f"{row['level']:<7}"
    if colour:
        level = f"{_COLOURS[row['level']]}{level}{_RESET}"
    fields = fields_of(row["fields"])
    line = f"{time_of(row['time'])} {level} {row['room']:<9} {row['event']}{fields}"
    if "exception" in row:
        line += "\n" + "\n".join(f"    {part}" for part in row["exception"].splitlines())
    return line


def fields_of(fields: dict[str, Any]) -> str:
    """Each field as ` name=value`, quoted where it would be ambiguous."""
    return "".join(f" {name}={_quoted(value)}" for name, value in fields.items())


def time_of(seconds: float) -> str:
    """Unix seconds as UTC in ISO 8601, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value and not any(mark in value for mark in ' ="\n'):
        return value
    return json.dumps(value, ensure_ascii=False)
