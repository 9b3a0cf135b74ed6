"""Whether somebody's data files have changed since they were read, by what the disk says of them.

A file that is being written changes from one look to the next: it counts as changed only when two
looks agree. What was looked at and could not be read is looked at again when it changes once more.
"""

from collections.abc import Sequence
from pathlib import Path

Stamp = tuple[tuple[int, int, int] | None, ...]


class Watch:
    """Looks at files and folders; of a folder at its entries' names, not at what they hold."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._read = self._last = self._stamp()

    def changed(self) -> bool:
        """Whether they are others than when this was last true, or at the beginning, and have been
        so since the last look."""
        now = self._stamp()
        settled, self._last = now == self._last, now
        if not settled or now == self._read:
            return False
        self._read = now
        return True

    def _stamp(self) -> Stamp:
        return tuple(_of(path) for path in self._paths)


def _of(path: Path) -> tuple[int, int, int] | None:
    """(modified, size, inode); None where nothing is to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
