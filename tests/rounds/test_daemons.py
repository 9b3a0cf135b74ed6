"""Real daemons in `mode = "rounds"`."""

import asyncio

import pytest

from gossipd_scenarios.fleet import Fleet, Member, Setting
from support.fleet import BRISK, running_fleet

ROUNDS = {**BRISK, "mode": "rounds", "rounds.round_seconds": 0.1}
NODES = 3


async def started(fleet: Fleet) -> list[Member]:
    members: list[Member] = []
    for number in range(NODES):
        settings: dict[str, Setting] = {
            "task.partition": "iid",
            "task.nodes": NODES,
            "task.node": number,
        }
        if members:
            addresses = (await members[0].status())["addresses"]
            settings["network.peers"] = (addresses[0],)
        members.append(await fleet.start(f"n{number}", settings))
    return members


async def reach(members: list[Member], more: int) -> None:
    goal = (await members[0].status())["round"]["proven"] + more
    await asyncio.gather(
        *(m.until(lambda s: s["round"]["proven"] >= goal, 60, f"round {goal}") for m in members)
    )


@pytest.mark.timeout(180)
async def test_daemons_make_rounds_lose_an_aggregator_and_take_it_back() -> None:
    async with running_fleet(ROUNDS) as fleet:
        members = await started(fleet)
        await reach(members, 10)
        states = [await m.status() for m in members]
        assert all(not s["errors"] for s in states)
        assert {s["mode"] for s in states} == {"rounds"}
        assert any(s["round"]["sample"] for s in states)

        victim = members[0]
        await victim.until(lambda s: s["round"]["role"] == "aggregator", 30, "its turn")
        await victim.kill()
        await reach(members[1:], 5)

        before = (await members[1].status())["round"]["proven"]
        await fleet.restart(victim)
        await victim.until(lambda s: s["round"]["proven"] >= before, 60, "the round")
        await reach(members, 5)

        # An orderly stop is said to the others, and they do not wait.
        await victim.stop()
        await reach(members[1:], 5)
        accuracy = (await members[1].evaluate())["accuracy"]
        assert accuracy > 0.85
