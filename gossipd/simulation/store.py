"""A disk in memory: `runtime.ports.Store` that outlives the node, as storage's does.

What a method has done when it returns stays, whatever happens to the node; what it has not done did
not happen. Vectors and bodies are files, and files that no row names are nobody's: a crash between
`save_vector` and `commit` leaves the vector and the old pointers.
"""

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from gossipd.runtime.ports import Pointers, SheetKey, StoredModel, StoredSheet, Vector
from gossipd.wire import limits

HISTORY_MODELS = 256
HISTORY_UPDATES = 512
"""What is kept beside what the node stands on: as `gossipd.storage.retention` has it."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _SavedUpdate:
    author: str
    envelope: bytes
    body: bytes


class Shelf:
    """Keeps one copy of what many nodes of a simulation have saved. Nobody can tell."""

    def __init__(self) -> None:
        self._updates: WeakValueDictionary[bytes, _SavedUpdate] = WeakValueDictionary()
        self._vectors: WeakValueDictionary[bytes, Vector] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._updates) + len(self._vectors)

    def update(self, update: bytes, saved: _SavedUpdate) -> _SavedUpdate:
        known = self._updates.get(update)
        if known is None:
            self._updates[update] = saved
        return saved if known is None or known != saved else known

    def vector(self, model: bytes, vector: Vector) -> Vector:
        return self._vectors.setdefault(model, vector)


class SimStore:
    """One node's state directory.

    `step` is called before everything that is written; without `saves_peers` the next life has to
    be told of others, as the first one was; with `full` every write fails as on a disk
    without room.
    """

    def __init__(
        self,
        incarnation: int,
        *,
        shelf: Shelf | None = None,
        step: Callable[[str], None] = lambda effect: None,
        saves_peers: bool = True,
        history_models: int = HISTORY_MODELS,
        history_updates: int = HISTORY_UPDATES,
    ) -> None:
        self.full = False
        self.commits = 0
        self._incarnation = incarnation
        self._shelf = Shelf() if shelf is None else shelf
        self._step = step
        self._saves_peers = saves_peers
        self._history_models = history_models
        self._history_updates = history_updates
        self._counters: dict[str, int] = {}
        self._vectors: dict[bytes, Vector] = {}
        self._momentum: dict[bytes, Vector] = {}
        self._models: dict[bytes, StoredModel] = {}
        self._pointers: Pointers | None = None
        self._state: bytes | None = None
        self._updates: dict[bytes, _SavedUpdate] = {}
        self._peers: dict[str, tuple[tuple[str, ...], bytes | None]] = {}
        self._evidence: list[tuple[str, bytes, bytes]] = []
        self._sheets: dict[SheetKey, StoredSheet] = {}
        self._choices: list[tuple[str, bytes, float]] = []

    def _write(self, effect: str) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on the simulated device")
        self._step(effect)

    # --- numbers ---------------------------------------------------------------------------------

    def reserve(self, counter: str, block: int) -> tuple[int, int]:
        """The next `block` values of a counter: [first, end). A counter begins at 1."""
        if block < 1:
            raise ValueError(f"a block of {block}")
        self._write("reserve")
        first = self._counters.get(counter, 1)
        self._counters[counter] = first + block
        return first, first + block

    def incarnation(self) -> int:
        return self._incarnation

    @property
    def counters(self) -> dict[str, int]:
        """The first value of each counter that was never reserved."""
        return dict(self._counters)

    # --- models ----------------------------------------------------------------------------------

    def save_vector(self, model: bytes, vector: Vector) -> None:
        self._write("save_vector")
        self._vectors.pop(model, None)
        self._vectors[model] = self._shelf.vector(model, vector)
        self._trim(self._vectors, self._history_models)

    def load_vector(self, model: bytes) -> Vector | None:
        return self._vectors.get(model)

    def damage(self, model: bytes) -> None:
        """The file of a model is not what it was: whoever reads it finds a wrong hash, so none."""
        self._vectors.pop(model, None)

    def save_momentum(self, model: bytes, momentum: Vector) -> None:
        self._write("save_momentum")
        self._momentum.pop(model, None)
        self._momentum[model] = momentum
        self._trim(self._momentum, self._history_models)

    def load_momentum(self, model: bytes) -> Vector | None:
        return self._momentum.get(model)

    def commit(
        self, pointers: Pointers, models: Sequence[StoredModel], state: bytes | None = None
    ) -> None:
        self._write("commit")
        self.commits += 1
        self._pointers = pointers
        if state is not None:
            self._state = state
        for model in models:
            known = self._models.get(model.model)
            if known is not None and known.update is not None and model.update is None:
                continue  # as in storage: the row that names a manifest stays
            self._models.pop(model.model, None)
            self._models[model.model] = model
        self._trim(self._models, self._history_models)

    def pointers(self) -> Pointers | None:
        return self._pointers

    def models(self) -> Sequence[StoredModel]:
        """Newest first."""
        return list(reversed(self._models.values()))

    def _trim(self, kept: dict[bytes, V], most: int) -> None:
        """Forget the oldest, but nothing that the node stands on."""
        pointers = self._pointers
        standing = (pointers.base, pointers.head, pointers.serving) if pointers else ()
        while len(kept) > most + len(standing):
            del kept[next(model for model in kept if model not in standing)]

    # --- updates ---------------------------------------------------------------------------------

    def save_update(
        self, update: bytes, author: str, envelope: bytes, body: bytes, *, lasting: bool = True
    ) -> None:
        self._write("save_update")
        self._updates.pop(update, None)
        saved = _SavedUpdate(author, envelope, body)
        self._updates[update] = self._shelf.update(update, saved)
        if len(self._updates) > self._history_updates:
            named = {row.update for row in self._models.values()}
            oldest = next((u for u in self._updates if u not in named), next(iter(self._updates)))
            del self._updates[oldest]

    def load_manifest(self, update: bytes) -> bytes | None:
        saved = self._updates.get(update)
        return None if saved is None else saved.envelope

    def load_body(self, update: bytes) -> bytes | None:
        saved = self._updates.get(update)
        return None if saved is None else saved.body

    # --- peers -----------------------------------------------------------------------------------

    def updates(self) -> Sequence[bytes]:
        return list(reversed(self._updates))

    def save_peers(self, peers: Iterable[tuple[str, Sequence[str], bytes | None]]) -> None:
        """Remember peers; without a record the one that is there stays. All are written at once."""
        if not self._saves_peers:
            return
        news = {}
        for peer, addresses, record in peers:
            known = self._peers.get(peer)
            row = (tuple(addresses), known[1] if known is not None and record is None else record)
            if row != known:
                news[peer] = row
        if not news:
            return
        self._write("save_peers")
        for peer, row in news.items():
            self._peers.pop(peer, None)
            self._peers[peer] = row
        while len(self._peers) > limits.KNOWN_PEERS:
            del self._peers[next(iter(self._peers))]

    def forget_peer(self, peer: str) -> None:
        self._write("forget_peer")
        self._peers.pop(peer, None)

    def peers(self) -> Sequence[tuple[str, Sequence[str], bytes | None]]:
        """(peer id, addresses, signed record if there is one), last changed first."""
        return [(peer, *row) for peer, row in reversed(self._peers.items())]

    # --- the swarm -------------------------------------------------------------------------------

    def save_state(self, state: bytes) -> None:
        self._write("save_state")
        self._state = state

    def state(self) -> bytes | None:
        return self._state

    def append_evidence(self, peer: str, first: bytes, second: bytes) -> None:
        self._write("append_evidence")
        self._evidence.append((peer, first, second))

    # --- clicks ----------------------------------------------------------------------------------

    def save_sheets(self, kept: Sequence[StoredSheet], gone: Sequence[SheetKey]) -> None:
        self._write("save_sheets")
        for key in gone:
            self._sheets.pop(key, None)
        for sheet in kept:
            self._sheets.setdefault(sheet.key, sheet)

    def sheets(self) -> Sequence[tuple[bytes, float]]:
        """(envelope, Unix seconds of its arrival), in the order of arrival."""
        return [(sheet.envelope, sheet.at) for sheet in self._sheets.values()]

    def save_choice(self, query: str, item: bytes, at: float) -> None:
        self._write("save_choice")
        self._choices.append((query, item, at))

    def choices(self) -> Sequence[tuple[str, bytes, float]]:
        """(query, item, Unix seconds), oldest first."""
        return tuple(self._choices)

    def evidence(self) -> Sequence[tuple[str, bytes, bytes]]:
        """(peer id, first envelope, second envelope), oldest first."""
        return tuple(self._evidence)
