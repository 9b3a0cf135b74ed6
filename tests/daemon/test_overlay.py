"""`network.allow` and `network.announce` on running daemons, through their ports."""

import itertools
import socket

import pytest

from gossipd.wire.messages import Goodbye, Hello, Ping, Refused, Request
from gossipd_scenarios.fleet import Fleet, FleetError, Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
_names = (f"overlay{number}" for number in itertools.count())


async def outsider(daemon: Member, name: str) -> Outsider:
    return Outsider(name, bytes.fromhex((await daemon.status())["swarm"]))


async def test_somebody_else_is_refused_unread_and_told_why(fleet: Fleet, daemon: Member) -> None:
    async with await outsider(daemon, "uninvited") as stranger:
        friend = (await fleet.start(next(_names))).peer_id
        await daemon.restrict([friend])
        answer = await stranger.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(answer, Refused)
        assert answer.code == "not-allowed"
        for message in (Ping(), stranger.hello(), Goodbye(reason="")):
            request: Request = message
            assert await stranger.ask(daemon.peer_id, request) == answer
        assert await stranger.ask_raw(daemon.peer_id, b"\xff garbage") == answer, "nobody reads it"
        status = await daemon.status()
        assert status["network"]["allow"] == [friend]
        assert status["network"]["connected"] == 0
        assert status["refused"] == {"not-allowed": 1}

        await daemon.restrict([stranger.id])
        assert isinstance(await stranger.ask(daemon.peer_id, stranger.hello()), Hello)


async def test_an_overlay_decides_who_meets_whom(fleet: Fleet) -> None:
    ann, ben, cleo = [await fleet.start(next(_names)) for _ in range(3)]
    await ann.restrict([ben.peer_id])
    await ben.restrict([ann.peer_id, cleo.peer_id])
    await cleo.restrict([ben.peer_id])
    for member in (ann, cleo):
        await member.add_peer(ben.addresses[0])
    await ben.until(lambda now: now["network"]["connected"] == 2, SECONDS, "its two neighbours")
    await ann.until(lambda now: now["network"]["known"] == 2, SECONDS, "to hear of cleo from ben")
    assert {row["peer_id"]: row["state"] for row in await ann.peers()} == {
        ben.peer_id: "connected",
        cleo.peer_id: "known",
    }

    await cleo.restrict([ann.peer_id])
    await ann.restrict([cleo.peer_id])
    await ann.until(
        lambda now: now["network"]["connected"] == 1 and not now["refused"].get("no-hello"),
        SECONDS,
        "its new neighbour, dialled at the address that ben had told",
    )
    await ben.until(lambda now: now["network"]["connected"] == 0, SECONDS, "to be left alone")


async def test_an_overlay_of_no_peer_ids_is_refused(daemon: Member) -> None:
    with pytest.raises(FleetError) as refused:
        await daemon.restrict(["ann"])
    assert refused.value.code == "bad-peer-id"
    assert (await daemon.status())["network"]["allow"] == []


async def test_others_are_told_the_announced_address(fleet: Fleet) -> None:
    ann = await fleet.start(next(_names), {"network.announce": ["/ip4/192.0.2.7/tcp/4001"]})
    ben = await fleet.start(next(_names), {"network.announce": ["none"]})
    assert ann.addresses == (f"/ip4/192.0.2.7/tcp/4001/p2p/{ann.peer_id}",)
    assert ben.addresses == ()
    await ben.add_peer(f"/ip4/127.0.0.1/tcp/{ann.port}/p2p/{ann.peer_id}")
    await ben.until(lambda now: now["network"]["connected"] == 1, SECONDS, "ann")
    (row,) = await ann.peers()
    assert row["peer_id"] == ben.peer_id
    port = ben.port
    await fleet.restart(ben)
    assert ben.port == port, "it is remembered, whatever is announced"
    await ben.until(lambda now: now["network"]["connected"] == 1, SECONDS, "ann again")


async def test_a_remembered_port_that_is_taken_is_given_up(fleet: Fleet) -> None:
    ann = await fleet.start(next(_names))
    port = ann.port
    await ann.stop()
    with socket.create_server(("127.0.0.1", port)):
        await fleet.restart(ann)
        assert ann.port not in (0, port)
    with pytest.raises(FleetError, match="port-in-use"):
        await fleet.start(next(_names), {"network.port": ann.port})


async def test_a_blocked_peer_is_let_go_of_refused_unread_and_comes_again(
    fleet: Fleet, daemon: Member
) -> None:
    friend = await fleet.start(next(_names), {"network.peers": daemon.addresses})
    await daemon.until(lambda now: now["network"]["connected"] == 1, SECONDS, "a friend")
    async with await outsider(daemon, "nuisance") as stranger:
        hello = await stranger.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(hello, Hello)
        await daemon.block(stranger.id)
        answer = await stranger.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(answer, Refused)
        assert answer.code == "not-allowed"
        status = await daemon.status()
        assert status["network"]["block"] == [stranger.id]
        assert status["network"]["connected"] == 1, "the friend stays"

        await daemon.restrict([stranger.id, friend.peer_id])
        answer = await stranger.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(answer, Refused), "blocked, even if allowed"
        await daemon.restrict([])

        await daemon.unblock(stranger.id)
        assert isinstance(await stranger.meet(daemon.peer_id, daemon.addresses), Hello)
