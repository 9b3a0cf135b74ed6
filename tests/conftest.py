"""What every test is held to: no exception gets lost, and nothing is left running."""

import gc
import inspect
import logging
import os
import threading
from collections.abc import Iterator

# Before anything imports torch or numpy: several test workers share the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import pytest

GRACE = 5.0  # seconds that a process or thread which is on its way out may take


class Collector(logging.Handler):
    """Keeps the errors that event loops report: there is no caller who could be told."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.errors: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(self.format(record))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: at the end one worker would be left with them, and the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def loop_errors(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Fails a test in whose time an event loop, on any thread, had an exception without an owner.

    That is what asyncio's default exception handler logs ("Task exception was never retrieved",
    "Exception in callback"). A test that provokes one on purpose takes this fixture and clears it.
    """
    collector = Collector()
    logger = logging.getLogger("asyncio")
    logger.addHandler(collector)
    yield collector.errors
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        # A failed task is reported when it is collected, and it may hang in a reference cycle.
        gc.collect()
    logger.removeHandler(collector)
    if collector.errors:
        pytest.fail("the event loop reported:\n" + "\n".join(collector.errors), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fails the run if a child process or a thread that would keep Python alive outlives it.

    Set up before all other fixtures of the session, so torn down after them. Under pytest-xdist
    each worker watches itself.
    """
    threads_before = set(threading.enumerate())
    yield
    children = psutil.Process().children(recursive=True)
    ours = [process for process in children if not is_pythons_own(process)]
    _, processes = psutil.wait_procs(ours, timeout=GRACE)
    threads = [
        thread
        for thread in threading.enumerate()
        if thread not in threads_before and not thread.daemon
    ]
    for thread in threads:
        thread.join(GRACE)
    left = [f"process {process}" for process in processes]
    left += [f"thread {thread.name}" for thread in threads if thread.is_alive()]
    for process in processes:
        process.kill()
    if left:
        pytest.fail("left running: " + ", ".join(left), pytrace=False)


def is_pythons_own(process: psutil.Process) -> bool:
    """What `multiprocessing` starts once, with its first process, to end when this one does."""
    try:
        return "multiprocessing.resource_tracker" in " ".join(process.cmdline())
    except psutil.Error:
        return False
