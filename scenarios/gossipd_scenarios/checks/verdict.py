"""What a check says of a run."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from gossipd_scenarios.backend import Reading
from gossipd_scenarios.history import History, Snapshot
from gossipd_scenarios.schema import Accuracy, Reaches, Undisturbed
from gossipd_scenarios.topology import connected_among

STATS: Mapping[str, Callable[[Collection[float]], float]] = {
    "median": median,
    "worst": min,
    "mean": fmean,
    "best": max,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's outcome. `holds` None: it does not apply to this run, for the reason in
    `evidence`; it is not reported among the checks."""

    name: str
    holds: bool | None
    value: float | None
    """None where it never came to one: it does not hold then."""
    bound: str
    evidence: str

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "holds": self.holds,
            "value": None if self.value is None else round(self.value, 6),
            "bound": self.bound,
            "evidence": self.evidence,
        }


def not_here(name: str, bound: str, reason: str) -> Verdict:
    return Verdict(name, None, None, bound, reason)


def between(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def bounds(least: float | None, most: float | None, unit: str = "") -> str:
    """ "≥ 0.8", "≤ 0.55 s", or both."""
    parts = [f"≥ {least:g}{unit}" if least is not None else ""]
    parts.append(f"≤ {most:g}{unit}" if most is not None else "")
    return " and ".join(part for part in parts if part)


def chosen(
    history: History, snapshot: Snapshot, check: Accuracy | Reaches | Undisturbed
) -> dict[str, Reading]:
    """The readings that a check is about."""
    among: Iterable[str] = snapshot.readings
    if check.of != "running":
        connected = connected_among(history.cast.graph, sorted(snapshot.running))
        among = [name for name in among if (name in connected) == (check.of == "connected")]
    if check.group:
        among = [name for name in among if name in history.cast.groups[check.group]]
    return {name: snapshot.readings[name] for name in among}


def accuracies(readings: Mapping[str, Reading], labels: tuple[int, ...] = ()) -> dict[str, float]:
    """Accuracy by node; with labels the mean recall of these classes."""
    found = {}
    for name, reading in readings.items():
        if labels and reading.recalls is not None:
            found[name] = fmean(reading.recalls[label] for label in labels)
        elif not labels and reading.accuracy is not None:
            found[name] = reading.accuracy
    return found


def worst_of(values: Mapping[str, float]) -> str:
    """ "worst n07 0.512, best n01 0.934, of 10"."""
    low, high = min(values, key=lambda n: values[n]), max(values, key=lambda n: values[n])
    return f"worst {low} {values[low]:.3f}, best {high} {values[high]:.3f}, of {len(values)}"
