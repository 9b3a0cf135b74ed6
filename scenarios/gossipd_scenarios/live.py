"""What a person sees while a scenario runs: bar, event lines and a table on a terminal; plain lines
elsewhere. Everything goes to stderr; stdout is for the result.
"""

import sys
from collections.abc import Mapping
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from gossipd_scenarios.backend import Reading
from gossipd_scenarios.history import History

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 16
"""Nodes that the table shows one by one; with more it sums up by island."""
NOTES = 6
BAR = 40
LINE_SECONDS = 5.0
"""Between two plain lines, in the scenario's time."""
MEGA = 1e6


class Screen(Protocol):
    """An engine's watcher that can be opened and closed."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def phase(self, name: str, seconds: float, homes: str = "") -> None:
        """A run of so many seconds begins; `homes`: the folder of real daemons' homes."""
        ...

    def looked(self, history: History, now: float) -> None:
        """As `engine.Watcher`."""
        ...


def screen_for(quiet: bool) -> Screen:
    """The screen that fits where stderr goes."""
    if quiet:
        return Blank()
    return Table() if sys.stderr.isatty() else Lines()


class Blank:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def phase(self, name: str, seconds: float, homes: str = "") -> None:
        pass

    def looked(self, history: History, now: float) -> None:
        pass


class Lines(Blank):
    """A line for each operation and one now and then, for a log file or a pipe."""

    def __init__(self) -> None:
        self._said = 0
        self._next = 0.0

    def phase(self, name: str, seconds: float, homes: str = "") -> None:
        self._said, self._next = 0, 0.0
        sys.stderr.write(f"{name}, {seconds:g} s\n")
        sys.stderr.flush()

    def looked(self, history: History, now: float) -> None:
        for at, what in history.steps[self._said :]:
            self._say(at, what)
        self._said = len(history.steps)
        if history.snapshots and now >= self._next:
            self._next = now + LINE_SECONDS
            self._say(now, _summary(history.snapshots[-1].readings))

    @staticmethod
    def _say(now: float, text: str) -> None:
        sys.stderr.write(f"{now:6.1f} s  {text}\n")
        sys.stderr.flush()


class Table(Blank):
    """Drawn anew with each look at the nodes."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._phase, self._seconds = "", 1.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def phase(self, name: str, seconds: float, homes: str = "") -> None:
        self._phase, self._seconds = name, seconds
        self._live.update(name, refresh=True)

    def looked(self, history: History, now: float) -> None:
        self._live.update(self._picture(history, now), refresh=True)

    def _picture(self, history: History, now: float) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        done = max(0.0, min(1.0, now / self._seconds))
        bar = "█" * round(BAR * done) + "░" * (BAR - round(BAR * done))
        parts: list[RenderableType] = [Text(f"{self._phase}  {bar}  {now:.0f} s", style="bold")]
        if history.snapshots:
            parts.append(self._table(history))
        parts += [
            Text(f"{at:6.1f} s  {what}", style="yellow") for at, what in history.steps[-NOTES:]
        ]
        return Group(*parts)

    def _table(self, history: History) -> "RenderableType":
        from rich.table import Table as RichTable

        readings = history.snapshots[-1].readings
        table = RichTable(box=None)
        names = list(history.lives())
        single = len(names) <= ROWS
        table.add_column("node" if single else "island")
        for heading in ("running", "peers", "round", "steps", "sent", "worst", "median"):
            table.add_column(heading, justify="right")
        table.add_column("")
        groups: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
        if not single:
            groups = {str(i): island for i, island in enumerate(history.cast.islands)}
        for label, members in groups.items():
            rows = [readings[name] for name in members if name in readings]
            table.add_row(label, *_cells(rows, len(members)), style="" if rows else "dim")
        return table


def _cells(rows: list[Reading], members: int) -> list[str]:
    known = [row.accuracy for row in rows if row.accuracy is not None]
    if not rows:
        return [f"0 of {members}", *[""] * 7]
    rounds = [row.counters["round"] for row in rows if "round" in row.counters]
    return [
        f"{len(rows)} of {members}",
        f"{median(row.connected for row in rows):.0f}",
        str(max(rounds)) if rounds else "",
        str(sum(row.counters.get("steps", 0) for row in rows)),
        f"{sum(row.bytes_out for row in rows) / MEGA:.1f} MB",
        f"{min(known):.3f}" if known else "",
        f"{median(known):.3f}" if known else "",
        "█" * round(20 * median(known)) if known else "",
    ]


def _summary(readings: Mapping[str, Reading]) -> str:
    known = [r.accuracy for r in readings.values() if r.accuracy is not None]
    if not known:
        return f"{len(readings)} nodes"
    peers = median(reading.connected for reading in readings.values())
    return (
        f"{len(readings)} nodes, accuracy worst {min(known):.3f}, median {median(known):.3f}, "
        f"peers {peers:.0f}"
    )
