"""The clock of a fleet's daemon: the machine's, but its wall clock can be put forward or back.

The offset lies in a file that daemon and engine share (`Member.set_clock`): it can change any time.
The monotonic clock is left alone, as it is on a machine whose date is set.
"""

import mmap
from pathlib import Path

from gossipd.daemon import SystemClock
from gossipd_scenarios.member import OFFSET


class ShiftedClock(SystemClock):
    """Looks at its offset each time it is asked."""

    def __init__(self, path: Path) -> None:
        """`path` exists."""
        with path.open("rb") as file:
            self._shared = mmap.mmap(file.fileno(), OFFSET.size, prot=mmap.PROT_READ)

    def wall(self) -> float:
        (offset,) = OFFSET.unpack(self._shared)
        return super().wall() + float(offset)
