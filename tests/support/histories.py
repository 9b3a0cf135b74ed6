"""Histories and documents of scenarios, written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossipd_scenarios.backend import Event, Reading
from gossipd_scenarios.cast import Cast
from gossipd_scenarios.document import Changes, Document, parse
from gossipd_scenarios.history import ENDED, STARTED, History, Snapshot

HEAD = 'title = "T"\nabout = "A"\nnodes = 4\nseconds = 10.0\n'
"""What every scenario must say; keys of tables may follow."""


def document(text: str = "", *, head: str = HEAD, **values: str) -> Document:
    """A scenario from text after `head`; `values` as by --set."""
    return parse(head + text, "test", Changes(values=values), Path("/nonexistent"))


def reading(node: str, at: float, accuracy: float | None = 0.9, **fields: Any) -> Reading:
    standing: dict[str, Any] = {
        "recalls": None,
        "model": "00",
        "lineage": {},
        "author": f"author-{node}",
        "counters": {"steps": 0, "round": 0},
        "bytes_in": 0,
        "bytes_out": 0,
        "connected": 0,
        "memory": None,
    }
    return Reading(at=at, node=node, accuracy=accuracy, **{**standing, **fields})


def snapshot(at: float, *readings: Reading) -> Snapshot:
    return Snapshot(at, {r.node: r for r in readings}, frozenset(r.node for r in readings))


def history(
    *snapshots: Snapshot,
    names: Sequence[str] = ("a", "b", "c"),
    islands: Sequence[Sequence[str]] | None = None,
    graph: Any = None,
    groups: Mapping[str, frozenset[str]] | None = None,
    marks: Mapping[str, float] | None = None,
    events: Sequence[Event] = (),
) -> History:
    """A history that ends with its last snapshot; everybody starts at 0."""
    cast = Cast(
        tuple(names),
        tuple(map(tuple, islands or [names])),
        graph,
        frozenset(names),
        groups or {},
    )
    end = snapshots[-1].at if snapshots else 0.0
    found = History(cast, "sim", seconds=end, snapshots=list(snapshots))
    found.marks = {"start": 0.0, "heal": 0.0, "end": end, **(marks or {})}
    found.events = [Event(0.0, name, STARTED) for name in names]
    found.events += sorted(events, key=lambda event: event.at)
    return found


def ended(at: float, node: str) -> Event:
    return Event(at, node, ENDED, {"asked": True, "code": -9})


def started(at: float, node: str) -> Event:
    return Event(at, node, STARTED)
