"""A daemon as a guest: it says why it does not train, rests when its day's bytes are used, and
closes and redials what a sleep has left behind."""

import asyncio
from pathlib import Path

import pytest

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd_scenarios.fleet import Fleet, Setting

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 40.0


async def test_it_says_who_paused_it_and_goes_on(fleet: Fleet) -> None:
    daemon = await fleet.start("paused", {})
    client = Client(paths_of(daemon.home).socket)
    await asyncio.to_thread(client.pause)
    status = await daemon.until(lambda s: s["training"]["paused"], SECONDS, "the pause")
    assert status["training"]["why_not"] == "paused by the operator"
    await asyncio.to_thread(client.resume)
    status = await daemon.until(lambda s: not s["training"]["paused"], SECONDS, "its end")
    assert status["training"]["why_not"] is None
    await daemon.stop()


async def test_who_has_used_its_bytes_talks_to_nobody_until_midnight(fleet: Fleet) -> None:
    host = await fleet.start("host", {})
    home = fleet.directory / "thrifty"
    home.mkdir(mode=0o700)
    settings: dict[str, Setting] = {"network.peers": host.addresses, "guest.max_per_day": 1}
    daemon = await fleet.start("thrifty", settings)
    await daemon.until(lambda s: s["network"]["connected"] == 1, SECONDS, "a peer")
    await daemon.stop()
    spent = (home / "traffic.json").read_text().replace('"bytes": ', '"bytes": 99')
    (home / "traffic.json").write_text(spent)
    await fleet.restart(daemon)
    status = await daemon.until(lambda s: s["guest"]["resting"], SECONDS, "its rest")
    assert "of 1 MB are used up until midnight UTC" in status["guest"]["resting"]
    await daemon.until(lambda s: s["network"]["connected"] == 0, SECONDS, "its silence")
    kinds = [event["kind"] for event in (await daemon.events())["events"]]
    assert "resting" in kinds
    await daemon.stop()
    await host.stop()


async def test_a_rate_holds_for_what_is_given(tmp_path: Path) -> None:
    import time

    from gossipd.network.interface import Handlers
    from gossipd.network.libp2p_transport import Libp2pTransport
    from support.keys import key_from

    def transport(name: str, rate: float) -> Libp2pTransport:
        return Libp2pTransport(
            key_from(name)[0],
            "127.0.0.1",
            0,
            mdns=False,
            max_connections=4,
            heartbeat_interval=5.0,
            heartbeat_timeout=20.0,
            dial_timeout=10.0,
            max_upload=rate,
        )

    body = bytes(range(256)) * 200

    def handlers() -> Handlers:
        async def request(peer: str, payload: bytes) -> bytes:
            return payload

        async def blob(peer: str, key: bytes) -> bytes:
            return body

        def nothing(*said: object) -> None:
            return None

        return Handlers(nothing, nothing, request, blob, nothing, nothing)

    giver, taker = transport("giver", 20_000.0), transport("taker", 0.0)
    await giver.start(handlers())
    await taker.start(handlers())
    try:
        await taker.dial(giver.peer_id, giver.addresses, 10.0)
        buffer = bytearray(len(body))
        begun = time.monotonic()
        await taker.fetch_blob(giver.peer_id, b"k", memoryview(buffer), 0, 20.0)
        assert bytes(buffer) == body
        # The first piece goes at once, the other 35 kB at 20 kB a second.
        assert time.monotonic() - begun > 1.4
    finally:
        await taker.stop()
        await giver.stop()
