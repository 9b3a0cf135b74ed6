"""A table of somebody's -> the task description of a new swarm, and what to tell that person.

Everything is decided here, once, by the founder's rows: what each column is, what stands for a
missing value, how numbers are scaled, which categories and classes there are. Pure numpy.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from gossipd.learning import encode
from gossipd.learning.description import (
    HIDDEN,
    Amount,
    Category,
    Classes,
    Number,
    Table,
    checked,
)
from gossipd.learning.errors import DataError
from gossipd.learning.sheet import Column, Numbers, Sheet

MOST_CATEGORIES = 64
"""Of one column. Ours: a column with more is an identifier or free text; `categories` says no."""
MOST_CLASSES = 20
"""Different whole numbers that a target may have and still be taken for classes. Ours: a guess;
`kind` says otherwise."""
DECAY_ROWS, MOST_DECAY = 3.0, 0.03
"""Weight decay is the one through the founder's rows, at most the other. Ours, measured on the
diabetes table, 110 rows on each of three nodes: after 150 rounds the error is 55.7 with .03, 57.2
with .01 and 62.7 without, and it keeps growing; the breast cancer and wine tables do not care."""
FEWEST_ROWS = 10
"""Ours: below it there is nothing to hold out."""
COUNTERS = frozenset({"id", "index", "row", "column 1", "unnamed: 0"})
"""Names of columns that number the rows when all their values differ."""

Kind = Literal["auto", "classification", "regression"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator says of the table; the rest is found out."""

    target: str
    title: str
    kind: Kind = "auto"
    ignore: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    """Numeric columns whose numbers are names, such as codes; and columns of very many words."""
    classes: tuple[str, ...] = ()
    """All classes there are, where the founder's rows lack some."""
    hidden: tuple[int, ...] = HIDDEN


class Finding(NamedTuple):
    """What a column was taken for."""

    column: str
    type: str
    """number | category | target | ignored"""
    missing: int
    detail: str


@np.errstate(over="ignore", invalid="ignore")  # a scale that is not finite is refused by its type
def describe(sheet: Sheet, wish: Wish) -> tuple[Table, list[Finding]]:
    """The task of learning `wish.target` from the other columns, and how each was understood.

    DataError when nothing can be learnt so.
    """
    columns: list[Number | Category] = []
    findings: list[Finding] = []
    for name in (*wish.ignore, *wish.categories):
        sheet.column(name)
    goal = sheet.column(wish.target)
    if sheet.rows < FEWEST_ROWS:
        raise DataError(
            sheet.path, f"has {sheet.rows} rows", f"give at least {FEWEST_ROWS} examples"
        )
    try:
        target, found = _target(sheet, goal, wish)
    except ValueError as error:
        raise DataError(sheet.path, f"the target: {error}", "choose another --target") from None
    for column in sheet.columns.values():
        if column.name == wish.target:
            findings.append(found)
            continue
        try:
            made, finding = _column(sheet, column, wish)
        except ValueError as error:  # numbers or a name that a description does not take
            made, finding = None, Finding(ascii(column.name)[1:-1], "ignored", 0, str(error))
        findings.append(finding)
        if made is not None:
            columns.append(made)
    if not columns:
        raise DataError(
            sheet.path, "no column is left to learn from", "see what was ignored, and why"
        )
    try:
        decay = _exact(min(DECAY_ROWS / sheet.rows, MOST_DECAY))
        described = checked(Table(wish.title, tuple(columns), target, wish.hidden, decay))
        return described, findings
    except ValueError as error:
        raise DataError(sheet.path, str(error), "ignore some columns, or use fewer units") from None


def fit(description: Table, sheet: Sheet) -> list[Finding]:
    """How rows of somebody who joins fit the task that others have described: none do, too, until
    some come. DataError when they do not."""
    encode.inputs(description, sheet)
    rows, targets = encode.targets(description, sheet)
    findings = [_fitting(column, sheet) for column in description.columns]
    goal = description.target
    if not len(rows):
        detail = "no row has one yet: training begins when some do"
    elif isinstance(goal, Classes):
        there = np.bincount(targets, minlength=len(goal.values))
        shown = ", ".join(f"{name} {there[n]}" for n, name in enumerate(goal.values[:10]))
        detail = f"classes: {shown}" + ("..." if goal.values[10:] else "")
    else:
        values = sheet.numbers(goal.name)
        detail = f"regression, {np.nanmin(values):.6g} to {np.nanmax(values):.6g}"
    findings.append(Finding(goal.name, "target", sheet.rows - len(rows), detail))
    known = {column.name for column in description.columns} | {goal.name}
    others = [name for name in sheet.columns if name not in known]
    return [*findings, *(Finding(name, "ignored", 0, "not of this task") for name in others)]


def _fitting(column: Number | Category, sheet: Sheet) -> Finding:
    if isinstance(column, Number):
        values = sheet.numbers(column.name)
        missing = int(np.isnan(values).sum())
        there = values[~np.isnan(values)]
        detail = f"{there.min():.6g} to {there.max():.6g}" if len(there) else "no values"
        return Finding(column.name, "number", missing, f"{detail}, median {column.filling:g}")
    words = sheet.column(column.name).texts()
    strange = {word for word in words if word is not None} - set(column.values)
    detail = f"{len(column.values)} known"
    if strange:
        detail += f", not known: {', '.join(sorted(strange)[:5])}"
    return Finding(column.name, "category", words.count(None), detail)


def _column(sheet: Sheet, column: Column, wish: Wish) -> tuple[Number | Category | None, Finding]:
    name = column.name

    def ignored(why: str) -> tuple[None, Finding]:
        return None, Finding(name, "ignored", 0, why)

    if name in wish.ignore:
        return ignored("as you asked")
    values = None if name in wish.categories else column.numbers()
    if isinstance(values, np.ndarray):
        there = values[~np.isnan(values)]
        missing = len(values) - len(there)
        if not len(there):
            return ignored("it has no values")
        if _numbers_the_rows(name, there):
            return ignored("it numbers the rows")
        spread = float(there.std())
        if spread == 0.0:
            return ignored("it is the same in all rows")
        scale = _exact(float(there.mean())), _exact(spread)
        made = Number(name, _exact(float(np.median(there))), *scale, gaps=missing > 0)
        detail = f"{there.min():.6g} to {there.max():.6g}, median {made.filling:g}"
        return made, Finding(name, "number", missing, detail)
    return _words(sheet, column, name in wish.categories)


def _words(sheet: Sheet, column: Column, wanted: bool) -> tuple[Category | None, Finding]:
    name, words = column.name, column.texts()
    counts = Counter(word for word in words if word is not None)
    missing = len(words) - counts.total()
    if len(counts) > MOST_CATEGORIES and not wanted:
        place = column.numbers()
        example = column.shown(place) if isinstance(place, int) else ""
        why = f"{len(counts)} different texts, such as row {sheet.first + place}: {example[:40]!r}"
        return None, Finding(name, "ignored", missing, why)
    if len(counts) + (missing > 0) < 2:
        return None, Finding(name, "ignored", missing, "it is the same in all rows")
    # The most frequent first, as far as there is room; the rest is as good as unknown.
    kept = tuple(word for word, _ in counts.most_common(MOST_CATEGORIES) if _fits(word))
    shown = ", ".join(kept[:5]) + (", ..." if len(kept) > 5 else "")
    return Category(name, kept), Finding(name, "category", missing, f"{len(kept)}: {shown}")


def _target(sheet: Sheet, column: Column, wish: Wish) -> tuple[Classes | Amount, Finding]:
    name = column.name
    values = column.numbers()
    if wish.kind == "regression" or (
        wish.kind == "auto" and not wish.classes and _is_amount(values)
    ):
        values = sheet.numbers(name)
        there = values[~np.isnan(values)]
        if len(there) < FEWEST_ROWS or float(there.std()) == 0.0:
            raise DataError(
                sheet.path, f"the target {name!r} does not vary", "choose another --target"
            )
        amount = Amount(name, _exact(float(there.mean())), _exact(float(there.std())))
        detail = f"regression, {there.min():.6g} to {there.max():.6g}"
        return amount, Finding(name, "target", len(values) - len(there), detail)
    words = column.texts()
    counts = Counter(word for word in words if word is not None)
    classes = wish.classes or tuple(sorted(counts, key=_natural))
    strange = sorted(counts.keys() - set(classes))
    if strange:
        row = sheet.first + words.index(strange[0])
        raise DataError(
            sheet.path,
            f"row {row}, column {name!r}: {strange[0]!r} is none of the classes",
            "correct it, or name it in --classes too",
        )
    if len(classes) < 2:
        raise DataError(
            sheet.path,
            f"the target {name!r} has {'one value' if classes else 'no values'} only",
            "name all classes with --classes, or choose another --target",
        )
    target = Classes(name, classes)
    shown = ", ".join(f"{c} {counts[c]}" for c in classes[:10]) + ("..." if classes[10:] else "")
    return target, Finding(name, "target", len(words) - counts.total(), f"classes: {shown}")


def _is_amount(values: Numbers | int) -> bool:
    """Whether a target's numbers are measured rather than names of classes."""
    if isinstance(values, int):
        return False
    different = np.unique(values[~np.isnan(values)])
    return len(different) > MOST_CLASSES or bool((different != np.rint(different)).any())


def _numbers_the_rows(name: str, values: Numbers) -> bool:
    if values[0] in (0, 1) and len(values) > 1 and bool((np.diff(values) == 1).all()):
        return True
    return name.casefold() in COUNTERS and len(np.unique(values)) == len(values)


def _natural(text: str) -> tuple[float, str]:
    """Numbers by size, before words in their order."""
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _fits(text: str) -> bool:
    return text.isprintable() and len(text) <= 200


def _exact(value: float) -> float:
    """Six digits say enough of a scale, and tell less of single rows."""
    return float(f"{value:.6g}")
