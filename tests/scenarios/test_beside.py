"""A run in a process of its own: what comes back from it, and that nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from multiprocessing import active_children

import psutil
import pytest

from gossipd.errors import ExitCode, OperatorError
from gossipd_scenarios import library
from gossipd_scenarios.beside import beside

DEADLINE = 10.0
"""Seconds after which nothing of a run may be left, however it ended."""
ENGINE = """
import time
from functools import partial
from gossipd_scenarios.beside import beside
if __name__ == "__main__":
    with beside(partial(time.sleep, 600)):
        print("runs", flush=True)
        time.sleep(600)
"""


def test_it_runs_elsewhere_and_its_result_comes_back() -> None:
    with beside(os.getpid) as result:
        there = result()
    assert there != os.getpid()
    assert not psutil.pid_exists(there)


def test_an_operators_error_arrives_as_it_was_raised() -> None:
    unknown = partial(library.find, "no-such-scenario")
    with beside(unknown) as result, pytest.raises(OperatorError) as here:
        result()
    with pytest.raises(OperatorError) as expected:
        unknown()
    assert here.value.message == expected.value.message
    assert here.value.hint == expected.value.hint
    assert isinstance(here.value.exit_code, ExitCode)


def test_who_ends_without_a_result_is_named() -> None:
    with beside(partial(os._exit, 3)) as result, pytest.raises(RuntimeError, match="ended with 3"):
        result()


def test_it_ends_with_who_does_not_wait_for_it() -> None:
    with beside(partial(time.sleep, 600)):
        (child,) = active_children()
    assert not child.is_alive()


def test_it_ends_with_an_engine_that_is_killed(tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(tmp_path, "engine.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write(ENGINE)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline()
        family = psutil.Process(engine.pid).children(recursive=True)
        assert family
        os.kill(engine.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=DEADLINE)
    assert alive == []
