"""Waiting for what another process does, never without a deadline."""

import time
from collections.abc import Callable

import pytest

LOOK = 0.05
"""Seconds between two looks."""


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return once `condition` holds; fail, naming `what`, when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(LOOK)
