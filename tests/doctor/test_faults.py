"""The doctor names the cause of each of ten staged faults, with the daemon up or down."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import pytest_asyncio

from gossipd.config import paths_of
from gossipd.doctor.machine import Machine
from gossipd.errors import ExitCode
from gossipd.network.interface import Handlers
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.storage.lock import Lock
from gossipd.wire.framing import decode_request, encode_message
from gossipd.wire.messages import Hello, Refused
from gossipd_cli.commands.doctor import report
from support.command import environment, gossipd
from support.keys import key_from
from support.operator import OTHER, PEER, ServedOperator, served


class Bench(Machine):
    """A machine of which a test breaks what cannot be broken for real."""

    def __init__(self, **faults: Any) -> None:
        self._faults = faults

    def wall(self) -> float:
        return float(self._faults.get("wall", super().wall()))

    def free_bytes(self, path: Path) -> int:
        return int(self._faults.get("free", super().free_bytes(path)))

    def multicast(self) -> None:
        if "multicast" in self._faults:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    def connect(self, host: str, port: int) -> None:
        if host in self._faults.get("unreachable", ()):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert gossipd("init", home=tmp_path / "home").code == 0
    return tmp_path / "home"


def causes(home: Path, machine: Machine | None = None) -> dict[str, str]:
    """check -> code, of all that is an error or a warning."""
    with mock.patch.dict(os.environ, environment(home), clear=True):
        found = report(home, machine or Bench())
    return {
        f["check"]: f["code"] for f in found["findings"] if f["verdict"] in ("error", "warning")
    }


def test_nothing_is_wrong_with_a_new_home(home: Path) -> None:
    assert causes(home) == {}
    outcome = gossipd("doctor", "--format", "json", home=home)
    checks = [finding["check"] for finding in outcome.document["data"]["findings"]]
    assert checks[:8] == [
        "key",
        "lock",
        "configuration",
        "port",
        "clock",
        "disk",
        "multicast",
        "version",
    ]


def test_it_finds_the_mode_of_the_key(home: Path) -> None:
    (home / "identity.key").chmod(0o644)
    assert causes(home) == {"key": "identity-permissions"}
    outcome = gossipd("doctor", home=home)
    assert outcome.code == ExitCode.DEGRADED
    assert f"fix: chmod 600 {home / 'identity.key'}" in outcome.out


def test_it_finds_a_home_that_is_locked_by_what_does_not_answer(home: Path) -> None:
    with Lock(home / "lock"):
        assert causes(home) == {"lock": "home-locked"}
        assert f"kill {os.getpid()}" in gossipd("doctor", home=home).out


def test_it_finds_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f'[network]\nlisten = "127.0.0.1"\nport = {port}\n'
        (home / "config.toml").write_text(text)
        assert causes(home) == {"port": "port-taken"}


def test_it_finds_a_port_that_a_firewall_blocks(home: Path) -> None:
    with served(home):  # it announces 192.0.2.7
        assert causes(home, Bench(unreachable={"192.0.2.7"}))["port"] == "port-blocked"


@pytest.mark.parametrize("days", [1, 4000])
def test_it_finds_a_clock_that_is_behind(home: Path, days: int) -> None:
    wall = (home / "identity.key").stat().st_mtime - days * 86_400
    assert causes(home, Bench(wall=wall)) == {"clock": "clock-off"}


def test_it_finds_a_clock_that_is_behind_by_what_peers_have_trained(home: Path) -> None:
    with served(home) as daemon:
        (row,) = daemon.operator.models()
        with mock.patch.object(
            daemon.operator,
            "models",
            return_value=[{**row, "author": OTHER, "created": 4_000_000_000.0}],
        ):
            assert causes(home)["clock"] == "clock-off"


@pytest.mark.parametrize("seconds", [-86_400.0, 7200.0])
def test_it_finds_a_clock_that_differs_from_those_of_peers(home: Path, seconds: float) -> None:
    with served(home) as daemon:
        (row,) = daemon.operator.peers()
        rows = [{**row, "clock": clock} for clock in (seconds, seconds + 5, 0.0, None)]
        with mock.patch.object(daemon.operator, "peers", return_value=rows):
            assert causes(home)["clock"] == "clock-off"
        rows = [{**row, "clock": clock} for clock in (seconds, 1.0, 0.0)]
        with mock.patch.object(daemon.operator, "peers", return_value=rows):
            assert "clock" not in causes(home), "one that is wrong among others is not this one"


def test_it_finds_that_there_is_no_multicast(home: Path) -> None:
    assert causes(home, Bench(multicast=False)) == {"multicast": "no-multicast"}


def test_it_finds_a_full_disk(home: Path) -> None:
    assert causes(home, Bench(free=1_000_000)) == {"disk": "disk-full"}
    assert causes(home, Bench(free=100_000_000)) == {"disk": "disk-low"}


def test_it_finds_an_old_daemon_and_a_state_of_a_newer_one(home: Path) -> None:
    with served(home) as daemon:
        told = {**daemon.operator.status(), "version": "0.0.9"}
        with mock.patch.object(daemon.operator, "status", return_value=told):
            assert causes(home)["version"] == "old-version"
    import sqlite3

    with sqlite3.connect(home / "state.db") as state:
        state.execute("PRAGMA user_version = 999")
    state.close()
    assert causes(home) == {"version": "state-too-new"}


def test_it_finds_a_configuration_that_does_not_hold(home: Path) -> None:
    (home / "config.toml").write_text("[network]\nport = 99999\n")
    assert causes(home) == {"configuration": "bad-config"}


# --- peers, as a running daemon sees them -----------------------------------------------------


@pytest.fixture
def daemon(home: Path) -> Iterator[ServedOperator]:
    with served(home) as daemon:
        yield daemon


def row_of(daemon: ServedOperator, **fields: Any) -> dict[str, Any]:
    (row,) = daemon.operator.peers()
    return {**row, "refused": {}, "state": "backing-off", **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": "connected"}, {}),
        ({"last_error": "foreign-swarm: this is swarm ab"}, {"swarm": "wrong-swarm"}),
        ({"last_error": "not-a-member: this swarm is closed"}, {"swarm": "wrong-swarm"}),
        ({"last_error": "wrong-layout: wines meets digits"}, {"layout": "wrong-task"}),
        ({"refused": {"wrong-layout": 3}}, {"layout": "wrong-task"}),
        ({"last_error": "version: 2 meets 1"}, {"protocol": "old-version"}),
        ({"last_error": "wrong-peer"}, {"handshake": "wrong-peer"}),
        ({"last_error": "dial-timeout"}, {"tcp": "peer-dead"}),
    ],
)
def test_it_says_why_a_peer_is_not_connected(
    daemon: ServedOperator, home: Path, fields: dict[str, Any], expected: dict[str, str]
) -> None:
    rows = [row_of(daemon, **fields)]
    with mock.patch.object(daemon.operator, "peers", return_value=rows):
        found = causes(home, Bench(unreachable={"192.0.2.8"}))
    peers = {"tcp", "handshake", "protocol", "swarm", "layout"}
    assert {check: code for check, code in found.items() if check in peers} == expected


def test_a_peer_that_is_well_takes_one_line(daemon: ServedOperator, home: Path) -> None:
    with mock.patch("gossipd.doctor.machine.Machine.connect"):
        lines = gossipd("doctor", home=home).out.splitlines()
    (line,) = [line for line in lines if "192.0.2.8" in line]
    assert line.split() == [
        "ok",
        "peer",
        "connected",
        "at",
        "/ip4/192.0.2.8/tcp/4001",
        "(…XHTZx9Cv)",
    ]


# --- peers, asked by the doctor itself --------------------------------------------------------


class Peer:
    """A real host that answers every Hello with the same words."""

    def __init__(self, answer: Refused) -> None:
        seed, self.id, _ = key_from("a peer")
        self._said = answer
        self.heard: list[Hello] = []
        self.transport = Libp2pTransport(
            seed,
            "127.0.0.1",
            0,
            mdns=False,
            max_connections=4,
            heartbeat_interval=5.0,
            heartbeat_timeout=20.0,
            dial_timeout=5.0,
        )

    async def __aenter__(self) -> "Peer":
        async def request(peer: str, payload: bytes) -> bytes:
            message = decode_request(payload)
            assert isinstance(message, Hello)
            self.heard.append(message)
            return encode_message(self._said)

        async def blob(peer: str, key: bytes) -> None:
            return None

        def nothing(*said: object) -> None:
            return None

        handlers = Handlers(nothing, nothing, request, blob, nothing, nothing)
        await self.transport.start(handlers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop()


@pytest_asyncio.fixture
async def address(home: Path) -> AsyncIterator[str]:
    """An address where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{PEER}"


def know(home: Path, address: str) -> None:
    (home / "config.toml").write_text(f'[network]\npeers = ["{address}"]\n')


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("forged-hello", {}),
        ("foreign-swarm", {"swarm": "wrong-swarm"}),
        ("not-a-member", {"swarm": "wrong-swarm"}),
        ("wrong-layout", {"layout": "wrong-task"}),
        ("wrong-genesis", {"layout": "wrong-task"}),
        ("version", {"protocol": "old-version"}),
    ],
)
async def test_a_stopped_daemon_s_peers_are_asked(
    home: Path, code: str, expected: dict[str, str]
) -> None:
    async with Peer(Refused(code=code, reason="so it is")) as peer:
        know(home, peer.transport.addresses[0])
        assert await asyncio.to_thread(causes, home) == expected
        (hello,) = peer.heard
        assert hello.record == hello.claim == b""


async def test_a_peer_that_is_dead_is_called_so(home: Path, address: str) -> None:
    know(home, address)
    assert await asyncio.to_thread(causes, home) == {"tcp": "peer-dead"}


async def test_somebody_else_at_a_peer_s_address_is_found_out(home: Path) -> None:
    async with Peer(Refused(code="nothing")) as peer:
        where = peer.transport.addresses[0].partition("/p2p/")[0]
        know(home, f"{where}/p2p/{PEER}")
        assert await asyncio.to_thread(causes, home) == {"handshake": "wrong-peer"}


def test_the_home_is_left_as_it_was(home: Path) -> None:
    before = {path: path.stat().st_mode for path in home.rglob("*")}
    gossipd("doctor", home=home)
    after = {path: path.stat().st_mode for path in home.rglob("*") if path.name != "lock"}
    assert after == {path: mode for path, mode in before.items() if path.name != "lock"}
    assert not paths_of(home).database.exists()
