"""What is known of each daemon over a run: its accuracy over time, its counters over all lives."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(slots=True)
class Track:
    """One daemon as the demo saw it."""

    name: str
    state: str = "starting"
    """starting | learning | killed"""
    classes: tuple[int, ...] = ()
    """Whose examples it holds."""
    times: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    """Of its serving model on the whole test set, at `times` (seconds since the run began)."""
    alone: float | None = None
    status: Document = field(default_factory=dict)
    _past: Counter[str] = field(default_factory=Counter)
    """What the counters of its earlier lives had come to."""

    @property
    def now(self) -> float | None:
        return self.accuracies[-1] if self.accuracies else None

    def saw(self, time: float, status: Document, accuracy: float) -> None:
        """A measurement."""
        counts = status["training"]["class_counts"] or ()
        self.classes = tuple(label for label, count in enumerate(counts) if count)
        self.status = status
        self.times.append(time)
        self.accuracies.append(accuracy)

    def ended(self) -> None:
        """This life is over: what it counted is kept, the next one counts from nothing."""
        self._past.update(_counters(self.status))
        self.status = {}
        self.state = "killed"

    @property
    def counters(self) -> Counter[str]:
        """cycles, bytes_in, bytes_out and the kinds of updates, over all lives so far seen."""
        total = self._past.copy()
        total.update(_counters(self.status))
        return total

    @property
    def round(self) -> int | None:
        """The round that it knows of; None where it does not work in rounds, or does not run."""
        rounds = self.status.get("round")
        return int(rounds["number"]) if rounds else None

    @property
    def role(self) -> str:
        """idle | trainer | aggregator, in the present round."""
        rounds = self.status.get("round")
        return str(rounds["role"]) if rounds else ""

    @property
    def peers(self) -> int:
        return int(self.status["network"]["connected"]) if self.status else 0


def _counters(status: Document) -> dict[str, int]:
    if not status:
        return {}
    return {
        "cycles": status["training"]["cycles"],
        "bytes_in": status["network"]["bytes_in"],
        "bytes_out": status["network"]["bytes_out"],
        **status["updates"],
    }
