"""Everything that happened in a run, in order, as one hash; and some of it to look at."""

import hashlib
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

MESSAGE = "message"
"""The kind of entry that is written for everything that is sent."""


class Entry(NamedTuple):
    time: float
    """Virtual seconds since the beginning, by the true clock."""
    node: str
    kind: str
    fields: Mapping[str, Any]


class EventLog:
    """Hashes every entry and keeps those that are not of a kind in `skip`."""

    def __init__(self, skip: Collection[str] = (MESSAGE,)) -> None:
        self.entries: list[Entry] = []
        self.count = 0
        self._skip = frozenset(skip)
        self._encoder = msgspec.msgpack.Encoder(order="deterministic")
        self._hash = hashlib.blake2b(digest_size=32)

    def add(self, time: float, node: str, kind: str, fields: Mapping[str, Any]) -> None:
        """`fields`: text, bytes, numbers and None."""
        self.count += 1
        self._hash.update(self._encoder.encode((time, node, kind, fields)))
        if kind not in self._skip:
            self.entries.append(Entry(time, node, kind, fields))

    def of(self, *kinds: str, node: str | None = None) -> list[Entry]:
        """The kept entries of these kinds, of one node or of all."""
        return [e for e in self.entries if e.kind in kinds and node in (None, e.node)]

    @property
    def hash(self) -> str:
        """BLAKE2b-256 of everything so far, in hex."""
        return self._hash.hexdigest()


@dataclass(slots=True)
class RuntimeLog:
    """What one node's runtime says to people. What it says went wrong unexpectedly is a fault."""

    node: str
    faults: list[str]

    def debug(self, event: str, **fields: Any) -> None:
        pass

    def info(self, event: str, **fields: Any) -> None:
        pass

    def warning(self, event: str, **fields: Any) -> None:
        pass

    def exception(self, event: str, **fields: Any) -> None:
        self.faults.append(f"{self.node}: {event} {fields}\n{traceback.format_exc()}")
