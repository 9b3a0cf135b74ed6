"""The network thread dies: the daemon and its API live on, say so, and it is started again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossipd import daemon
from gossipd.config import load, paths_of
from gossipd.control.client import Client
from gossipd.control.logs import configure
from gossipd.members.identity import load_or_create
from gossipd.network import libp2p_transport
from gossipd.network.libp2p_transport import Libp2pTransport
from support.fleet import BRISK, short_directory

SECONDS = 20.0


async def test_the_daemon_outlives_its_network_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    transports: list[Libp2pTransport] = []

    class Watched(Libp2pTransport):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            transports.append(self)

    monkeypatch.setattr(daemon, "Libp2pTransport", Watched)
    # Long enough to look at the daemon while it has no network.
    monkeypatch.setattr(libp2p_transport, "BACK_OFF_SECONDS", (1.5, 1.5))
    with short_directory() as home:
        await _outlives(home, transports)


async def _outlives(home: Path, transports: list[Libp2pTransport]) -> None:
    home.chmod(0o700)
    config = load(home, {**BRISK, "log.level": "error"})
    paths = paths_of(home)
    identity = load_or_create(paths.identity)
    client = Client(paths.socket)
    running = daemon._daemon(
        config,
        paths,
        identity,
        configure(),
        daemon.SystemClock(),
        asyncio.Event(),
        lambda: config,
    )
    async with running as ready:
        before = await asyncio.to_thread(client.status)
        assert before["network"]["healthy"]
        crash(transports[0])
        down = await _until(client, lambda s: not s["network"]["healthy"])
        assert "restarting" in down["network"]["detail"]
        assert [w["code"] for w in down["health"]] == ["network-down"]
        assert down["training"]["cycles"] >= before["training"]["cycles"]
        up = await _until(client, lambda s: s["network"]["healthy"])
        assert up["network"]["restarts"] == 1
        assert tuple(up["addresses"]) == ready.addresses
        cycles = before["training"]["cycles"]
        await _until(client, lambda s: s["training"]["cycles"] > cycles)


def crash(transport: Libp2pTransport) -> None:
    """Let something break inside the network thread."""

    def fault() -> None:
        raise ZeroDivisionError("on purpose")

    life = transport._life
    assert life is not None
    life.bridge.tell(fault)


async def _until(client: Client, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status that is so, looked at after every event."""
    cursor = 0
    async with asyncio.timeout(SECONDS):
        while True:
            status = await asyncio.to_thread(client.status)
            if holds(status):
                return dict(status)
            heard = await asyncio.to_thread(client.events, cursor, wait=1.0)
            cursor = heard["next"]
