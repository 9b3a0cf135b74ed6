"""A run told in a file while it goes on, for whoever watches it from another process.

The file is replaced as a whole whenever something happens: {title, seconds, at, ended,
steps: [[at, what]], phases: [{label, begin, end}], nodes: {name: {socket, running, island}},
checks: [{name, bound, state, evidence}]}; times are the scenario's seconds, `state`: open | holds |
fails.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gossipd.config import paths_of
from gossipd_scenarios.checks.judge import so_far
from gossipd_scenarios.checks.verdict import Verdict
from gossipd_scenarios.history import History
from gossipd_scenarios.live import Screen
from gossipd_scenarios.plan import Plan
from gossipd_scenarios.schema import STANDING

FILE = "live.json"
EVIDENCE = "its moment has not come"

Document = dict[str, Any]


class Telling:
    """A screen that writes the file, and hands everything on to another one."""

    def __init__(self, inner: Screen, folder: Path, plan: Plan) -> None:
        self._inner = inner
        self._path = folder / FILE
        self._plan = plan
        self._homes = Path()
        self._seconds = 0.0
        self._told: Document = {}

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def phase(self, name: str, seconds: float, homes: str = "") -> None:
        self._inner.phase(name, seconds, homes)
        self._homes, self._seconds = Path(homes), seconds
        # At once: a hundred daemons take half a minute to start, and somebody watches already.
        self._tell(History(self._plan.cast, "real"), 0.0)

    def looked(self, history: History, now: float) -> None:
        self._inner.looked(history, now)
        self._tell(history, now)

    def _tell(self, history: History, now: float) -> None:
        running = history.snapshots[-1].running if history.snapshots else frozenset[str]()
        cast = self._plan.cast
        self._told = {
            "title": self._plan.scenario.title,
            "seconds": self._seconds,
            "at": round(now, 3),
            "ended": False,
            "steps": [[round(at, 3), what] for at, what in history.steps],
            "phases": [
                {"label": phase.label, "begin": phase.begin, "end": phase.end}
                for phase in history.phases
            ],
            "nodes": {
                name: {
                    "socket": str(paths_of(self._homes / name).socket),
                    "running": name in running,
                    "island": cast.island_of(name),
                }
                for name in cast.names
            },
            "checks": list(self._open(history)) if history.snapshots else [],
        }
        self._write()

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        """The run is over."""
        checks = [
            _said(v, "holds" if v.holds else "fails") for v in verdicts if v.holds is not None
        ]
        self._told |= {"ended": True, "checks": checks, "at": self._seconds}
        self._write()

    def _open(self, history: History) -> Iterable[Document]:
        """What holds so far, or is broken for good; the rest may still come to hold."""
        for check, verdict in so_far(self._plan.scenario, history):
            if verdict is None:
                name = check.name or str(check.__struct_config__.tag)
                yield {"name": name, "bound": "", "state": "open", "evidence": EVIDENCE}
            elif verdict.holds is not None:
                failing = "fails" if check in STANDING else "open"
                yield _said(verdict, "holds" if verdict.holds else failing)

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._told), encoding="utf-8")
        os.replace(fresh, self._path)


def _said(verdict: Verdict, state: str) -> Document:
    told = verdict.document()
    return {key: told[key] for key in ("name", "bound", "evidence")} | {"state": state}
