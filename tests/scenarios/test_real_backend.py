"""The real backend, operation by operation, on a handful of daemons; and that nothing is left."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from gossipd_scenarios.backend import Event, NodePlan, Quality, Reading, Setting
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.real.backend import RealBackend
from support.fleet import left_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 40.0
BRISK: dict[str, Setting] = {
    "mode": "gossip",
    "gossip.cycle_seconds": 0.2,
    "gossip.anti_entropy_seconds": 1.0,
    "learning.background": False,
    "network.heartbeat_interval": 0.5,
    "network.heartbeat_timeout": 2.0,
    "task.partition": "classes",
    "task.classes_per_node": 4,
    "task.nodes": 3,
}
ANN, BEN, CEM = "ann", "ben", "cem"

ENGINE = """
import asyncio, sys
from pathlib import Path
import psutil
from gossipd_scenarios.backend import NodePlan
from gossipd_scenarios.real.backend import RealBackend

async def main(backend):
    async with backend:
        await backend.add([NodePlan("ann"), NodePlan("ben", contacts=("ann",))])
        await backend.start(["ann", "ben"])
        await backend.freeze(["ben"])
        print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
        await backend.sleep_until(120.0)

backend = RealBackend(Path(sys.argv[1]), 0)
backend.drive(main(backend))
"""


def short_path() -> Path:
    """A path that is not there, short enough for sockets below it."""
    return Path(tempfile.mkdtemp(prefix="real-", dir="/tmp")) / "run"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RealBackend]:
    """A line: ann - ben - cem."""
    directory = short_path()
    async with RealBackend(directory, 1) as backend:
        await backend.add(
            [
                NodePlan(ANN, {**BRISK, "task.node": 0}, frozenset({BEN})),
                NodePlan(BEN, {**BRISK, "task.node": 1}, frozenset({ANN, CEM}), (ANN,)),
                NodePlan(CEM, {**BRISK, "task.node": 2}, frozenset({BEN}), (BEN,)),
            ]
        )
        await backend.start([ANN, BEN, CEM])
        yield backend
    assert not directory.exists()
    directory.parent.rmdir()


async def reading(world: RealBackend, node: str) -> Reading:
    (found,) = await world.read([node], accuracy=False)
    return found


async def comes(condition: Callable[[], Awaitable[bool]], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def until(world: RealBackend, node: str, holds: Callable[[Reading], bool]) -> Reading:
    async with asyncio.timeout(SECONDS):
        while True:
            now = await reading(world, node)
            if holds(now):
                return now
            await asyncio.sleep(0.1)


async def met(world: RealBackend, **connected: int) -> None:
    for node, number in connected.items():
        await until(world, node, partial(_has, number))


def _has(number: int, now: Reading) -> bool:
    return now.connected == number


async def happens(
    world: RealBackend, holds: Callable[[Event], bool], seen: list[Event] | None = None
) -> Event:
    """Wait for an event; `seen` collects all until then."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = list(await world.events())
            if seen is not None:
                seen += found
            for event in found:
                if holds(event):
                    return event
            await asyncio.sleep(0.1)


async def test_neighbours_meet_and_nobody_else(world: RealBackend) -> None:
    await met(world, ann=1, ben=2, cem=1)
    assert world.running() == {ANN, BEN, CEM}
    found = await world.read([CEM, ANN])
    assert [row.node for row in found] == [CEM, ANN]
    for row in found:
        assert row.accuracy is not None
        assert row.recalls is not None
        assert len(row.recalls) == 10
        assert abs(sum(row.recalls) / 10 - row.accuracy) < 0.1
        assert row.memory is not None
        assert 1e6 < row.memory < 300e6
        await until(world, row.node, lambda now: now.author in now.lineage)
    assert await world.holdings() == {
        node: tuple(counts) for node, counts in (await world.holdings()).items() if counts
    }
    assert len(await world.holdings()) == 3


async def test_a_partition_is_silent_or_resets_and_heals(world: RealBackend) -> None:
    for reset in (True, False):
        await world.partition({ANN: [BEN]}, reset=reset)
        await met(world, ann=0, ben=1, cem=1)
        await world.partition({}, reset=reset)
        await met(world, ann=1, ben=2)


async def test_what_is_killed_comes_back_with_its_counters(world: RealBackend) -> None:
    before = await until(world, CEM, lambda now: now.counters["steps"] > 20)
    await world.kill([CEM])
    assert world.running() == {ANN, BEN}
    assert await world.read([CEM]) == []
    with pytest.raises(ScenarioError):
        await world.kill([CEM])
    await world.start([CEM])
    after = await reading(world, CEM)
    assert after.counters["steps"] >= before.counters["steps"]
    assert after.bytes_in >= before.bytes_in
    seen: list[Event] = []
    await happens(world, lambda e: e.node == CEM and e.kind == "trained", seen)
    mine = [e for e in seen if e.node == CEM]
    ends = [e for e in mine if e.kind in ("ended", "started")]
    assert [e.kind for e in ends] == ["started", "ended", "started"]
    assert ends[1].fields == {"asked": True, "code": -signal.SIGKILL}
    assert any(e.kind == "trained" and e.at < ends[1].at for e in mine), "its last life's events"
    assert [e.at for e in seen] == sorted(e.at for e in seen)
    assert world.faults() == ()


async def test_what_is_wiped_begins_anew_with_its_key(world: RealBackend) -> None:
    before = await reading(world, CEM)
    with pytest.raises(ScenarioError):
        await world.wipe([CEM])
    await world.stop([CEM])
    await world.wipe([CEM])
    await world.start([CEM])
    after = await reading(world, CEM)
    assert after.author != before.author, "another incarnation"
    await met(world, cem=1)


async def test_a_damaged_model_is_survived(world: RealBackend) -> None:
    await until(world, CEM, lambda now: now.counters["steps"] > 0)
    await world.stop([CEM])
    await world.corrupt([CEM], "head", 3)
    await world.start([CEM])
    await met(world, cem=1)
    assert world.faults() == ()


async def test_a_full_disk_is_survived(world: RealBackend) -> None:
    await world.full_disk([CEM], True)
    await until(world, CEM, lambda now: "learning-failed" in now.health)
    await world.full_disk([CEM], False)
    steps = (await reading(world, CEM)).counters["steps"]
    await until(world, CEM, lambda now: now.counters["steps"] > steps)


async def test_who_is_frozen_is_dropped_and_met_again(world: RealBackend) -> None:
    await world.freeze([CEM])
    assert await world.read([CEM, ANN], accuracy=False) != []
    await met(world, ben=1)
    await world.thaw([CEM])
    await met(world, ben=2, cem=1)


async def test_a_wrong_clock_shows_in_what_it_signs(world: RealBackend) -> None:
    await world.set_clock([CEM], 86_400.0)
    member = world._fleet.members[CEM]

    async def is_ahead() -> bool:
        newest = max(row["created"] for row in await member.models())
        return bool(newest > time.time() + 80_000)

    await comes(is_ahead)
    event = await happens(world, lambda e: e.node == CEM and e.kind == "trained")
    assert event.at <= world.now, "the history has the machine's time"
    await world.set_clock([CEM], 0.0)


async def test_a_slow_link_is_slow(world: RealBackend) -> None:
    await world.set_links([ANN], None, Quality(delay=0.3))
    member = world._fleet.members[ANN]

    async def is_slow() -> bool:
        return any((row["round_trip"] or 0.0) >= 0.3 for row in await member.peers())

    await comes(is_slow)
    await world.set_links([ANN], None, Quality())


async def test_a_newcomer_is_allowed_by_those_who_were_to_meet_it(world: RealBackend) -> None:
    await world.add([NodePlan("dia", BRISK, None, (ANN,)), NodePlan("eve", BRISK, None, ("dia",))])
    await world.start(["eve"])
    await world.start(["dia"])
    await met(world, eve=1, dia=1)
    assert (await reading(world, ANN)).refused.get("not-allowed"), "ann was told of ben only"
    await world.kill(["dia", "eve"])


async def test_an_unasked_end_is_a_fault_and_the_others_go_on(world: RealBackend) -> None:
    pid = world._fleet.members[CEM].pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    event = await happens(world, lambda e: e.kind == "ended" and e.node == CEM)
    assert event.fields == {"asked": False, "code": -signal.SIGSEGV}
    (fault,) = world.faults()
    assert (fault.node, fault.what) == (CEM, "ended")
    assert await world.read([ANN], accuracy=False)


@pytest.mark.slow
async def test_nothing_is_left_of_an_engine_that_had_hardly_begun() -> None:
    directory = short_path()
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(directory), stdout=asyncio.subprocess.DEVNULL
    )

    async def is_there() -> bool:
        return (directory / "parent.log").exists()

    async def is_removed() -> bool:
        return not directory.exists()

    await comes(is_there)
    engine.kill()
    await comes(is_removed, 10.0)
    await asyncio.wait_for(engine.wait(), 10)
    directory.parent.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_nothing_is_left_when_the_engine_ends(number: signal.Signals) -> None:
    directory = short_path()
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ENGINE,
        str(directory),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert engine.stdout is not None
    line = await asyncio.wait_for(engine.stdout.readline(), 60)
    others = [psutil.Process(int(pid)) for pid in line.split()]
    assert len(others) == 5, "parent, proxy, judge, two daemons"
    engine.send_signal(number)
    assert await asyncio.to_thread(left_of, others) == []

    async def is_removed() -> bool:
        return not directory.exists()

    await comes(is_removed, 10.0)
    await asyncio.wait_for(engine.wait(), 10)
    directory.parent.rmdir()
