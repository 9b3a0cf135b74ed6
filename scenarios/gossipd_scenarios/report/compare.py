"""Two results side by side."""

from collections.abc import Mapping
from statistics import median
from typing import Any

Result = Mapping[str, Any]

MEGA = 1e6


def figures_of(result: Result) -> dict[str, float | None]:
    """The numbers by which runs are compared."""
    last = [_last(row["accuracy"]) for row in result["series"].values()]
    known = [value for value in last if value is not None]
    sent = [_last(row["bytes_out"]) or 0.0 for row in result["series"].values()]
    memory = [m for row in result["series"].values() for m in row["memory"] if m is not None]
    return {
        "nodes": float(result["nodes"]),
        "median accuracy": median(known) if known else None,
        "worst accuracy": min(known) if known else None,
        "seconds": result["seconds"],
        "median MB sent": median(sent) / MEGA if sent else None,
        "most MB sent": max(sent) / MEGA if sent else None,
        "largest memory MB": max(memory) / MEGA if memory else None,
        "checks that hold": float(sum(check["holds"] for check in result["checks"])),
    }


def compare(first: Result, second: Result) -> list[dict[str, Any]]:
    """Rows {what, first, second, difference}: the figures, then each check that both have."""
    ours, theirs = figures_of(first), figures_of(second)
    rows = [_row(what, ours[what], theirs[what]) for what in ours]
    values = {check["name"]: check["value"] for check in second["checks"]}
    rows += [
        _row(f"check: {check['name']}", check["value"], values[check["name"]])
        for check in first["checks"]
        if check["name"] in values
    ]
    return rows


def _row(what: str, first: float | None, second: float | None) -> dict[str, Any]:
    difference = None if first is None or second is None else second - first
    return {"what": what, "first": first, "second": second, "difference": difference}


def _last(values: list[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
