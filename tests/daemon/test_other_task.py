"""Who learns something else is told so in words, and so is the operator of either side."""

import pytest

from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Introduction, Refused
from gossipd_scenarios.fleet import Fleet
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0


async def test_another_layout_is_named_on_both_sides(fleet: Fleet) -> None:
    here = await fleet.start("here", {"swarm.id": "ab" * 32})
    async with Outsider("a vintner", bytes.fromhex("ab" * 32)) as vintner:
        answer = await vintner.meet(
            here.peer_id,
            here.addresses,
            layout=digest(b"wines"),
            intro=Introduction(about="wines (493 parameters)"),
        )
        words = "the models differ in shape; wines (493 parameters) meets digits ("
        assert isinstance(answer, Refused)
        assert answer.code == "wrong-layout"
        assert answer.reason.startswith(words)
    told = [e for e in (await here.events())["events"] if e["kind"] == "peer-refused"]
    assert [event["reason"] for event in told] == [answer.reason]
    status = await here.until(
        lambda s: any(row["code"] == "other-task" for row in s["health"]), SECONDS, "a warning"
    )
    (warning,) = [row for row in status["health"] if row["code"] == "other-task"]
    assert vintner.id in warning["text"]

    # The other way round: whom a daemon dials tells it why, and its operator reads that.
    there = await fleet.start(
        "there", {"swarm.id": "ab" * 32, "task.seed": 7, "network.peers": here.addresses}
    )
    refused = await there.until(
        lambda s: bool(s["refused"].get("wrong-genesis")), SECONDS, "to be turned away"
    )
    assert refused["network"]["connected"] == 0
    (peer,) = [row for row in await there.peers() if row["peer_id"] == here.peer_id]
    assert peer["last_error"].startswith("wrong-genesis: the initial models differ; digits (")
    await there.stop()
    await here.stop()
