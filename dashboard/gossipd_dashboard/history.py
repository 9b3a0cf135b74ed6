"""What has been seen of one daemon, in a bounded room: events, and its measures over time."""

import math
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

Document = dict[str, Any]

KEPT = 28_800
"""Events and points: eight hours at one per second (benchmarks/dashboard.py)."""
POINT_SECONDS = 1.0
"""Of the looks within it, the first and the latest make points."""
ROLES = ("base", "head", "serving")
METRICS = ("accuracy", "loss", "rmse", "r2")
OTHERS = ("training loss", "bytes in", "bytes out", "connected")
SERIES = (*(f"{role} {metric}" for role in ROLES for metric in METRICS), *OTHERS)
SHOWN = 360
"""Points of a curve on the page: one for every two or three pixels of a wide screen."""


class Events:
    """The newest events, oldest first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept: deque[Document] = deque(maxlen=kept)
        self.added = 0
        """In all: changes whenever there is something new."""
        self.missed = 0
        """Which the daemon had dropped before they were asked for."""

    def add(self, events: Iterable[Document]) -> None:
        for event in events:
            self._kept.append(event)
            self.added += 1

    def __len__(self) -> int:
        return len(self._kept)

    def newest(self, limit: int, kinds: frozenset[str], words: str) -> list[Document]:
        """At most `limit`, newest first: of these kinds (none: of all), with these words."""
        wanted = words.casefold().split()
        found: list[Document] = []
        for event in reversed(self._kept):
            if kinds and event["kind"] not in kinds:
                continue
            if wanted:
                text = " ".join(map(str, event.values())).casefold()
                if not all(word in text for word in wanted):
                    continue
            found.append(event)
            if len(found) == limit:
                break
        return found


class Curves:
    """Measures over time, at most `kept` points of each; what there was no value for is NaN."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._times = array("d")
        self._values = {name: array("d") for name in SERIES}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, now: float, status: Mapping[str, Any]) -> None:
        """A point of what `GET /v1/status` says, at `now` (Unix seconds)."""
        if len(self._times) > 1 and now < self._times[-2] + POINT_SECONDS:
            self._pop()
        self._times.append(now)
        measured = _measures(status)
        for name, values in self._values.items():
            values.append(measured.get(name, math.nan))
        if len(self._times) > self._kept + self._kept // 8:
            cut = len(self._times) - self._kept
            for values in (self._times, *self._values.values()):
                del values[:cut]

    def _pop(self) -> None:
        for values in (self._times, *self._values.values()):
            values.pop()

    def has(self, metric: str) -> bool:
        """Whether any model was measured so lately."""
        return any(
            not math.isnan(self._values[f"{role} {metric}"][-1]) for role in ROLES if self._times
        )

    def curve(
        self, name: str, since: float = 0.0, shown: int = SHOWN
    ) -> list[tuple[float, float | None]]:
        """[(Unix seconds, value)] from `since` on, thinned out to about `shown` points: of each
        stretch its last, so that the newest is always there."""
        times, values = self._times, self._values[name]
        begin = _first_after(times, since)
        stride = max(1, math.ceil((len(times) - begin) / shown))
        places = range(len(times) - 1, begin - 1, -stride)
        return [
            (times[place], None if math.isnan(values[place]) else values[place])
            for place in reversed(places)
        ]


def _first_after(times: "array[float]", since: float) -> int:
    low, high = 0, len(times)
    while low < high:
        middle = (low + high) // 2
        if times[middle] < since:
            low = middle + 1
        else:
            high = middle
    return low


def _measures(status: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float | None] = {
        "training loss": status["training"]["loss"],
        "bytes in": status["network"]["bytes_in"],
        "bytes out": status["network"]["bytes_out"],
        "connected": status["network"]["connected"],
    }
    for role in ROLES:
        model = status["models"][role]
        held_out = {**model.get("held_out", {}), "loss": model["held_out_loss"]}
        held_out["accuracy"] = model["held_out_accuracy"]
        found.update({f"{role} {metric}": held_out.get(metric) for metric in METRICS})
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
