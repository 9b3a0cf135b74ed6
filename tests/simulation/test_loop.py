"""Virtual time: it jumps, it is fair, and a killed process is silent at once."""

import asyncio
import gc
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from gossipd.simulation.clock import EPOCH, SimClock
from gossipd.simulation.loop import DeadlockError, Process, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_hours_pass_in_no_time(loop: VirtualLoop) -> None:
    async def sleep() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert loop.run_until_complete(sleep()) == 3600
    assert time.monotonic() - started < 1


def test_time_passes_as_far_as_it_is_let(loop: VirtualLoop) -> None:
    heard: list[float] = []
    for moment in (1.0, 2.0, 2.5):
        loop.call_at(moment, lambda: heard.append(loop.now))
    loop.advance(2.0)
    assert (heard, loop.now) == ([1.0, 2.0], 2.0)
    loop.advance(10.0)
    assert (heard, loop.now) == ([1.0, 2.0, 2.5], 12.0)


def test_what_is_due_at_once_runs_in_the_order_of_its_scheduling(loop: VirtualLoop) -> None:
    heard: list[int] = []
    timers = [loop.call_at(1.0, heard.append, number) for number in range(5000)]
    for timer in timers[::2]:
        timer.cancel()
    loop.advance(1.0)
    assert heard == list(range(1, 5000, 2))


def test_a_time_out_ends_a_wait(loop: VirtualLoop) -> None:
    async def wait() -> None:
        async with asyncio.timeout(5):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        loop.run_until_complete(wait())
    assert loop.now == 5


def test_a_wait_that_nothing_can_end_is_an_error_and_no_endless_loop(loop: VirtualLoop) -> None:
    waiting = loop.create_task(asyncio.Event().wait())
    loop.call_later(5.0, lambda: None).cancel()
    with pytest.raises(DeadlockError):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.advance(0)


def test_an_exception_in_a_callback_ends_the_run(loop: VirtualLoop) -> None:
    loop.call_later(1.0, [].pop)
    with pytest.raises(IndexError):
        loop.advance(2.0)


def test_a_task_that_failed_unheard_is_remembered(loop: VirtualLoop) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    loop.call_soon(lambda: loop.create_task(fail()))
    loop.advance(1.0)
    assert [type(error) for error in loop.errors] == [ZeroDivisionError]


def test_there_are_no_threads(loop: VirtualLoop) -> None:
    with pytest.raises(RuntimeError, match="no threads"):
        loop.run_in_executor(None, time.monotonic)
    with pytest.raises(RuntimeError, match="no other threads"):
        loop.call_soon_threadsafe(time.monotonic)


# --- processes -----------------------------------------------------------------------------------


async def tick(heard: list[str], name: str) -> None:
    try:
        while True:
            await asyncio.sleep(1.0)
            heard.append(name)
    finally:
        heard.append(f"{name} ends")


def test_a_killed_process_does_nothing_more(loop: VirtualLoop) -> None:
    heard: list[str] = []
    alice, bob = Process(loop, "alice"), Process(loop, "bob")
    alice.spawn(tick(heard, "alice"))
    bob.spawn(tick(heard, "bob"))
    alice.post(lambda: loop.call_later(5.0, heard.append, "alice's timer"))
    loop.advance(2.0)
    alice.end()
    alice.end()
    alice.post(heard.append, "to alice")
    loop.advance(10.0)
    bob.end()

    assert heard[:5] == ["alice", "bob", "alice", "bob", "alice ends"]
    assert heard[5:] == ["bob"] * 10 + ["bob ends"]
    assert loop.errors == []


def test_a_process_that_ends_itself_unwinds_whatever_catches_exceptions(loop: VirtualLoop) -> None:
    heard: list[str] = []
    process = Process(loop, "p")

    async def inner() -> None:
        try:
            process.exit()
        except Exception:  # noqa: BLE001 - the point of it
            heard.append("caught")

    async def outer() -> None:
        await asyncio.wait_for(inner(), 5.0)
        heard.append("went on")

    process.spawn(outer())
    process.spawn(tick(heard, "other"))
    loop.advance(10.0)
    assert heard == ["other ends"]
    assert not process.alive
    assert loop.errors == []


def test_a_process_has_clocks_of_its_own(loop: VirtualLoop) -> None:
    loop.advance(10.0)
    fast = Process(loop, "fast", rate=2.0, origin=1000.0)
    clock = SimClock(loop, fast, offset=-3600.0)
    assert (clock.now(), clock.wall()) == (1000.0, EPOCH + 10.0 - 3600.0)
    loop.advance(5.0)
    assert (clock.now(), clock.wall()) == (1010.0, EPOCH + 15.0 - 3600.0)


@pytest.mark.parametrize("rate", [1.0, 1.0001, 0.997, 1 / 3])
def test_a_timer_is_never_early_by_its_own_process_clock(loop: VirtualLoop, rate: float) -> None:
    process = Process(loop, "p", rate=rate, origin=86_400.1)
    late: list[float] = []

    async def run() -> None:
        clock = asyncio.get_running_loop()
        for number in range(1, 200):
            due = clock.time() + 0.1 * number
            fired = clock.create_future()
            clock.call_at(due, fired.set_result, None)
            await fired
            late.append(clock.time() - due)

    process.spawn(run())
    loop.advance(10_000.0)
    assert len(late) == 199
    assert min(late) >= 0
    assert max(late) < 1e-9


def test_a_process_that_ends_before_its_tasks_began_leaves_nothing_behind(
    loop: VirtualLoop,
) -> None:
    """What was never awaited would be a warning, and warnings of that kind fail a test."""

    async def outer(inner: Coroutine[Any, Any, None]) -> None:
        await inner

    async def inner() -> None:
        raise AssertionError("it never began")

    process = Process(loop, "p")
    process.spawn(outer(inner()))
    process.end()
    loop.advance(1.0)
    gc.collect()
    assert loop.errors == []


def test_what_waits_outside_of_a_process_outlives_it(loop: VirtualLoop) -> None:
    """Woken by a process that ends at once, it still runs: it is not of that process."""
    process = Process(loop, "p")
    woken = asyncio.Event()

    def wake_and_end() -> None:
        woken.set()
        process.exit()

    loop.call_when(1.0, wake_and_end, context=process.context)
    assert loop.run_until_complete(woken.wait())
    assert not process.alive
