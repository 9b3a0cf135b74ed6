"""The dashboard as somebody sees it: its process, and a page of it in headless Chromium."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 60.0
MILLISECONDS = 20_000
"""A page's patience: machines that test are busy."""


def missing() -> str:
    """Why there is no browser here; empty: there is one."""
    if CHROMIUM is None:
        return "no chromium here: apt-get install chromium"
    if find_spec("playwright") is None:
        return "no playwright here: pip install playwright"
    return "" if find_spec("nicegui") else "no nicegui here: pip install 'gossipd[dashboard]'"


class Dashboard:
    """A running `gossipd dashboard`."""

    def __init__(self, link: str, pid: int) -> None:
        self.link = link
        self.pid = pid
        split = urlsplit(link)
        self.base = f"{split.scheme}://{split.netloc}"


@contextlib.contextmanager
def dashboard(*arguments: str) -> Iterator[Dashboard]:
    """`gossipd dashboard ARGUMENTS`, as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gossipd_cli", "dashboard", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        link = process.stdout.readline().strip()
        assert link, process.stderr.read()
        yield Dashboard(link, process.pid)
    finally:
        process.terminate()
        _, complaint = process.communicate(timeout=START_SECONDS)
    assert "Traceback" not in complaint, complaint
