"""What a running scenario tells of itself, in a file that it replaces when something happens.

The scenario knows nothing of the dashboard, and the dashboard of a scenario only this file:

    {title, seconds, at, ended, steps: [[at, what]], phases: [{label, begin, end}],
     nodes: {name: {socket, running, island}}, checks: [{name, bound, state, evidence}]}

`seconds`, `at`, `begin`, `end` in the scenario's time; `state`: open | holds | fails.
"""

import json
import time
from pathlib import Path
from typing import Any

from gossipd.errors import OperatorError

Document = dict[str, Any]

FILE = "live.json"
BEGIN_SECONDS = 30.0
"""As long a scenario may take to load. Ours: fifteen times what it takes on an idle machine."""
POLL_SECONDS = 0.1


class Run:
    """A scenario's file, read again when it has changed."""

    def __init__(self, folder: Path) -> None:
        """Waits until the scenario begins; raises OperatorError "no-run" when it does not."""
        self._path = folder / FILE
        self._stamp = 0
        self.document: Document = {}
        """The latest."""
        deadline = time.monotonic() + BEGIN_SECONDS
        while not self.look() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not self.document:
            raise OperatorError(
                "no-run",
                f"no scenario runs in {folder}",
                "`gossipd scenario run NAME --watch` shows one while it runs",
            )

    @property
    def sockets(self) -> dict[str, Path]:
        """Where the daemons' APIs are, by name."""
        nodes = self.document["nodes"].items()
        return {name: Path(node["socket"]) for name, node in nodes}

    def look(self) -> bool:
        """Whether there is something new."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                return False
            document = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return False  # no more: what was read last stays
        self._stamp, self.document = stamp, document
        return True
