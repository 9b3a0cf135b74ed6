"""A daemon's life: alone, in company, killed, brought back, copied."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from gossipd.errors import ExitCode
from gossipd_scenarios.errors import FleetError
from gossipd_scenarios.fleet import Fleet, Member
from support.command import gossipd_process

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0


def shard(node: int, nodes: int) -> dict[str, Any]:
    return {"task.partition": "iid", "task.nodes": nodes, "task.node": node}


async def trained(daemon: Member, cycles: int) -> dict[str, Any]:
    """Its status once it has trained this many more cycles."""
    return await reached(daemon, (await daemon.status())["training"]["cycles"] + cycles)


async def reached(daemon: Member, cycles: int) -> dict[str, Any]:
    """Its status once it has trained this many cycles in its life."""
    return await daemon.until(
        lambda s: bool(s["training"]["cycles"] >= cycles), SECONDS, f"cycle {cycles}"
    )


async def test_a_daemon_without_peers_trains_on_and_meets_them_when_they_come(
    fleet: Fleet,
) -> None:
    alone = await fleet.start("hermit", shard(0, 2))
    status = await trained(alone, 5)
    assert status["network"]["connected"] == status["network"]["known"] == 0
    other = await fleet.start("visitor", {**shard(1, 2), "network.peers": alone.addresses})
    for daemon in (alone, other):
        await daemon.until(
            lambda s: bool(s["updates"]["merged"] + s["updates"]["adopted"]), SECONDS, "a merge"
        )
    await other.stop()
    await alone.until(lambda s: s["network"]["connected"] == 0, SECONDS, "the loss to be noticed")
    lost = [e for e in (await alone.events())["events"] if e["kind"] == "peer-lost"]
    assert [e["reason"] for e in lost] == ["goodbye"]
    await trained(alone, 3)
    # It went away and comes back: both know where to find the other.
    await fleet.start("visitor", {**shard(1, 2), "network.peers": alone.addresses})
    await alone.until(lambda s: s["network"]["connected"] == 1, SECONDS, "the visitor's return")
    await other.stop()
    await alone.stop()


async def test_killed_in_the_middle_it_resumes_what_it_had_committed(fleet: Fleet) -> None:
    first = await fleet.start("first", shard(0, 3))
    others = [
        await fleet.start(name, {**shard(n, 3), "network.peers": first.addresses})
        for n, name in ((1, "second"), (2, "third"))
    ]
    await first.until(lambda s: bool(s["updates"]["merged"] > 3), SECONDS, "merges")
    for _ in range(3):
        await trained(first, 2)
        await first.pause()
        before = await settled(first)
        serving = await first.evaluate()
        await first.kill()
        cycles = [(await other.status())["training"]["cycles"] for other in others]
        after = await (await fleet.restart(first)).status()
        assert after["peer_id"] == before["peer_id"]
        assert after["training"]["steps"] >= before["training"]["steps"]
        # It trains on at once, so what it stood on is looked up, and it has not become worse.
        assert serving["hash"] in {model["hash"] for model in await first.models()}
        assert (await first.evaluate())["accuracy"] >= serving["accuracy"] - 0.02
        resumed = await trained(first, 1)
        assert resumed["training"]["steps"] > before["training"]["steps"]
        for other, done in zip(others, cycles, strict=True):
            await reached(other, done + 3)
    for daemon in (first, *others):
        assert (await daemon.status())["errors"] == {}
        await daemon.stop()


async def settled(daemon: Member) -> dict[str, Any]:
    """Its status once pausing has taken effect: two looks in a row see the same steps."""
    steps = -1

    def same(status: dict[str, Any]) -> bool:
        nonlocal steps
        before, steps = steps, status["training"]["steps"]
        return bool(before == steps)

    return await daemon.until(same, SECONDS, "training to stand still")


async def test_paused_and_alone_it_costs_next_to_nothing(fleet: Fleet) -> None:
    daemon = await fleet.start("idle", {"gossip.cycle_seconds": 0.5})
    await trained(daemon, 1)
    await daemon.pause()
    await settled(daemon)
    process = psutil.Process(daemon.pid)
    before = process.cpu_times()
    # Seconds of idleness are what is measured here; there is nothing to wait for.
    await asyncio.sleep(5.0)
    after = process.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    assert used / 5.0 < 0.02
    await daemon.stop()


async def test_a_copied_home_is_noticed_and_stops_publishing(fleet: Fleet) -> None:
    witness = await fleet.start("witness", shard(0, 2))
    original = await fleet.start("original", {**shard(1, 2), "network.peers": witness.addresses})
    await trained(original, 2)
    await original.stop()
    shutil.copytree(original.home, fleet.directory / "copy")
    await fleet.start("original", {**shard(1, 2), "network.peers": witness.addresses})
    await trained(original, 4)
    await witness.until(
        lambda s: bool(s["updates"]["merged"] + s["updates"]["adopted"]), SECONDS, "a merge"
    )
    await original.stop()
    copy = await fleet.start("copy", {**shard(1, 2), "network.peers": witness.addresses})
    assert copy.peer_id == original.peer_id
    status = await copy.until(
        lambda s: any(w["code"] == "identity-in-use" for w in s["health"]),
        SECONDS,
        "the copy to notice that its key is used twice",
    )
    warning = next(w for w in status["health"] if w["code"] == "identity-in-use")
    assert warning["fix"]
    await copy.stop()
    await witness.stop()


async def authors(daemon: Member, count: int) -> None:
    """Wait until so many have taught one of its models."""
    async with asyncio.timeout(SECONDS):
        while all(len(model["lineage"]) < count for model in await daemon.models()):
            await trained(daemon, 1)


async def test_after_a_power_cut_what_was_learnt_from_the_dead_is_passed_on(fleet: Fleet) -> None:
    teacher = await fleet.start("teacher", shard(0, 3))
    pupil = await fleet.start("pupil", {**shard(1, 3), "network.peers": teacher.addresses})
    await authors(pupil, 2)
    await pupil.kill()
    await teacher.kill()
    # The teacher never returns; that its steps are real, only the pupil can tell.
    await fleet.start("pupil", shard(1, 3))
    late = await fleet.start("late", {**shard(2, 3), "network.peers": pupil.addresses})
    await authors(late, 3)
    # A difference against what is not held, at a first meeting, is asked for again, whole.
    assert (await late.status())["refused"].keys() <= {"unheld-lineage"}
    await late.stop()
    await pupil.stop()


async def test_a_damaged_model_file_is_set_aside_and_the_daemon_begins_again(
    fleet: Fleet,
) -> None:
    daemon = await fleet.start("damaged")
    await trained(daemon, 2)
    await daemon.stop()
    for path in (daemon.home / "models").iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    await fleet.start("damaged")
    status = await trained(daemon, 1)
    assert status["errors"] == {}
    await daemon.stop()


async def test_any_model_that_is_kept_can_be_exported(fleet: Fleet, tmp_path: Path) -> None:
    daemon = await fleet.start("exporter")
    await trained(daemon, 2)
    rows = {row["hash"] for row in await daemon.models()}
    exported = await daemon.export(min(rows)[:16], tmp_path / "model.safetensors")
    assert exported["hash"] == min(rows)
    assert (tmp_path / "model.safetensors").stat().st_size == exported["size"]
    with pytest.raises(FleetError, match="no models here begin with"):
        await daemon.export("0" * 64, tmp_path / "none.safetensors")
    await daemon.stop()


async def test_daemons_that_learn_in_different_ways_tell_each_other_so(fleet: Fleet) -> None:
    one = await fleet.start("in-rounds", {"mode": "rounds"})
    other = await fleet.start("gossiping", {"mode": "gossip", "network.peers": one.addresses})
    for daemon in (one, other):
        status = await daemon.until(
            lambda s: bool(s["refused"].get("wrong-mode")), SECONDS, "the refusal"
        )
        assert status["network"]["connected"] == 0
    (row,) = await other.peers()
    assert "mode gossip meets rounds" in row["last_error"]
    await one.stop()
    await other.stop()


async def test_a_home_does_not_take_what_it_has_learnt_into_another_swarm(fleet: Fleet) -> None:
    daemon = await fleet.start("wanderer", {"swarm.id": "ab" * 32})
    await trained(daemon, 2)
    await daemon.stop()
    before = sorted(path.name for path in (daemon.home / "models").iterdir())
    outcome = await asyncio.to_thread(
        gossipd_process,
        *("start", "--swarm", "cd" * 32, "--no-mdns", "--listen", "127.0.0.1"),
        *("--format", "json"),
        home=daemon.home,
    )
    assert outcome.code == ExitCode.CONFIG
    assert outcome.document["error"]["code"] == "another-swarm"
    assert "move state.db" in outcome.document["error"]["hint"]
    assert sorted(path.name for path in (daemon.home / "models").iterdir()) == before
