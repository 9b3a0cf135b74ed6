"""The watch that tests/conftest.py keeps over all tests: it sees what it is there to see."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.tree import ROOT

# Each test passes by itself; all but one leave something behind. In this order: what outlives the
# run is reported with the last test of it.
CARELESS = """
import asyncio, subprocess, threading, time

async def test_loses_a_tasks_exception():
    async def fails():
        raise ValueError("lost")
    await asyncio.wait([asyncio.create_task(fails())])

async def test_loses_a_callbacks_exception():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

async def test_provokes_an_exception_on_purpose(loop_errors):
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
    assert "division by zero" in loop_errors.pop()

def test_loses_a_threads_exception():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

async def test_forgets_to_await():
    asyncio.sleep(0)

def test_leaves_a_child_and_a_thread():
    subprocess.Popen(["sleep", "60"])
    threading.Thread(target=time.sleep, args=(3,), name="straggler").start()
"""


# test, what is said about it
BLAME = [
    ("test_loses_a_tasks_exception", "Task exception was never retrieved"),
    ("test_loses_a_callbacks_exception", "Exception in callback"),
    ("test_loses_a_threads_exception", "PytestUnhandledThreadExceptionWarning"),
    ("test_forgets_to_await", "was never awaited"),
    ("test_leaves_a_child_and_a_thread", "left running: process"),
    ("test_leaves_a_child_and_a_thread", "thread straggler"),
]


def test_what_would_get_lost_fails_its_test_and_nothing_else_fails(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    conftest = (ROOT / "tests" / "conftest.py").read_text()
    (tests / "conftest.py").write_text(conftest.replace("GRACE = 5.0", "GRACE = 0.2"))
    (tests / "test_careless.py").write_text(CARELESS)

    report = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout

    assert set(re.findall(r"^(?:FAILED|ERROR) .*::(\w+)", report, re.MULTILINE)) == {
        test for test, _ in BLAME
    }, report
    for _, said in BLAME:
        assert said in report
