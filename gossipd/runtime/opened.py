"""Documents whose signatures have been checked, by their exact bytes.

Claims and records pass by many times on their way through a swarm, and a signature check costs
more than all else that is done with them. A daemon has a cache of its own; the nodes of a
simulation share one, so that what all of them hold is checked and kept once. What a document says
cannot depend on who opened it: the key is the swarm, the kind and every byte that was signed.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import replace

from gossipd.wire.envelope import open_manifest
from gossipd.wire.lineages import Known
from gossipd.wire.messages import Update

ROOM = 1024 * 1024
"""Bytes of envelopes kept: records and claims of some 1,600 peers. What is made of an envelope
takes five times as much: 13,000 of 4 MB had come to 25 MB of a daemon (benchmarks/soak.py)."""
LONGEST = 4096
"""Longest envelope that is kept: records and claims, not manifests, which a daemon opens once."""

S = TypeVar("S")
Open = Callable[[bytes, bytes], S]
"""(envelope, swarm) -> the document; WireError when its signature or anything else is wrong."""


class Opened:
    """A bounded cache: the least recently used go first. Thread-safe."""

    def __init__(self, room: int = ROOM, longest: int = LONGEST) -> None:
        self._room = room
        self._longest = longest
        self._kept: OrderedDict[tuple[bytes, bytes, object], Any] = OrderedDict()
        self._bytes = 0
        self._lineages: WeakValueDictionary[bytes, Known] = WeakValueDictionary()
        """Those that anybody holds, by name."""
        self._lock = threading.Lock()

    def get(self, sealed: bytes, swarm: bytes, open_it: Open[S]) -> S:
        """What `open_it(sealed, swarm)` makes of it, now or at an earlier time."""
        key = (sealed, swarm, open_it)
        with self._lock:
            known: S | None = self._kept.get(key)
            if known is not None:
                if self._is_tight:
                    self._kept.move_to_end(key)
                return known
        document = open_it(sealed, swarm)
        if len(sealed) <= self._longest:
            with self._lock:
                self._keep(key, document)
        return document

    def get_all(self, sealed: Sequence[bytes], swarm: bytes, open_it: Open[S]) -> list[S]:
        """As `get`, of many of one kind."""
        with self._lock:
            kept = self._kept
            found: list[S | None] = [kept.get((one, swarm, open_it)) for one in sealed]
            if self._is_tight:
                for one, known in zip(sealed, found, strict=True):
                    if known is not None:
                        kept.move_to_end((one, swarm, open_it))
        return [
            self.get(one, swarm, open_it) if known is None else known
            for one, known in zip(sealed, found, strict=True)
        ]

    @property
    def _is_tight(self) -> bool:
        """Whether it matters by now what was used last: before, the order is that of coming."""
        return 2 * self._bytes > self._room

    def manifest(self, sealed: bytes, swarm: bytes) -> tuple[Update, Known]:
        """An update and its lineage, which is one object for all that have it."""
        return self.get(sealed, swarm, self._open_manifest)

    def _open_manifest(self, sealed: bytes, swarm: bytes) -> tuple[Update, Known]:
        update = open_manifest(sealed, swarm)
        known = Known(update.manifest.lineage)
        with self._lock:
            known = self._lineages.setdefault(known.name, known)
        manifest = replace(update.manifest, lineage=known.lineage)
        return replace(update, manifest=manifest), known

    def _keep(self, key: tuple[bytes, bytes, object], document: object) -> None:
        if key not in self._kept:
            self._bytes += len(key[0])
        self._kept[key] = document
        while self._bytes > self._room:
            (sealed, _, _), _ = self._kept.popitem(last=False)
            self._bytes -= len(sealed)
