"""`init`, `start` and `stop`, as far as they go without a real daemon."""

import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import processes
from gossipd_cli.processes import detach
from support.command import environment, gossipd
from support.operator import served
from support.own_data import idx_images

FAKE = Path(__file__).parent.parent / "support" / "fake_daemon.py"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts a fake daemon in tmp_path and waits until it answers."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, FAKE, how, tmp_path],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def images(folder: Path) -> Path:
    return idx_images(folder / "images")


def test_init_makes_a_private_home_with_settings_and_an_identity(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    data = gossipd("init", "--format", "json", home=home).document["data"]

    assert data["home"] == str(home)
    assert data["peer_id"].startswith("12D3KooW")
    assert data["swarm"] is None  # the open swarm of the task
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "identity.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == ["config.toml", "identity.key"]


def test_init_never_overwrites(tmp_path: Path) -> None:
    home = tmp_path / "home"
    gossipd("init", home=home)
    before = {path: path.read_bytes() for path in home.iterdir()}

    outcome = gossipd("init", "--format", "json", home=home)

    assert outcome.code == ExitCode.FAILURE
    assert outcome.document["error"]["code"] == "already-initialised"
    assert {path: path.read_bytes() for path in home.iterdir()} == before


def test_init_with_data_makes_a_closed_swarm_of_its_own(tmp_path: Path) -> None:
    swarms = set()
    for name in ("a", "b"):
        home = tmp_path / name
        done = gossipd("init", "--data", images(tmp_path), "--format", "json", home=home)
        config = tomllib.loads((home / "config.toml").read_text())
        assert config == {"task": {"name": "idx", "data": str(images(tmp_path))}}
        (own,) = gossipd("members", "ls", "--format", "json", home=home).document["data"]
        assert own["founder"]
        swarms.add(done.document["data"]["swarm"])
    assert len(swarms) == 2


def test_init_enters_a_swarm_that_it_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    gossipd("init", "--data", images(tmp_path), "--swarm", "ab" * 32, home=home)
    assert tomllib.loads((home / "config.toml").read_text())["swarm"]["id"] == "ab" * 32
    assert not (home / "members").exists()


def test_init_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    outcome = gossipd("init", "--swarm", "not-hex", "--format", "json", home=home)
    assert outcome.code == ExitCode.CONFIG
    assert not home.exists()


def test_init_that_fails_half_way_takes_back_its_first_half(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "identity.key").write_text("no key")
    (home / "identity.key").chmod(0o600)

    outcome = gossipd("init", "--format", "json", home=home)

    assert outcome.code == ExitCode.IDENTITY
    assert [path.name for path in home.iterdir()] == ["identity.key"]


def test_a_home_that_cannot_be_made_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = gossipd("init", "--home", tmp_path / "file" / "home")
    assert outcome.code != 0
    assert outcome.err.startswith("error[")


def test_own_data_does_not_go_into_the_open_swarm(tmp_path: Path) -> None:
    home = tmp_path / "home"
    gossipd("init", home=home)
    outcome = gossipd("start", "--data", images(tmp_path), "--format", "json", home=home)
    assert outcome.code == ExitCode.CONFIG
    assert outcome.document["error"]["code"] == "no-swarm"


def test_a_second_start_is_refused_at_once(tmp_path: Path) -> None:
    with served(tmp_path, pid=77):
        outcome = gossipd("start", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.ALREADY_RUNNING
    assert "pid 77" in outcome.document["error"]["message"]


def test_stop_waits_until_the_process_is_gone(
    tmp_path: Path, fake: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    daemon = fake("well")
    outcome = gossipd("stop", "--format", "json", home=tmp_path)
    assert outcome.document["data"] == {"pid": daemon.pid, "stopped": True}
    assert daemon.wait(0.5) == 0


def test_stop_tells_when_the_process_stays(
    tmp_path: Path, fake: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    daemon = fake("stubborn")
    outcome = gossipd("stop", "--timeout", "0.3", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.TIMEOUT
    assert outcome.document["error"]["code"] == "stop-timeout"
    assert f"kill -9 {daemon.pid}" in outcome.document["error"]["hint"]


# --- detaching: the command is replaced by a daemon that behaves in a known way ---------------


def detached(how: str, home: Path, monkeypatch: pytest.MonkeyPatch, timeout: float) -> int:
    """Detach a fake daemon; its pid once it answers."""
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, str(FAKE)))
    status = detach([how, str(home)], Client(home / "api.sock"), home / "logs", timeout)
    return int(status["pid"])


def test_a_detached_daemon_answers_when_the_command_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = detached("well", tmp_path, monkeypatch, timeout=30)
    client = Client(tmp_path / "api.sock")
    assert client.status()["pid"] == pid

    watch = processes.Watch(pid)
    client.stop()
    assert watch.ended(10)
    watch.close()


def test_the_error_of_a_detached_daemon_is_the_command_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperatorError) as caught:
        detached("refuses", tmp_path, monkeypatch, timeout=30)
    assert (caught.value.code, caught.value.hint) == ("port-in-use", "another --port")


def test_the_crash_of_a_detached_daemon_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperatorError) as caught:
        detached("crashes", tmp_path, monkeypatch, timeout=30)
    assert caught.value.message == "RuntimeError: boom"
    assert "stderr.log" in caught.value.hint


def test_a_detached_daemon_that_never_answers_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperatorError) as caught:
        detached("mute", tmp_path, monkeypatch, timeout=0.5)
    assert (caught.value.code, caught.value.exit_code) == ("start-timeout", ExitCode.TIMEOUT)
