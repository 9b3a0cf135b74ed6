"""Where the homes of a run's daemons lie.

In memory where the system offers that (Linux's /dev/shm): a hundred daemons that each sync their
files to one disk wait for nothing else, and removing what they leave takes longer than the run.
What a scenario does to daemons is done to processes and files, not to the machine, so memory keeps
what a disk would have kept.
"""

import secrets
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2_000_000_000
"""Free memory from which on it is used: ours, 5 MB for each of 400 daemons."""


def run_directory(*, lasting: bool = False) -> Path:
    """A path of nobody else's, not made yet, and short, since sockets are made below it.

    `lasting`: what lies there is to be looked at later, so it is on disk.
    """
    in_memory = not lasting and _roomy(MEMORY)
    place = MEMORY if in_memory else Path(tempfile.gettempdir())
    return place / f"gossipd-{secrets.token_hex(6)}"


def _roomy(place: Path) -> bool:
    try:
        return shutil.disk_usage(place).free >= ENOUGH_BYTES
    except OSError:
        return False
