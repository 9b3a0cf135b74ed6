"""A run as numbers: `result.json`, and every event of every daemon in `events.jsonl`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gossipd_scenarios.checks.verdict import Verdict
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.history import History, as_document
from gossipd_scenarios.plan import Plan

RESULT, EVENTS, PAGE = "result.json", "events.jsonl", "report.html"
VERSION = 1
SERIES = ("accuracy", "steps", "round", "bytes_out", "connected", "memory")

Document = dict[str, Any]


def result_of(
    plan: Plan,
    history: History,
    verdicts: Sequence[Verdict],
    *,
    calm: History | None,
    wall_seconds: float,
) -> Document:
    """The run as plain data; times in seconds, accuracies 0..1, series of one length per node."""
    document, cast = plan.document, plan.cast
    present = [name for name in cast.names if name in history.lives()]
    graph = cast.graph
    return {
        "version": VERSION,
        "scenario": document.name,
        "title": document.scenario.title,
        "about": document.scenario.about.strip(),
        "parameters": dict(document.parameters),
        "file": document.text,
        "backend": history.backend,
        "nodes": len(present),
        "seed": document.scenario.seed,
        "training": document.scenario.training,
        "seconds": round(history.seconds, 3),
        "start_seconds": round(history.start_seconds, 3),
        "wall_seconds": round(wall_seconds, 3),
        "log_hash": history.log_hash,
        "names": present,
        "islands": [[name for name in island if name in present] for island in cast.islands],
        "links": None if graph is None else [list(link) for link in graph.subgraph(present).edges],
        "with_data": sorted(cast.with_data),
        "groups": {name: sorted(group) for name, group in cast.groups.items()},
        "marks": {name: round(at, 3) for name, at in history.marks.items()},
        "phases": [
            {"label": p.label, "begin": round(p.begin, 3), "end": p.end} for p in history.phases
        ],
        "steps": [{"at": round(at, 3), "what": what} for at, what in history.steps],
        "lives": history.lives(),
        "times": [round(snapshot.at, 3) for snapshot in history.snapshots],
        "series": {name: _series(history, name) for name in present},
        "undisturbed": _medians(calm) if calm is not None else None,
        "events": dict(history.counts().most_common()),
        "faults": [
            {"at": round(f.at, 3), "node": f.node, "what": f.what, "evidence": f.evidence}
            for f in history.faults
        ],
        "checks": [verdict.document() for verdict in verdicts if verdict.holds is not None],
        "left_out": [verdict.document() for verdict in verdicts if verdict.holds is None],
    }


def _series(history: History, name: str) -> dict[str, list[float | None]]:
    """A node's numbers at the times of all snapshots; None where it was not there."""
    rows: dict[str, list[float | None]] = {kind: [] for kind in SERIES}
    for snapshot in history.snapshots:
        reading = snapshot.readings.get(name)
        accuracy = None if reading is None else reading.accuracy
        values: Mapping[str, float | None] = (
            {}
            if reading is None
            else {
                "accuracy": None if accuracy is None else round(accuracy, 4),
                "bytes_out": reading.bytes_out,
                "connected": reading.connected,
                "memory": reading.memory,
                **reading.counters,
            }
        )
        for kind in SERIES:
            rows[kind].append(values.get(kind))
    return rows


def _medians(history: History) -> Document:
    """Median accuracy over time."""
    rows: list[tuple[float, float]] = []
    for snapshot in history.snapshots:
        known = [r.accuracy for r in snapshot.readings.values() if r.accuracy is not None]
        if known:
            rows.append((round(snapshot.at, 3), round(median(known), 4)))
    return {"times": [at for at, _ in rows], "median": [value for _, value in rows]}


def write(folder: Path, result: Document, history: History) -> None:
    """Put both files into a folder that exists."""
    (folder / RESULT).write_text(json.dumps(result, separators=(",", ":")) + "\n")
    with (folder / EVENTS).open("w") as file:
        for event in history.events:
            file.write(json.dumps(as_document(event), separators=(",", ":")) + "\n")


def read(folder: Path) -> Document:
    """The result in a folder. ScenarioError when there is none."""
    path = folder / RESULT
    try:
        result: Document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"{path}: {error}", "give a folder that `gossipd scenario run` wrote", "no-result"
        ) from None
    if result.get("version") != VERSION:
        raise ScenarioError(
            f"{path}: of version {result.get('version')}, not {VERSION}",
            "run the scenario again",
            "no-result",
        )
    return result
