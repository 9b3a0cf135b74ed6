"""Fleets of real daemons for tests, and seeing that nothing of them is left."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import psutil

from gossipd_scenarios.fleet import LOOPBACK, Fleet, Setting

GONE_SECONDS = 10.0

BRISK: dict[str, Setting] = {
    **LOOPBACK,
    "gossip.cycle_seconds": 0.1,
    "gossip.anti_entropy_seconds": 1.0,
    "learning.background": False,
    "network.progress_timeout": 3.0,
}
"""Daemons that do in seconds what they otherwise do in a minute."""


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a unix socket; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.asynccontextmanager
async def running_fleet(settings: dict[str, Setting] = BRISK) -> AsyncIterator[Fleet]:
    """A fleet without members, in a directory of its own. Loading takes seconds: share it."""
    with short_directory() as directory:
        async with Fleet(directory, settings) as fleet:
            yield fleet


def left_of(processes: Iterable[psutil.Process], seconds: float = GONE_SECONDS) -> list[str]:
    """Those of the processes that still run after `seconds`, which are then killed."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    for process in alive:
        process.kill()
    return [str(process) for process in alive]
