"""One pipe for every log line: ours through structlog, the libraries' through stdlib logging.

    get_logger("network").info("connected", peer=peer, address=address)

A record goes to one stream (stderr, or rotating files when the daemon is detached), as text or as
JSON lines, and into a ring that `gossipd logs` reads. Whatever the pipe is handed, each record is
one line (a traceback excepted), of bounded length, without control characters and without secrets:
names, addresses and errors that come from strangers end here.
"""

import json
import logging
import logging.handlers
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import structlog

from gossipd.control.records import LEVELS, text_of, time_of
from gossipd.control.ring import Batch, Ring, Row

FILE_BYTES = 10_000_000
FILES = 3
CAPACITY = 2000
"""Records kept in memory. Ours: some minutes of a busy node at level "info"."""
VALUE_CHARACTERS = 2000
"""Longest message or field of one record."""
EXCEPTION_CHARACTERS = 20_000
_SECRET = re.compile(r"secret|private|password|token|passphrase", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OURS = "gossipd"
_HANDLERS = ("gossipd-stream", "gossipd-ring")
ROOMS = ("control", "daemon", "learning", "network", "runtime", "storage")
"""Whose levels can be set."""


def _to_stdlib(logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """structlog's last processor: the fields travel in one attribute, whatever they are called."""
    call = {
        name: event_dict.pop(name)
        for name in ("exc_info", "stack_info", "stacklevel")
        if name in event_dict
    }
    # Without arguments beside it, a "%" in the message is no format.
    return {"msg": event_dict.pop("event", ""), "extra": {"fields": dict(event_dict)}, **call}


structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        _to_stdlib,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)


def get_logger(room: str) -> structlog.stdlib.BoundLogger:
    """The logger of a room. Before `configure` only warnings show, on stderr."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"{_OURS}.{room}")
    return logger


def configure(
    *,
    level: str = "info",
    format: Literal["text", "json"] = "text",  # noqa: A002
    file: Path | str | None = None,
    capacity: int = CAPACITY,
) -> "LogRing":
    """Send every record where it belongs; a second call replaces the first.

    `level` is one of LEVELS and holds for our rooms; libraries are heard from "warning" on. With
    a `file` (rotating, FILES of FILE_BYTES) nothing goes to stderr. Returns the ring of records.
    """
    ring = LogRing(capacity)
    stream: logging.Handler
    if not file:
        stream = logging.StreamHandler(sys.stderr)
        colour = sys.stderr.isatty()
    else:
        Path(file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = _PrivateFiles(file, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8")
        colour = False
    stream.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter(colour))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if handler.name in _HANDLERS:
            root.removeHandler(handler)
            handler.close()
    for name, handler in zip(_HANDLERS, (stream, ring), strict=True):
        handler.name = name  # so that the next call finds it
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level.upper())
    logging.captureWarnings(True)
    for library in list(logging.root.manager.loggerDict.values()):
        if isinstance(library, logging.Logger):
            library.propagate = True  # libp2p, for one, cuts itself off when it is imported
    return ring


def set_level(room: str, level: str) -> None:
    """From now on hear `room` from this level on; "all": every room of ours, whatever was set.

    `level` is one of LEVELS, or "default": what "all" has.
    """
    if room == "all":
        for other in ROOMS:
            logging.getLogger(f"{_OURS}.{other}").setLevel(logging.NOTSET)
        logging.getLogger(_OURS).setLevel(level.upper())
        return
    number = logging.NOTSET if level == "default" else getattr(logging, level.upper())
    logging.getLogger(f"{_OURS}.{room}").setLevel(number)


def levels() -> dict[str, str]:
    """The level of each room, and of "all"."""
    found = {"all": _level(logging.getLogger(_OURS).level)}
    for room in ROOMS:
        found[room] = _level(logging.getLogger(f"{_OURS}.{room}").getEffectiveLevel())
    return found


class LogRing(logging.Handler):
    """The newest records, for `gossipd logs`. Written by any thread, read on the loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._ring = Ring(capacity)

    @property
    def run(self) -> str:
        """Names this ring; a restarted daemon has another one."""
        return self._ring.run

    def emit(self, record: logging.LogRecord) -> None:
        self._ring.append(row_of(record))

    def since(
        self,
        seq: int,
        limit: int = 1000,
        *,
        level: str = "debug",
        newest: bool = False,
        room: str = "",
    ) -> Batch:
        """At most `limit` records after `seq`, of this level or above; of one room, if named."""
        loud = LEVELS[LEVELS.index(level) :]

        def keep(row: Row) -> bool:
            return row["level"] in loud and (
                not room or row["room"] == room or row["room"].startswith(f"{room}.")
            )

        return self._ring.since(seq, limit, newest=newest, keep=keep)


def row_of(record: logging.LogRecord) -> Row:
    """{time, level, room, event, fields: {name: JSON scalar}, exception?} of any log record."""
    ours = record.name.startswith(f"{_OURS}.")
    row: Row = {
        "time": record.created,
        "level": _level(record.levelno),
        "room": record.name.removeprefix(f"{_OURS}.") if ours else record.name,
        "event": _clean(record.getMessage()),
        "fields": {
            _clean(str(name)): "[redacted]" if _SECRET.search(str(name)) else _plain(value)
            for name, value in getattr(record, "fields", {}).items()
        },
    }
    if record.exc_info and record.exc_info[0] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        row["exception"] = "\n".join(map(_clean, trace[-EXCEPTION_CHARACTERS:].splitlines()))
    return row


class _PrivateFiles(logging.handlers.RotatingFileHandler):
    """Rotating files that nobody else can read: they name peers and addresses."""

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename,
            "a",
            encoding=self.encoding,
            opener=lambda name, flags: os.open(name, flags, 0o600),
        )


class _TextFormatter(logging.Formatter):
    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        return text_of(row_of(record), colour=self._colour)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        row = row_of(record)
        return json.dumps({**row, "time": time_of(row["time"])}, ensure_ascii=False)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6) if value - value == 0 else str(value)  # JSON has no NaN
    if isinstance(value, bytes):
        return value[:32].hex()
    return _clean(str(value))


def _clean(text: str) -> str:
    if len(text) > VALUE_CHARACTERS:
        text = text[: VALUE_CHARACTERS - 1] + "…"
    return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], text)
