"""What may go when room is needed: a pure decision over what lies there.

Never: what is pinned (the models that a node stands on or that people chose, the head's optimiser
state, the bodies that describe them) and what was written a moment ago, which the runtime may be
about to commit. The rest goes oldest first, until both the quota and the bound on history hold.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gossipd.storage.files import StoredFile

HISTORY_MODELS = 256
"""Models remembered beside the pinned ones; a guess: two minutes of cycles of a small model."""
HISTORY_UPDATES = 512
"""Updates remembered, own and others'; a guess in the same proportion."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says about the files."""

    models: Mapping[bytes, int]
    """Age of every model that has a row; higher is newer."""
    updates: Mapping[bytes, int]
    pinned_models: Collection[bytes]
    pinned_updates: Collection[bytes]
    pinned_momentum: Collection[bytes]
    """Models whose optimiser state is still wanted."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What has to go: rows first, then files."""

    models: tuple[bytes, ...]
    updates: tuple[bytes, ...]
    files: tuple[StoredFile, ...]


def choose(files: Sequence[StoredFile], known: Known, room: int) -> Removal:
    """What must go so that all files together take at most `room` bytes, if that is possible."""
    room -= sum(file.size for file in files if _is_pinned(file, known))
    loose = [file for file in files if not _is_pinned(file, known)]
    # Damaged files and those without a row (a crash came between file and row) serve nobody, so
    # they count as the oldest. They are not removed at once: somebody may want to look at them.
    loose.sort(key=lambda file: _age(file, known), reverse=True)
    forgotten_models = _beyond(known.models, known.pinned_models, HISTORY_MODELS)
    forgotten_updates = _beyond(known.updates, known.pinned_updates, HISTORY_UPDATES)
    going: list[StoredFile] = []
    for file in loose:
        forgotten = forgotten_updates if file.kind == "body" else forgotten_models
        stale = file.kind == "momentum" or file.key in forgotten
        if stale:
            going.append(file)
            continue
        room -= file.size
        if room < 0:
            going.append(file)
    forgotten_models |= {file.key for file in going if file.kind == "model"}
    forgotten_updates |= {file.key for file in going if file.kind == "body"}
    return Removal(tuple(forgotten_models), tuple(forgotten_updates), tuple(going))


def _is_pinned(file: StoredFile, known: Known) -> bool:
    match file.kind:
        case "model":
            return file.key in known.pinned_models
        case "momentum":
            return file.key in known.pinned_momentum
        case "body":
            return file.key in known.pinned_updates
        case "damaged":
            return False


def _age(file: StoredFile, known: Known) -> int:
    ages = known.updates if file.kind == "body" else known.models
    return ages.get(file.key, -1)


def _beyond(ages: Mapping[bytes, int], pinned: Collection[bytes], history: int) -> set[bytes]:
    """The rows that are older than the newest `history`, without the pinned ones."""
    newest_first = sorted(ages, key=lambda key: ages[key], reverse=True)
    return {key for key in newest_first[history:] if key not in pinned}
