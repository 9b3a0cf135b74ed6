"""What a running scenario tells of itself, in a file that it replaces when something happens.

The scenario knows nothing of the dashboard, and the dashboard of a scenario only this file:

    {title, seconds, at, began, ended, steps: [[at, what]], phases: [{label, begin, end}],
     plan: [[at, what]], nodes: {name: {running, island}},
     checks: [{name, bound, state, evidence}]}

`at`, `begin`, `end` in seconds of the scenario; `began` in Unix seconds; `state`: open | holds |
fails.
"""

import json
from pathlib import Path
from typing import Any

Document = dict[str, Any]

FILE = "live.json"


class Run:
    """Reads it again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._stamp = 0
        self.document: Document | None = None
        """The latest; None until there is one."""

    def look(self) -> bool:
        """Whether there is something new."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                return False
            document = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return False  # not yet, or no more: what was read last stays
        self._stamp, self.document = stamp, document
        return True
