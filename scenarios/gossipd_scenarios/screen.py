"""What a person sees while the demo runs: a live table on a terminal, plain lines elsewhere.

Everything goes to stderr; stdout is for the result.
"""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from gossipd_scenarios.track import Track

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_SECONDS = 5.0
"""Between two plain lines of progress."""
NOTES = 4
BAR = 20
"""Characters of an accuracy of 1."""


class Screen(Protocol):
    """Where the demo shows how it goes. `now` in seconds since the demo began."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def phase(self, name: str, now: float) -> None:
        """A new part of the course begins."""
        ...

    def note(self, text: str, now: float) -> None:
        """Something happened."""
        ...

    def show(self, tracks: Sequence[Track], now: float) -> None:
        """How everybody stands."""
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
        traceback: TracebackType | None,
    ) -> None:
        pass

    def phase(self, name: str, now: float) -> None:
        pass

    def note(self, text: str, now: float) -> None:
        pass

    def show(self, tracks: Sequence[Track], now: float) -> None:
        pass


class Lines(Blank):
    """One line now and then, for a log file or a pipe."""

    def __init__(self) -> None:
        self._phase = ""
        self._next = 0.0

    def phase(self, name: str, now: float) -> None:
        self._phase = name
        self._next = now + LINE_SECONDS
        self._say(now, name)

    def note(self, text: str, now: float) -> None:
        self._say(now, text)

    def show(self, tracks: Sequence[Track], now: float) -> None:
        if now < self._next:
            return
        self._next = now + LINE_SECONDS
        known = [track.now for track in tracks if track.now is not None]
        if known:
            mean = sum(known) / len(known)
            peers = " ".join(str(track.peers) for track in tracks)
            text = f"{self._phase}: mean {mean:.3f}, worst {min(known):.3f}, peers {peers}"
            self._say(now, text + _round_of(tracks))

    @staticmethod
    def _say(now: float, text: str) -> None:
        sys.stderr.write(f"{now:5.0f} s  {text}\n")
        sys.stderr.flush()


class Table(Blank):
    """A table that is drawn anew with each measurement."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._phase = ""
        self._notes: list[str] = []
        self._tracks: Sequence[Track] = ()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def phase(self, name: str, now: float) -> None:
        self._phase = name
        self._draw(now)

    def note(self, text: str, now: float) -> None:
        self._notes = [*self._notes, f"{now:.0f} s: {text}"][-NOTES:]
        self._draw(now)

    def show(self, tracks: Sequence[Track], now: float) -> None:
        self._tracks = tracks
        self._draw(now)

    def _draw(self, now: float) -> None:
        self._live.update(self._picture(now), refresh=True)

    def _picture(self, now: float) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=f"{self._phase}, {now:.0f} s", title_justify="left", box=None)
        table.add_column("node")
        table.add_column("knows")
        rounds = any(track.round is not None for track in self._tracks)
        for heading in ("peers", "round" if rounds else "cycles"):
            table.add_column(heading, justify="right")
        if rounds:
            table.add_column("role")
        for heading in ("merged", "sent", "received", "alone", "now"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for track in self._tracks:
            counters = track.counters
            down = track.state == "killed"
            table.add_row(
                track.name,
                " ".join(map(str, track.classes)),
                "killed" if down else str(track.peers),
                *((_count(track.round), track.role) if rounds else (str(counters["cycles"]),)),
                str(counters["merged"]),
                _kilobytes(counters["bytes_out"]),
                _kilobytes(counters["bytes_in"]),
                _accuracy(track.alone),
                _accuracy(track.now),
                Text("█" * round(BAR * (track.now or 0.0)), style="dim" if down else "cyan"),
                style="dim" if down else "",
            )
        return Group(table, *(Text(note, style="yellow") for note in self._notes))


def _round_of(tracks: Sequence[Track]) -> str:
    rounds = [track.round for track in tracks if track.round is not None]
    return f", round {max(rounds)}" if rounds else ""


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _accuracy(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.0f} kB"
