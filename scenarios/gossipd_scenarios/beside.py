"""A second simulated run in a process of its own, while the first one uses this process's core.

What it returns comes back through `multiprocessing`: both ends are this program, on this machine.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from gossipd.errors import OperatorError
from gossipd_scenarios.lifeline import die_with

T = TypeVar("T")


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begins `work`, and gives what waits for its result. An operator's error is raised here as it
    was there; of any other the traceback is on stderr. Who leaves without waiting ends the work.

    The process is started afresh: a fork would inherit what the screen's threads hold.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, there, os.getpid()))
    process.start()
    there.close()

    def result() -> T:
        try:
            value, error = here.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"the run beside ended with {process.exitcode}") from None
        if error is not None:
            raise OperatorError(*error)
        done: T = value
        return done

    try:
        yield result
    finally:
        process.kill()
        process.join()
        here.close()


def _run(work: Callable[[], T], answers: Connection, parent: int) -> None:
    die_with(parent)
    # Ctrl-C reaches both; the one that began this ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answers.send((work(), None))
    except OperatorError as error:
        answers.send((None, (error.code, error.message, error.hint, error.exit_code)))
