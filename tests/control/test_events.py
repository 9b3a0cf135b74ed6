"""The event log: numbered, bounded, and waited for."""

import asyncio

from gossipd.control.events import EventLog


def test_events_are_numbered_in_their_order() -> None:
    log = EventLog(wall=lambda: 12.5)
    log.append("connected", peer="a")
    log.append("merged", models=2)

    assert log.since(0).rows == [
        {"seq": 1, "time": 12.5, "kind": "connected", "peer": "a"},
        {"seq": 2, "time": 12.5, "kind": "merged", "models": 2},
    ]
    assert log.last == 2


def test_a_reader_goes_on_where_it_stopped() -> None:
    log = EventLog()
    for _ in range(5):
        log.append("trained")

    first = log.since(0, limit=3)
    rest = log.since(first.next, limit=3)

    assert [row["seq"] for row in first.rows + rest.rows] == [1, 2, 3, 4, 5]
    assert log.since(rest.next) == ([], 5, 0)


def test_a_slow_reader_is_told_what_it_missed() -> None:
    log = EventLog(capacity=3)
    for _ in range(10):
        log.append("trained")

    batch = log.since(4)

    assert [row["seq"] for row in batch.rows] == [8, 9, 10]
    assert batch.missed == 3


def test_the_newest_can_be_asked_for() -> None:
    log = EventLog()
    for _ in range(5):
        log.append("trained")

    batch = log.since(0, limit=2, newest=True)

    assert [row["seq"] for row in batch.rows] == [4, 5]
    assert batch.next == 5


async def test_waiting_ends_with_the_next_event() -> None:
    log = EventLog()
    waiters = [asyncio.create_task(log.wait(0, timeout=30)) for _ in range(3)]
    await asyncio.sleep(0)

    log.append("connected")

    await asyncio.wait_for(asyncio.gather(*waiters), 5)


async def test_nobody_waits_for_what_is_there_already() -> None:
    log = EventLog()
    log.append("connected")
    await asyncio.wait_for(log.wait(0, timeout=30), 5)


async def test_waiting_ends_at_its_deadline() -> None:
    await asyncio.wait_for(EventLog().wait(0, timeout=0.01), 5)


async def test_closing_lets_everybody_go() -> None:
    log = EventLog()
    waiter = asyncio.create_task(log.wait(0, timeout=30))
    await asyncio.sleep(0)

    log.close()

    await asyncio.wait_for(waiter, 5)
    await asyncio.wait_for(log.wait(0, timeout=30), 5)
