"""How long things take here: every deadline of the rounds follows from what was measured."""

import statistics
from collections import deque
from collections.abc import Iterable

MEASURED = 64
"""How many of the latest measurements count."""
FIRST_PING_SECONDS = 1.0
"""Before any round trip was measured: a guess."""
PING_SECONDS = (0.25, 5.0)
"""4 x p95 of the round trips, within these. Departure from the paper (5 s, fixed): with 80 of 100
peers dead a sample would take a minute."""
AGGREGATION_SECONDS = (2.0, 300.0)
"""3 x the median time from a round's model to the trained one, within these (paper: 300 s)."""
FIRST_AGGREGATION_SECONDS = 10.0
"""Before anything was trained here: a guess."""
STALL_ROUNDS = 2.0
"""Median rounds in which none was seen: then the swarm counts as stalled. Ours, measured by
benchmarks.blackout: after four, a swarm that lost a whole sample came too late."""
STALL_SECONDS = (0.5, 300.0)
FIRST_STALL_SECONDS = 2.0
"""Before any round was measured: time to meet peers before training alone, a guess."""


def _clamp(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _p95(values: Iterable[float]) -> float:
    ascending = sorted(values)
    return ascending[int(0.95 * len(ascending))]


class Pace:
    """Measures round trips, trainings and rounds."""

    def __init__(self) -> None:
        self._trips: deque[float] = deque(maxlen=MEASURED)
        self._trainings: deque[float] = deque(maxlen=MEASURED)
        self._rounds: deque[float] = deque(maxlen=MEASURED)
        self._at: tuple[int, float] | None = None

    def round_trip(self, seconds: float) -> None:
        self._trips.append(seconds)

    def trained(self, seconds: float) -> None:
        """From hearing of a round's model to having trained it, transfer included."""
        self._trainings.append(seconds)

    def reached(self, round_: int, now: float) -> None:
        """The swarm is known to stand at `round_`."""
        if self._at is not None and round_ > self._at[0]:
            self._rounds.append((now - self._at[1]) / (round_ - self._at[0]))
        if self._at is None or round_ > self._at[0]:
            self._at = (round_, now)

    @property
    def median_round(self) -> float | None:
        return statistics.median(self._rounds) if self._rounds else None

    @property
    def ping_seconds(self) -> float:
        if not self._trips:
            return FIRST_PING_SECONDS
        return _clamp(4.0 * _p95(self._trips), PING_SECONDS)

    @property
    def training_seconds(self) -> float | None:
        return statistics.median(self._trainings) if self._trainings else None

    @property
    def aggregation_seconds(self) -> float:
        if not self._trainings:
            return FIRST_AGGREGATION_SECONDS
        return _clamp(3.0 * statistics.median(self._trainings), AGGREGATION_SECONDS)

    @property
    def stall_seconds(self) -> float:
        if not self._rounds:
            return max(FIRST_STALL_SECONDS, 3.0 * (self.training_seconds or 0.0))
        return _clamp(STALL_ROUNDS * statistics.median(self._rounds), STALL_SECONDS)
