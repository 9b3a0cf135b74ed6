"""A table in memory as it was read: columns of text or of numbers, and where each cell stood.

Nothing is decided here about what a column means; `describe` does that once, for the whole swarm,
and `encode` goes by what was decided. Every complaint names file, row and column. Pure numpy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.errors import DataError

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?"})
"""What stands for a missing value, in any case of letters: most of what pandas takes for one, and
the question mark of the UCI repository."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: text as it stood in the file, or float64 with NaN where nothing stood."""

    name: str
    values: Sequence[str] | Numbers

    def texts(self) -> list[str | None]:
        """Each value as one word, None where it is missing. A number is always written alike: 3,
        3.0 and 3.00 are the same class or category."""
        if isinstance(self.values, np.ndarray):
            return [None if math.isnan(value) else f"{value:.15g}" for value in self.values]
        known: dict[str, str | None] = {}
        return [known[v] if v in known else known.setdefault(v, word(v)) for v in self.values]

    def numbers(self) -> Numbers | int:
        """float64 with NaN where it is missing; or the place of the first that is no number."""
        if isinstance(self.values, np.ndarray):
            infinite = np.flatnonzero(np.isinf(self.values))
            return int(infinite[0]) if len(infinite) else self.values
        found = np.empty(len(self.values))
        for place, text in enumerate(self.values):
            value = number(text)
            if value is None:
                return place
            found[place] = value
        return found

    def shown(self, place: int) -> str:
        """A cell as it stood, to be shown or written."""
        value = self.values[place]
        if isinstance(value, str):
            return value
        return "" if math.isnan(value) else f"{value:.15g}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. `first` is the number of its first row as a person counts: 2 below a header."""

    path: Path
    columns: dict[str, Column]
    first: int

    @property
    def rows(self) -> int:
        return max((len(column.values) for column in self.columns.values()), default=0)

    def column(self, name: str) -> Column:
        """DataError when there is none of this name."""
        if name not in self.columns:
            near = nearest(name, list(self.columns))
            raise DataError(
                self.path,
                f"has no column {name!r}",
                f"did you mean {near!r}?" if near else f"its columns: {self._named()}",
            )
        return self.columns[name]

    def numbers(self, name: str) -> Numbers:
        """A numeric column. DataError for the first cell that is no number."""
        column = self.column(name)
        found = column.numbers()
        if isinstance(found, int):
            raise DataError(
                self.path,
                f"row {self.first + found}, column {name!r}: {column.shown(found)!r} is no number",
                "correct it, or leave the cell empty: a missing value is allowed",
            )
        return found

    def _named(self) -> str:
        names = list(self.columns)
        return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def word(text: str) -> str | None:
    """A cell as a class or category: None when it is missing, a number always written alike."""
    text = text.strip()
    if text.casefold() in MISSING:
        return None
    value = number(text)
    return text if value is None else f"{value:.15g}"


def number(text: str) -> float | None:
    """A cell as a number, NaN when it is missing; None when it is neither."""
    try:
        value = float(text)
    except ValueError:
        return math.nan if text.strip().casefold() in MISSING else None
    # Python reads 1_000 as a number; nobody writes one so into a table.
    return value if not math.isinf(value) and "_" not in text else None


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one that was probably meant."""
    import difflib

    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None
