"""A good guest on somebody's machine: when to train, and how much to send and receive in a day.

It looks at the power supply, the load that others make and the traffic, and says in words why the
daemon does not train, or talks to nobody. `upkeep` does what it says. Where nothing can be read, as
on a machine without a battery, nothing keeps it from training.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gossipd.settings import GuestConfig
from gossipd.storage.atomic import replace

POWER_SUPPLIES = Path("/sys/class/power_supply")
"""Linux's; elsewhere there is none, and the machine counts as plugged in."""
IDLE_LOAD = 0.25
"""Share of all processors that others may use while the machine counts as idle; a guess: a video
takes more, a mail program less."""
IDLE_SECONDS = 60.0
"""How long it must have been so; a guess."""
DAY = 86_400.0

BY_OPERATOR = "paused by the operator"


class Power(NamedTuple):
    plugged: bool
    level: float | None
    """Of the fullest battery that runs the machine, 0 to 1; None: it has none."""


def power(root: Path = POWER_SUPPLIES) -> Power:
    """What runs this machine. Batteries of mice and keyboards do not count."""
    mains, levels, charging = list[bool](), list[float](), False
    for supply in sorted(root.iterdir()) if root.is_dir() else ():
        kind = _word(supply / "type")
        if kind == "Battery" and _word(supply / "scope") != "Device":
            text = _word(supply / "capacity")
            if text.isdigit():
                levels.append(min(int(text), 100) / 100)
                charging |= _word(supply / "status") in ("Charging", "Full", "Not charging")
        elif kind in ("Mains", "USB") and (online := _word(supply / "online")):
            mains.append(online == "1")
    level = max(levels, default=None)
    return Power(level is None or any(mains) or (charging and not mains), level)


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


class Load:
    """How busy others keep the processors, between two looks."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._before: tuple[float, float, float] | None = None

    def __call__(self) -> float:
        """Share of all processors' time, 0 to 1, without this process; 0 where it is not told."""
        try:
            ticks = [float(word) for word in self._stat.read_text().splitlines()[0].split()[1:9]]
        except (OSError, ValueError, IndexError):
            return 0.0
        # user, nice, system, idle, iowait, irq, softirq, steal
        total, busy = sum(ticks), sum(ticks) - ticks[3] - ticks[4]
        times = os.times()
        own = (times.user + times.system) * os.sysconf("SC_CLK_TCK")
        before, self._before = self._before, (total, busy, own)
        if before is None or total <= before[0]:
            return 0.0
        others = (busy - before[1]) - (own - before[2])
        return min(max(others / (total - before[0]), 0.0), 1.0)


class Guest:
    """Why not to train just now."""

    def __init__(
        self,
        settings: GuestConfig,
        read_power: Callable[[], Power] = power,
        load: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self.by_operator = False
        self.power = Power(True, None)
        self.reason: str | None = None
        """Its own; the operator's comes before it."""
        self._read_power = read_power
        self._load = load or Load()
        self._busy_at: float | None = None

    @property
    def why(self) -> str | None:
        """Why nothing is trained; None: training is on."""
        return BY_OPERATOR if self.by_operator else self.reason

    def look(self, now: float) -> str | None:
        """Look again, at `now` seconds of a clock that never goes back; `why`."""
        self.power = self._read_power()
        self.reason = self._of_power() or self._of_load(now)
        return self.why

    def _of_power(self) -> str | None:
        plugged, level = self.power
        if plugged:
            return None
        if self.settings.train_when == "plugged":
            return "on battery, and guest.train_when is plugged"
        if level is not None and level < self.settings.min_battery:
            return f"on battery at {level:.0%}, below {self.settings.min_battery:.0%}"
        return None

    def _of_load(self, now: float) -> str | None:
        others = self._load()
        if self.settings.train_when != "idle":
            return None
        if others > IDLE_LOAD or self._busy_at is None:
            self._busy_at = now
        if now - self._busy_at < IDLE_SECONDS:
            return f"others use this machine, and guest.train_when is idle ({others:.0%} busy)"
        return None


class Day:
    """Bytes of this day (UTC), in both directions, counted on across restarts."""

    def __init__(self, path: Path, most: int) -> None:
        """`most` bytes; 0: no limit, and nothing is written down."""
        self.most = most
        self.bytes = 0
        self._path = path
        self._day = -1
        self._seen = 0
        self._saved = -1
        if most:
            self._restore()

    def look(self, total: int, wall: float) -> str | None:
        """`total`: the transport's bytes since its start. Why to talk to nobody until midnight."""
        day = int(wall // DAY)
        if day > self._day:  # a calendar that is set back does not give a second allowance
            self._day, self.bytes = day, 0
        self.bytes += max(total - self._seen, 0)
        self._seen = total
        if not self.most:
            return None
        if self.bytes != self._saved:
            self._saved = self.bytes
            replace(self._path, json.dumps({"day": self._day, "bytes": self.bytes}).encode())
        if self.bytes < self.most:
            return None
        return (
            f"{self.bytes / 1e6:,.0f} of {self.most / 1e6:,.0f} MB are used up until midnight UTC"
        )

    def _restore(self) -> None:
        try:
            said = json.loads(self._path.read_text())
            self._day, self.bytes = int(said["day"]), int(said["bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # the first day, or a damaged file: it begins anew


class Sleep:
    """Whether the machine has slept: its calendar went on, and its other clock did not."""

    JUMP_SECONDS = 20.0
    """More than a calendar is corrected by at once as a rule, and longer than heartbeats wait; a
    calendar that is set by hand looks alike, and costs one redial."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._before: tuple[float, float] | None = None

    def look(self, wall: float) -> float:
        """Seconds that were slept since the last look; 0.0: none."""
        now = self._monotonic()
        before, self._before = self._before, (wall, now)
        if before is None:
            return 0.0
        jumped = (wall - before[0]) - (now - before[1])
        return jumped if jumped > self.JUMP_SECONDS else 0.0
