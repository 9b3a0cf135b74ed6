"""Settings come from a file, the environment and the command line; a mistake names itself."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gossipd import config, settings
from gossipd.address import announced as announced_by
from gossipd.config import Config, NetworkConfig, load, write_initial
from gossipd.errors import ExitCode, OperatorError
from support.keys import key_from

PEER = f"/ip4/192.0.2.7/tcp/4001/p2p/{key_from('peer')[1]}"
OTHER = f"/dns4/peer.example.org/tcp/4001/p2p/{key_from('other')[1]}"


def with_file(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(text, encoding="utf-8")
    return home


def refusal(
    home: Path, overrides: dict[str, Any] | None = None, environ: dict[str, str] | None = None
) -> OperatorError:
    with pytest.raises(OperatorError) as refused:
        load(home, overrides, environ or {})
    assert (refused.value.code, refused.value.exit_code) == ("bad-config", ExitCode.CONFIG)
    assert refused.value.hint
    return refused.value


# --- where values come from ----------------------------------------------------------------------


def test_no_configuration_is_needed(tmp_path: Path) -> None:
    assert load(tmp_path, environ={}) == Config()


def test_the_later_source_wins(tmp_path: Path) -> None:
    with_file(
        tmp_path,
        '[network]\nport = 1\nlisten = "127.0.0.1"\nmax_connections = 5\n[log]\nlevel = "debug"\n',
    )
    environ = {"GOSSIPD_NETWORK_PORT": "2", "GOSSIPD_NETWORK_LISTEN": "::1", "HOME": "/"}
    found = load(tmp_path, {"network.port": 3}, environ)
    assert found.network == NetworkConfig(port=3, listen="::1", max_connections=5)
    assert found.log.level == "debug"


def test_text_from_outside_the_file_is_read_as_the_keys_type(tmp_path: Path) -> None:
    environ = {
        "GOSSIPD_NETWORK_MDNS": "false",
        "GOSSIPD_NETWORK_PEERS": f"{PEER}, {OTHER}",
        "GOSSIPD_GOSSIP_CYCLE_SECONDS": "2",
        "GOSSIPD_MODE": "gossip",
        "GOSSIPD_HOME": "/elsewhere",
    }
    found = load(tmp_path, {"learning.lr": "0.5", "task.data": "17"}, environ)
    assert found.network.mdns is False
    assert found.network.peers == (PEER, OTHER)
    assert (found.gossip.cycle_seconds, found.learning.lr, found.task.data) == (2.0, 0.5, "17")


def test_the_real_environment_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSIPD_LOG_LEVEL", "error")
    assert load(tmp_path).log.level == "error"


# --- mistakes ------------------------------------------------------------------------------------


def test_a_mistake_in_the_file_names_file_key_value_reason_and_fix(tmp_path: Path) -> None:
    refused = refusal(with_file(tmp_path, "[network]\nport = 70000\n"))
    assert f"{tmp_path / 'config.toml'}: network.port = 70000" in refused.message
    assert "<= 65535" in refused.message
    assert refused.hint == "give a whole number from 0 to 65535"


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    refused = refusal(tmp_path, environ={"GOSSIPD_LOG_LEVEL": "loud"})
    assert "GOSSIPD_LOG_LEVEL = 'loud'" in refused.message
    assert refused.hint == "give one of: debug, info, warning, error"


def test_a_mistake_on_the_command_line_names_the_key(tmp_path: Path) -> None:
    refused = refusal(tmp_path, {"gossip.self_weight": "1.5"})
    assert "gossip.self_weight (command line) = '1.5'" in refused.message
    assert refused.hint == "give a number from 0 to 1"


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    refused = refusal(with_file(tmp_path, "[network]\nport = 1\nlisten = 127.0.0.1\n"))
    assert "config.toml is not TOML" in refused.message
    assert "line 3" in refused.message


def test_a_file_that_is_not_text_or_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(tmp_path).message
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    assert "Is a directory" in refusal(tmp_path).message


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[network]\nprot = 1\n", "network.port"),
        ("[gossip]\nlocalsteps = 1\n", "gossip.local_steps"),
        ("moed = 'gossip'\n", "mode"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, text: str, near: str) -> None:
    refused = refusal(with_file(tmp_path, text))
    assert "no such setting" in refused.message
    assert refused.hint == f"did you mean {near}?"


def test_an_unknown_variable_is_answered_with_the_nearest(tmp_path: Path) -> None:
    refused = refusal(tmp_path, environ={"GOSSIPD_NETWORK_PROT": "1"})
    assert refused.hint == "did you mean GOSSIPD_NETWORK_PORT?"


def test_what_resembles_nothing_is_answered_with_the_sections(tmp_path: Path) -> None:
    assert "network, swarm, task" in refusal(tmp_path, {"zzzzzz": 1}).hint


def test_a_section_must_be_one(tmp_path: Path) -> None:
    assert refusal(with_file(tmp_path, "network = 1\n")).hint == "write [network] above it"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network.port", -1),
        ("network.port", 80.5),
        ("network.port", True),
        ("network.mdns", 1),
        ("network.mdns", "maybe"),
        ("network.max_connections", 0),
        ("network.max_connections", 257),
        ("network.dial_timeout", 0.0),
        ("network.dial_timeout", -1.0),
        ("network.dial_timeout", float("inf")),
        ("network.dial_timeout", float("nan")),
        ("network.listen", "localhost"),
        ("network.listen", ""),
        ("network.peers", [17]),
        ("network.allow", ["ann"]),
        ("network.allow", [PEER]),
        ("network.announce", [PEER]),
        ("network.announce", ["/ip4/192.0.2.7/udp/4001"]),
        ("network.announce", ["none", "/ip4/192.0.2.7/tcp/4001"]),
        ("network.announce", [f"/dns/{'a' * 250}/tcp/4001"]),
        ("swarm.id", "abc"),
        ("swarm.id", "g" * 64),
        ("task.name", "mnist"),
        ("task.data", "line\nbreak"),
        ("task.title", "x" * 129),
        ("task.tags", ["x" * 65]),
        ("task.tags", ["x"] * 16),
        ("task.licence", "x" * 65),
        ("task.data", "\udcff"),
        ("learning.momentum", 1.0),
        ("learning.lr", 0.0),
        ("gossip.self_weight", float("nan")),
        ("gossip.local_steps", 2**40),
        ("gossip.init", "own"),
        ("storage.quota_mb", 0),
        ("mode", "sideways"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(tmp_path: Path, key: str, value: object) -> None:
    assert key in refusal(tmp_path, {key: value}).message


def test_an_own_start_is_for_the_other_mode(tmp_path: Path) -> None:
    found = load(tmp_path, {"mode": "gossip", "gossip.init": "own"}, {})
    assert found.gossip.init == "own"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "192.0.2.7:4001",
        "/ip4/192.0.2.7/tcp/4001",
        f"/ip4/192.0.2.300/tcp/4001/p2p/{key_from('a')[1]}",
        f"/ip6/192.0.2.7/tcp/4001/p2p/{key_from('a')[1]}",
        f"/ip4/192.0.2.7/udp/4001/p2p/{key_from('a')[1]}",
        f"/ip4/192.0.2.7/tcp/0/p2p/{key_from('a')[1]}",
        f"/ip4/192.0.2.7/tcp/65536/p2p/{key_from('a')[1]}",
        f"/dns//tcp/4001/p2p/{key_from('a')[1]}",
        f"/dns/a b/tcp/4001/p2p/{key_from('a')[1]}",
        f"/dns/{'a' * 300}/tcp/4001/p2p/{key_from('a')[1]}",
        "/dns/\udcff/tcp/4001/p2p/\udcff",
        "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW",
        "/ip4/192.0.2.7/tcp/4001/p2p/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
    ],
)
def test_what_is_no_peers_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(OperatorError) as refused:
        config.check_address(address)
    assert (refused.value.code, refused.value.exit_code) == ("bad-address", ExitCode.USAGE)
    assert "/ip4/192.0.2.7/tcp/4001/p2p/" in refused.value.hint
    assert "network.peers" in refusal(tmp_path, {"network.peers": [PEER, address]}).message


def test_what_is_announced_may_be_nothing(tmp_path: Path) -> None:
    place = "/dns/home.example.org/tcp/4001"

    def announced(values: dict[str, object]) -> Sequence[str] | None:
        return announced_by(config.load(tmp_path, values, {}).network.announce)

    assert announced({}) is None
    assert announced({"network.announce": [place]}) == (place,)
    assert announced({"network.announce": "none"}) == ()


@pytest.mark.parametrize("host", ["ip4/192.0.2.7", "ip6/2001:db8::7", "dns/peer.example.org"])
def test_an_address_names_its_peer(host: str) -> None:
    peer = key_from("a")[1]
    assert config.check_address(f"/{host}/tcp/4001/p2p/{peer}") == peer


def test_settings_must_fit_together(tmp_path: Path) -> None:
    assert "nodes = 2" in refusal(tmp_path, {"task.node": 2, "task.nodes": 2}).message
    parts = {"task.node": 1, "task.nodes": 3, "task.parts": 3}
    assert refusal(tmp_path, parts).message.startswith("task.parts = 3: from task.node = 1 on")
    assert (
        "heartbeat_interval = 20" in refusal(tmp_path, {"network.heartbeat_interval": 20}).message
    )
    assert "task.data" in refusal(tmp_path, {"task.name": "idx"}).message


# --- the first file ------------------------------------------------------------------------------


def test_what_init_writes_is_what_load_reads(tmp_path: Path) -> None:
    values = {
        "task.data": 'a "quoted" \\ path: größer',
        "network.port": 4001,
        "network.peers": (PEER, OTHER),
        "network.mdns": False,
        "gossip.cycle_seconds": 1,
        "swarm.id": "ab" * 32,
        "log.level": "info",
    }
    home = tmp_path / "home"

    path = write_initial(home, values)

    found = load(home, environ={})
    assert found == load(tmp_path, values, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.iterdir()) == [path]
    text = path.read_text()
    assert text.startswith("# ")
    assert "port = 4001  # default: 0\n" in text
    assert "log" not in tomllib.loads(text), "only what differs from the defaults stands there"


def test_without_settings_init_writes_comments_alone(tmp_path: Path) -> None:
    assert tomllib.loads(write_initial(tmp_path, {}).read_text()) == {}


def test_init_never_overwrites(tmp_path: Path) -> None:
    path = write_initial(tmp_path, {"network.port": 1})
    before = path.read_bytes()
    with pytest.raises(OperatorError) as refused:
        write_initial(tmp_path, {"network.port": 2})
    assert refused.value.code == "already-initialised"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_init_writes_no_mistakes(tmp_path: Path) -> None:
    for values in ({"network.port": -1}, {"network.prot": 1}, {"task.name": "idx"}):
        with pytest.raises(OperatorError, match=r"port|prot|task\.data"):
            write_initial(tmp_path / "home", values)
    assert not (tmp_path / "home").exists()


def test_init_where_nothing_can_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError) as refused:
        write_initial(tmp_path / "file" / "home", {})
    assert (refused.value.code, refused.value.exit_code) == ("home-unusable", ExitCode.IDENTITY)


# --- the documentation ---------------------------------------------------------------------------


def test_every_setting_is_explained_where_it_stands() -> None:
    """A default without a word on where it comes from is a riddle."""
    source = Path(settings.__file__).read_text().splitlines()
    unexplained = []
    for name in Config.__struct_fields__:
        section = getattr(Config(), name)
        if not isinstance(section, msgspec.Struct):
            continue
        for field in section.__struct_fields__:
            place = next(n for n, line in enumerate(source) if line.startswith(f"    {field}: "))
            if not source[place + 1].strip().startswith('"""'):
                unexplained.append(f"{name}.{field}")
    assert unexplained == []
