"""Rows of a table -> a model's inputs and targets, as the task description says. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.description import Amount, Category, Number, Table
from gossipd.learning.errors import DataError
from gossipd.learning.sheet import Sheet

CLIP = 10.0
"""Deviations from the mean beyond which a value counts as this far. Ours, a guess: what one cell
that slipped by three digits does to a model is bounded."""

Inputs = NDArray[np.float32]


def inputs(description: Table, sheet: Sheet) -> Inputs:
    """float32 [rows, inputs]. DataError names the cell that does not fit."""
    lacking = [c.name for c in description.columns if c.name not in sheet.columns]
    if lacking:
        raise DataError(
            sheet.path,
            f"has no column {lacking[0]!r}"
            + (f" and {len(lacking) - 1} more of the task's" if lacking[1:] else ""),
            "give a table with the columns of the task description; where nothing is known the "
            "cells may be empty",
        )
    made = np.zeros((sheet.rows, description.sizes[0]), dtype=np.float32)
    start = 0
    for column in description.columns:
        part = made[:, start : start + column.inputs]
        _number(column, sheet, part) if isinstance(column, Number) else _words(column, sheet, part)
        start += column.inputs
    return made


def _number(column: Number, sheet: Sheet, part: Inputs) -> None:
    values = sheet.numbers(column.name)
    missing = np.isnan(values)
    filled = np.where(missing, column.filling, values)
    part[:, 0] = np.clip((filled - column.mean) / column.deviation, -CLIP, CLIP)
    if column.gaps:
        part[:, 1] = missing


def _words(column: Category, sheet: Sheet, part: Inputs) -> None:
    places = {word: place for place, word in enumerate(column.values)}
    unknown = len(column.values)
    for row, word in enumerate(sheet.column(column.name).texts()):
        part[row, unknown if word is None else places.get(word, unknown)] = 1.0


def targets(description: Table, sheet: Sheet) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """(rows that have a target, their targets): class numbers as int64, or float32 in deviations
    from the mean. DataError for a target that the task does not know."""
    target = description.target
    goal = sheet.column(target.name)
    if isinstance(target, Amount):
        values = sheet.numbers(target.name)
        rows = np.flatnonzero(~np.isnan(values))
        return rows, ((values[rows] - target.mean) / target.deviation).astype(np.float32)
    words = goal.texts()
    places = {word: place for place, word in enumerate(target.values)}
    for row, word in enumerate(words):
        if word is not None and word not in places:
            raise DataError(
                sheet.path,
                f"row {sheet.first + row}, column {target.name!r}: {word!r} is no class of this "
                "task",
                f"correct it, or empty the cell; the classes are: {', '.join(target.values[:20])}",
            )
    rows = np.array([row for row, word in enumerate(words) if word is not None], dtype=np.int64)
    return rows, np.array([places[words[row]] for row in rows], dtype=np.int64)  # type: ignore[index]
