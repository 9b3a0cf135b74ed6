"""CSV, NPZ and Parquet files as a `Sheet`, read within bounds. Pure numpy; Parquet by pyarrow.

    .csv .tsv .txt   the first row names the columns; comma, semicolon, tab or | between cells,
                     UTF-8; .gz behind it is decompressed
    .npz             1-D arrays are columns; a 2-D array x makes the columns x.0, x.1, ...
    .parquet         needs the extra `tables` (pyarrow)

The standard library reads CSV as fast as a table that fits a laptop's training wants it (a million
cells in a second), so no data frame library is needed for it.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.errors import DataError
from gossipd.learning.npz import read_npz
from gossipd.learning.sheet import Column, Sheet, number

MOST_CELLS = 20_000_000
"""Of one table. Ours: 2 GB while a CSV file of numbers is read."""
DELIMITERS = ",;\t|"
TEXT_FILES = (".csv", ".tsv", ".txt")
KINDS = (*TEXT_FILES, ".npz", ".parquet")


def is_table(path: Path) -> bool:
    """Whether the name says that it is one of these."""
    return _kind(path) in KINDS


def read_table(path: Path) -> Sheet:
    """The table in a file. DataError, which says where it is wrong and what to do."""
    kind = _kind(path)
    if kind not in KINDS:
        raise DataError(
            path, f"{path.suffix or 'no ending'} is no table known here", f"give {', '.join(KINDS)}"
        )
    try:
        if kind == ".npz":
            return _npz(path)
        if kind == ".parquet":
            return _parquet(path)
        return _csv(path)
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "check the path of the data") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(path, f"cannot be read: {reason}", "check the file") from error


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] == ".gz" and suffixes[-2] in TEXT_FILES:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


# --- CSV ------------------------------------------------------------------------------------------


def _csv(path: Path) -> Sheet:
    try:
        with _opened(path) as file:
            return _cells(path, file)
    except UnicodeDecodeError as error:
        raise DataError(
            path, f"is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8"
        ) from error


def _opened(path: Path) -> TextIO:
    # A spreadsheet may write a byte order mark, which is no part of the first column's name.
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _cells(path: Path, file: TextIO) -> Sheet:
    first = file.readline()
    if not first.strip():
        raise DataError(path, "its first row is empty", "begin with a row of column names")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(_chained(first, file), delimiter=delimiter, strict=True)
    names: list[str] = []
    columns: list[list[str]] = []
    row = 0
    try:
        for row, cells in enumerate(reader, start=1):
            if not names:
                names = _header(path, cells)
                columns = [[] for _ in names]
            elif cells and len(cells) != len(names):
                raise DataError(
                    path,
                    f"row {row} has {len(cells)} cells, the first row has {len(names)}",
                    f"correct that row; cells are divided by {delimiter!r} and a cell that holds "
                    "it stands in quotes",
                )
            else:
                # An empty line is a row without values, so that row numbers stay true.
                for column, cell in zip(columns, cells or [""] * len(names), strict=True):
                    column.append(cell)
            if row * len(names) > MOST_CELLS:
                raise DataError(
                    path, f"has more than {MOST_CELLS:,} cells", "give a part of it, or fewer rows"
                )
    except csv.Error as error:
        raise DataError(path, f"row {row + 1}: {error}", "check the quotes in that row") from error
    # Spreadsheets leave empty rows below a table.
    while columns and columns[0] and not any(column[-1] for column in columns):
        for column in columns:
            column.pop()
    found = {name: Column(name, column) for name, column in zip(names, columns, strict=True)}
    if delimiter == ";":
        found = {name: _decimal_commas(column) for name, column in found.items()}
    return Sheet(path, found, first=2)


def _chained(first: str, file: TextIO) -> Iterator[str]:
    yield first
    yield from file


def _header(path: Path, cells: list[str]) -> list[str]:
    # An index without a name is what pandas writes by default.
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
    if all(number(cell) is not None for cell in cells):
        raise DataError(
            path, "its first row holds numbers, not names", "put a row of column names above"
        )
    for name in names:
        if names.count(name) > 1:
            raise DataError(path, f"two columns are called {name!r}", "rename one of them")
        if not name.isprintable() or len(name) > 200:
            raise DataError(path, f"a column is called {name[:50]!r}", "give it a plain name")
    return names


def _decimal_commas(column: Column) -> Column:
    """Where semicolons divide cells, a comma is a decimal point: if that makes all of them one."""
    texts = [str(value) for value in column.values]
    points = [text.replace(",", ".") for text in texts]
    if any("," in text for text in texts) and all(number(text) is not None for text in points):
        return Column(column.name, points)
    return column


# --- NPZ ------------------------------------------------------------------------------------------


def _npz(path: Path) -> Sheet:
    columns: dict[str, Column] = {}
    for name, array in read_npz(path).items():
        columns |= _array(path, name, array)
    lengths = {len(column.values) for column in columns.values()}
    if len(lengths) != 1:
        raise DataError(
            path,
            "its arrays differ in length: "
            + ", ".join(f"{c.name} {len(c.values)}" for c in list(columns.values())[:10]),
            "give one entry or row per example in each array",
        )
    return Sheet(path, columns, first=1)


def _array(path: Path, name: str, array: NDArray[Any]) -> dict[str, Column]:
    if array.dtype.kind not in "biufUS" or array.ndim not in (1, 2):
        raise DataError(
            path,
            f"{name} is {array.dtype} {array.shape}",
            "give numbers or text, with one or two dimensions",
        )
    if array.ndim == 2:
        parts = {f"{name}.{place}": array[:, place] for place in range(array.shape[1])}
    else:
        parts = {name: array}
    return {part: Column(part, _values(values)) for part, values in parts.items()}


def _values(array: NDArray[Any]) -> list[str] | NDArray[np.float64]:
    if array.dtype.kind == "S":
        return [bytes(value).decode("utf-8", "replace") for value in array]
    if array.dtype.kind == "U":
        return [str(value) for value in array]
    return array.astype(np.float64)


# --- Parquet --------------------------------------------------------------------------------------


def _parquet(path: Path) -> Sheet:
    try:
        import pyarrow as arrow
        from pyarrow import parquet, types
    except ImportError:
        raise DataError(
            path, "Parquet needs pyarrow, which is not installed", "pip install 'gossipd[tables]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            about = file.metadata
            if about.num_rows * about.num_columns > MOST_CELLS:
                raise DataError(path, f"has more than {MOST_CELLS:,} cells", "give a part of it")
            table = file.read()
    except arrow.ArrowException as error:
        raise DataError(path, f"is no Parquet file: {error}", "write it anew") from error
    columns: dict[str, Column] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        try:
            if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
                columns[name] = Column(name, column.cast(arrow.float64(), safe=False).to_numpy())
            else:
                texts = column.cast(arrow.string()).to_pylist()
                columns[name] = Column(name, [text or "" for text in texts])
        except arrow.ArrowException as error:
            raise DataError(
                path,
                f"column {name!r} is of type {kind}",
                "give numbers, text, truth values or dates; drop other columns",
            ) from error
    return Sheet(path, columns, first=1)
