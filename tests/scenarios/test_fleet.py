"""Real daemons: they come up, are killed and come back; whoever ends first, nothing is left."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from gossipd.errors import OperatorError
from gossipd_scenarios.fleet import Fleet, FleetError
from support.fleet import left_of, running_fleet, short_directory

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGINE = """
import asyncio, sys
from pathlib import Path
from gossipd_scenarios.fleet import Fleet

async def main():
    async with Fleet(Path(sys.argv[1])) as fleet:
        members = await asyncio.gather(*(fleet.start(f"n{i}") for i in range(3)))
        print(fleet.parent_pid, *(member.pid for member in members), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet() -> AsyncIterator[Fleet]:
    async with running_fleet() as fleet:
        yield fleet


async def test_the_parent_has_one_thread_when_it_begins_to_fork(fleet: Fleet) -> None:
    assert fleet.parent_threads == 1


async def test_a_killed_daemon_comes_back_as_who_it_was(fleet: Fleet) -> None:
    ann = await fleet.start("ann")
    others = {"network.peers": ann.addresses}
    ben, cem = await asyncio.gather(fleet.start("ben", others), fleet.start("cem", others))
    assert len({ann.peer_id, ben.peer_id, cem.peer_id}) == 3
    before = await ben.until(
        lambda s: s["updates"]["merged"] > 1 and s["network"]["connected"] > 0, 30, "merges"
    )

    await ben.kill()
    assert ben.returncode == -signal.SIGKILL
    assert not ben.running
    assert not ben.died
    assert len((await ann.status())["peer_id"]) > 0

    peer_id = ben.peer_id
    await fleet.restart(ben)
    assert ben.peer_id == peer_id
    assert (await ben.status())["training"]["steps"] >= before["training"]["steps"]
    assert before["models"]["head"]["hash"] in {row["hash"] for row in await ben.models()}
    await ben.until(lambda s: s["network"]["connected"] > 0, 30, "a connection")

    for member in (ann, ben, cem):
        await member.stop()
        assert member.returncode == 0
    fleet.check()


async def test_a_suspended_daemon_answers_when_it_is_resumed(fleet: Fleet) -> None:
    member = await fleet.start("dia")
    await member.suspend()
    question = asyncio.create_task(member.status())
    done, _ = await asyncio.wait([question], timeout=0.5)
    assert not done
    await member.resume_process()
    assert (await asyncio.wait_for(question, 10))["peer_id"] == member.peer_id
    await member.stop()


async def test_a_wait_that_is_over_names_whom_it_was_for(fleet: Fleet) -> None:
    member = await fleet.start("eve")
    with pytest.raises(FleetError, match=r"eve: waited 0\.1 s for the moon") as caught:
        await member.until(lambda status: False, 0.1, "the moon")
    assert caught.value.code == "timeout"
    await member.stop()


async def test_settings_that_do_not_hold_are_refused_before_anything_runs(fleet: Fleet) -> None:
    with pytest.raises(OperatorError, match=r"gossip\.nonsense"):
        await fleet.start("fay", {"gossip.nonsense": 1})


async def test_a_daemon_that_cannot_start_says_why(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="gus ended by itself with 5") as caught:
        await fleet.start("gus", {"task.name": "idx", "task.data": "/nowhere"})
    assert "/nowhere" in caught.value.hint
    fleet.check()  # it has been told


async def test_a_daemon_that_dies_unasked_is_noticed(fleet: Fleet) -> None:
    member = await fleet.start("hal")
    assert member.pid is not None
    os.kill(member.pid, signal.SIGSEGV)
    await member.ended(10)
    with pytest.raises(FleetError, match=f"hal ended by itself with -{signal.SIGSEGV:d}") as died:
        fleet.check()
    assert "ready" in died.value.hint  # the end of its log
    with pytest.raises(FleetError, match="hal ended by itself"):
        await member.status()
    await fleet.restart(member)
    fleet.check()
    await member.stop()


@pytest.mark.slow
async def test_nothing_is_left_when_the_block_ends() -> None:
    with short_directory() as directory:
        async with Fleet(directory) as fleet:
            awake, asleep = await asyncio.gather(fleet.start("n1"), fleet.start("n2"))
            await asleep.suspend()
            assert fleet.parent_pid is not None
            pids = [fleet.parent_pid, awake.pid, asleep.pid]
            processes = [psutil.Process(pid) for pid in pids]
        assert left_of(processes, 0.5) == []


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["engine", "parent"])
async def test_nothing_is_left_when_a_process_is_killed(whom: str) -> None:
    with short_directory() as directory:
        engine, daemons = await start_engine(directory)
        parent = daemons[0]
        os.kill(engine.pid if whom == "engine" else parent.pid, signal.SIGKILL)
        assert await asyncio.to_thread(left_of, daemons) == []
        if whom == "parent":
            engine.kill()
        await asyncio.wait_for(engine.wait(), 10)


async def start_engine(
    directory: Path,
) -> tuple[asyncio.subprocess.Process, list[psutil.Process]]:
    """An engine as a process of its own, and its parent and daemons."""
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(directory), stdout=asyncio.subprocess.PIPE
    )
    assert engine.stdout is not None
    line = await asyncio.wait_for(engine.stdout.readline(), 60)
    return engine, [psutil.Process(int(pid)) for pid in line.split()]
