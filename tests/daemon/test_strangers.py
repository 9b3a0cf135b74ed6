"""Strangers who connect and go leave nothing behind in a daemon."""

import asyncio
import itertools
import socket

import psutil
import pytest

from gossipd_scenarios.fleet import Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
STRANGERS = 12
BARE = 60
CONNECTIONS = (
    "Bridge._waiting",
    "GuardedSwarm._arrivals",
    "GuardedSwarm.connections",
    "Host._dialling",
    "Links._all",
    "Links._kept",
    "PeerStore.peer_data_map",
)
numbers = itertools.count()


async def test_who_comes_and_goes_leaves_no_task_socket_or_entry(daemon: Member) -> None:
    await knock(daemon)  # what is made at the first connection stays
    process = psutil.Process(daemon.pid)
    before = await daemon.inside()
    descriptors = process.num_fds()
    await knock(daemon)
    async with asyncio.timeout(SECONDS):
        while True:
            after = await daemon.inside()
            gone = after["network_tasks"] <= before["network_tasks"]
            if gone and process.num_fds() <= descriptors:
                break
    for name in CONNECTIONS:
        assert after["tables"][name] <= before["tables"][name], name


async def knock(daemon: Member) -> None:
    for _ in range(BARE):
        with socket.create_connection(("127.0.0.1", daemon.port), SECONDS) as door:
            door.sendall(b"hello?")
    for _ in range(STRANGERS):
        async with Outsider(f"stranger{next(numbers)}", bytes(32)) as outsider:
            await outsider.meet(daemon.peer_id, daemon.addresses)


async def test_the_census_finds_the_tables_of_every_room(daemon: Member) -> None:
    tables = (await daemon.inside())["tables"]
    expected = {
        "Roster.table",
        "Links._kept",
        "GuardedSwarm.connections",
        "DiskStore._recent_bodies",
    }
    assert expected <= tables.keys()
