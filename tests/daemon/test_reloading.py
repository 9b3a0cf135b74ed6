"""A running daemon reads its settings again: what is said to hold at once does."""

import asyncio
from typing import Any

import pytest

from gossipd.config import RELOADED, paths_of
from gossipd.configfile import change
from gossipd.control.client import Client
from gossipd.wire.messages import Hello, Refused
from gossipd_scenarios.fleet import Fleet, Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0


async def reloaded(daemon: Member, **settings: str | None) -> dict[str, Any]:
    """What the daemon answers once `section__key` has this value; None: its default."""
    for key, value in settings.items():
        change(paths_of(daemon.home), key.replace("__", "."), value)
    return await asyncio.to_thread(Client(paths_of(daemon.home).socket).reload)


async def test_who_is_blocked_is_sent_away_and_let_in_again(daemon: Member) -> None:
    swarm = bytes.fromhex((await daemon.status())["swarm"])
    async with Outsider("nuisance", swarm) as peer:
        assert isinstance(await peer.meet(daemon.peer_id, daemon.addresses), Hello)
        told = await reloaded(daemon, network__block=peer.id)
        assert told["applied"] == {"network.block": [peer.id]}
        await daemon.until(lambda s: s["network"]["connected"] == 0, SECONDS, "its leave")
        await asyncio.wait_for(peer.parted.wait(), SECONDS)
        refused = await peer.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(refused, Refused)
        assert refused.code == "not-allowed"
        # Whoever is named as a friend as well is blocked all the same.
        await reloaded(daemon, network__allow=peer.id)
        assert isinstance(await peer.meet(daemon.peer_id, daemon.addresses), Refused)
        await reloaded(daemon, network__block=None)
        assert isinstance(await peer.meet(daemon.peer_id, daemon.addresses), Hello)


async def test_the_owner_s_limits_hold_at_once(daemon: Member) -> None:
    await daemon.until(lambda s: s["training"]["cycles"] > 0, SECONDS, "training")
    told = await reloaded(daemon, guest__max_per_day="1", guest__train_when="idle")
    assert told == {"applied": {"guest.max_per_day": 1, "guest.train_when": "idle"}, "restart": []}
    assert (await daemon.status())["guest"]["train_when"] == "idle"


async def test_what_waits_for_a_start_is_named_until_then(fleet: Fleet) -> None:
    daemon = await fleet.start("patient")
    told = await reloaded(daemon, rounds__sample="7", log__level="debug")
    assert told == {"applied": {"log.level": "debug"}, "restart": ["rounds.sample"]}
    assert await reloaded(daemon) == {"applied": {}, "restart": ["rounds.sample"]}
    assert "rounds.sample" not in RELOADED
    await daemon.stop()
    await fleet.restart(daemon)
    assert (await reloaded(daemon))["restart"] == []
    await daemon.stop()
