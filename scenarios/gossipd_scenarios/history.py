"""What happened in a run: everything that checks and reports look at, and nothing else.

Times are seconds since all nodes of the beginning had started; what came before is negative.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gossipd_scenarios.backend import Event, Fault, Reading
from gossipd_scenarios.cast import Cast

STARTED, ENDED = "started", "ended"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All running nodes at about one time."""

    at: float
    readings: Mapping[str, Reading]
    """By name; those that did not answer are not among them."""
    running: frozenset[str]


@dataclass(slots=True)
class Phase:
    """A fault and how long it held, as the picture shades it."""

    label: str
    begin: float
    end: float | None = None
    """None while it holds, and for what does not end."""


@dataclass(slots=True)
class History:
    """One run, as it is recorded and afterwards."""

    cast: Cast
    backend: str
    seconds: float = 0.0
    """Length of the run, without starting."""
    start_seconds: float = 0.0
    """How long it took until all had started."""
    snapshots: list[Snapshot] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    steps: list[tuple[float, str]] = field(default_factory=list)
    """What the timeline did, in words."""
    events: list[Event] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    holdings: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    """Nodes whose disks were wiped or damaged: what they knew is lost, as it should be."""
    log_hash: str | None = None

    # --- lives -----------------------------------------------------------------------------------

    def lives(self) -> dict[str, list[tuple[float, float | None]]]:
        """Node -> [(started, ended or None)]."""
        lives: dict[str, list[tuple[float, float | None]]] = {}
        for event in self.events:
            if event.kind == STARTED:
                lives.setdefault(event.node, []).append((event.at, None))
            elif event.kind == ENDED and lives.get(event.node):
                begun, _ = lives[event.node].pop()
                lives[event.node].append((begun, event.at))
        return lives

    def counts(self) -> Counter[str]:
        """Events by kind."""
        return Counter(event.kind for event in self.events)

    # --- snapshots -------------------------------------------------------------------------------

    def moment(self, moment: float | str) -> float:
        """The time of a mark; a time as it is."""
        return self.marks[moment] if isinstance(moment, str) else moment

    def at(self, moment: float | str) -> Snapshot | None:
        """The last snapshot up to a moment."""
        times = [snapshot.at for snapshot in self.snapshots]
        place = bisect_right(times, self.moment(moment) + 1e-9)
        return self.snapshots[place - 1] if place else None

    def after(self, moment: float | str) -> Iterator[Snapshot]:
        """The snapshots after a moment."""
        begin = self.moment(moment)
        return (snapshot for snapshot in self.snapshots if snapshot.at > begin)

    # --- classes ---------------------------------------------------------------------------------

    def small_classes(self) -> tuple[int, ...]:
        """The classes of which the smallest island alone holds examples; of several equally small
        ones the last is meant."""
        if len(self.cast.islands) < 2:
            return ()
        held = [self._classes_of(island) for island in self.cast.islands]
        small = min(range(len(held)), key=lambda i: (len(self.cast.islands[i]), -i))
        others = set().union(*(held[i] for i in range(len(held)) if i != small))
        return tuple(sorted(held[small] - others))

    def _classes_of(self, island: tuple[str, ...]) -> set[int]:
        found: set[int] = set()
        for name in island:
            counts = self.holdings.get(name) or ()
            found |= {label for label, count in enumerate(counts) if count}
        return found


def as_document(event: Event) -> dict[str, Any]:
    """An event as JSON has it."""
    return {"at": round(event.at, 3), "node": event.node, "kind": event.kind, **event.fields}
