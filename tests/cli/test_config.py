"""`gossipd config`: what is set, changing it, and a daemon that takes it over."""

from pathlib import Path

import pytest

from gossipd.config import RELOADED, load, values_of
from gossipd.errors import ExitCode
from support.command import gossipd
from support.operator import served

FILE = """\
# my own words
[network]
port = 4001  # behind the router
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(FILE)
    return tmp_path


def test_what_differs_is_shown_with_where_it_comes_from(home: Path) -> None:
    outcome = gossipd("config", "get", "--format", "json", home=home)
    assert outcome.document["data"] == [
        {"key": "network.port", "value": 4001, "from": str(home / "config.toml")}
    ]
    assert gossipd("config", "get", "network.mdns", home=home).out == "true\n"
    every = gossipd("config", "get", "--all", "--format", "json", home=home).document["data"]
    assert {row["key"] for row in every} == values_of(load(home)).keys()


def test_a_change_keeps_what_its_owner_wrote(home: Path) -> None:
    outcome = gossipd("config", "set", "guest.train_when", "plugged", home=home)
    assert outcome.code == 0
    assert gossipd("config", "set", "network.port", "4002", home=home).code == 0
    text = (home / "config.toml").read_text()
    assert "# my own words" in text
    assert "port = 4002 # behind the router" in text.replace("  #", " #")
    assert load(home).guest.train_when == "plugged"
    assert gossipd("config", "set", "network.port", "--default", home=home).code == 0
    assert load(home).network.port == 0


def test_a_list_is_given_with_commas_and_a_key_at_the_top_is_found(home: Path) -> None:
    listed = "/ip4/192.0.2.7/tcp/4001,/ip4/192.0.2.8/tcp/4001"
    assert gossipd("config", "set", "network.announce", listed, home=home).code == 0
    assert load(home).network.announce == tuple(listed.split(","))
    assert gossipd("config", "set", "mode", "gossip", home=home).code == 0
    assert load(home).mode == "gossip"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("get", "network.prot"), ExitCode.USAGE, "unknown-key"),
        (("set", "network.prot", "1"), ExitCode.CONFIG, "bad-config"),
        (("set", "network.port", "99999"), ExitCode.CONFIG, "bad-config"),
        (("set", "network.heartbeat_timeout", "1"), ExitCode.CONFIG, "bad-config"),
        (("set", "network.port"), ExitCode.USAGE, "usage"),
        (("set", "network.port", "1", "--default"), ExitCode.USAGE, "usage"),
    ],
)
def test_a_mistake_changes_nothing(
    home: Path, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    outcome = gossipd("config", *arguments, "--format", "json", home=home)
    assert (outcome.code, outcome.document["error"]["code"]) == (exit_code, code)
    assert (home / "config.toml").read_text() == FILE


def test_a_file_is_checked_whole(home: Path) -> None:
    assert gossipd("config", "validate", home=home).out == "valid\n"
    (home / "config.toml").write_text("[network]\nport = 'x'\n")
    outcome = gossipd("config", "validate", "--format", "json", home=home)
    assert (outcome.code, outcome.document["error"]["code"]) == (ExitCode.CONFIG, "bad-config")


def test_a_running_daemon_is_told_and_says_what_it_took_over(home: Path) -> None:
    with served(home):
        outcome = gossipd("config", "set", "network.port", "4003", home=home)
        assert "daemon  running" in outcome.out
        assert "next start" in outcome.err
        told = gossipd("config", "reload", home=home).out
        assert told == ("taken over: log.level = debug; from the next start on: network.port\n")


def test_where_everything_lies_is_shown(home: Path) -> None:
    data = gossipd("config", "paths", "--format", "json", home=home).document["data"]
    assert data["config"] == str(home / "config.toml")
    assert {"identity", "database", "socket", "logs", "members"} <= data.keys()


def test_what_is_taken_over_is_what_there_is(home: Path) -> None:
    assert values_of(load(home)).keys() >= RELOADED
