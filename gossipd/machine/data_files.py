"""The daemon's own data: read again when their files have changed, kept when those are broken."""

from collections.abc import Callable
from typing import Any

from gossipd.learning.errors import LearningError
from gossipd.learning.learner import TorchLearner
from gossipd.runtime.ports import Compute

Report = Callable[[str, dict[str, Any]], None]


class DataFiles:
    """Looked at in every upkeep; what changed is read once an epoch has ended."""

    def __init__(self, learner: TorchLearner, compute: Compute, report: Report) -> None:
        self._learner = learner
        self._compute = compute
        self._report = report
        self.problem: LearningError | None = None
        """Why the data in use are older than the files; None while they are not."""

    async def look(self) -> bool:
        """Read them again if need be; whether this node has other data now."""
        found = await self._compute.run(self._learner.refresh)
        if isinstance(found, LearningError):
            self.problem = found
            self._report("data-unreadable", {"why": str(found), "fix": found.hint})
            return False
        if found:
            self.problem = None
            self._report("data-read-again", {"examples": self._learner.examples})
        return found
