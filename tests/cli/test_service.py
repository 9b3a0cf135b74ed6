"""`gossipd service`, and what a daemon tells systemd."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from gossipd.errors import ExitCode
from gossipd.machine import notify
from gossipd_cli import systemd
from support.command import Outcome, environment, gossipd

SECONDS = 60.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own units; and no systemctl that could hear of it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return tmp_path / "config" / "systemd" / "user" / "gossipd.service"


def run(*arguments: str, home: Path) -> Outcome:
    return gossipd("service", *arguments, "--format", "json", home=home)


def test_a_unit_is_written_once_and_not_over_what_somebody_edited(
    place: Path, tmp_path: Path
) -> None:
    assert run("install", "--user", home=tmp_path / "home").code == 0
    text = place.read_text()
    assert "Type=notify" in text
    assert f"start --home {tmp_path / 'home'}\n" in text
    assert run("install", home=tmp_path / "home").code == 0
    place.write_text(text + "# mine\n")
    outcome = run("install", home=tmp_path / "home")
    assert outcome.document["error"]["code"] == "unit-differs"
    assert place.read_text().endswith("# mine\n")
    assert run("install", "--force", home=tmp_path / "home").code == 0
    assert place.read_text() == text


def test_without_systemd_it_says_so_when_it_is_to_be_started(place: Path, tmp_path: Path) -> None:
    outcome = run("install", "--now", home=tmp_path)
    assert outcome.document["error"]["code"] == "no-systemd"


def test_it_is_removed(place: Path, tmp_path: Path) -> None:
    assert run("uninstall", home=tmp_path).document["error"]["code"] == "no-unit"
    run("install", home=tmp_path)
    assert run("uninstall", home=tmp_path).code == 0
    assert not place.exists()


def test_the_machine_s_service_has_a_user_of_its_own() -> None:
    text = systemd.unit(None, system=True, command=["/usr/bin/gossipd"])
    assert "DynamicUser=yes" in text
    assert "StateDirectoryMode=0700" in text
    assert "ExecStart=/usr/bin/gossipd start\n" in text
    assert systemd.place(system=True) == Path("/etc/systemd/system/gossipd.service")


def test_a_home_with_odd_letters_is_quoted(tmp_path: Path) -> None:
    home = tmp_path / "my 100% home"
    home.mkdir()
    text = systemd.unit(home, system=False, command=["/usr/bin/gossipd"])
    assert f'start --home "{tmp_path}/my 100%% home"\n' in text


def test_exit_codes_that_come_again_are_not_tried_again() -> None:
    codes = [ExitCode.USAGE, ExitCode.CONFIG, ExitCode.IDENTITY, ExitCode.ALREADY_RUNNING]
    told = " ".join(str(int(code)) for code in codes)
    assert f"RestartPreventExitStatus={told}\n" in systemd.unit(None, system=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("system", [False, True])
def test_systemd_itself_finds_no_fault(system: bool, tmp_path: Path) -> None:
    file = tmp_path / "gossipd.service"
    file.write_text(systemd.unit(None, system=system, command=["/bin/true"]))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *([] if system else ["--user"]), str(file)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "gossipd.service" in line] == []


class Manager:
    """The socket on which systemd listens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(SECONDS)

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


def test_a_daemon_says_that_it_is_up_alive_and_stopping(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    told = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "500000"}
    command = [sys.executable, "-m", "gossipd_cli", "start", "--no-mdns", "--listen", "127.0.0.1"]
    daemon = subprocess.Popen(
        [*command, "--set", "learning.threads=1"],
        env={**environment(tmp_path / "home"), **told},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        said = [manager.heard() for _ in range(4)]
        assert any(words.startswith("READY=1\nSTATUS=listens on port ") for words in said)
        assert said.count("WATCHDOG=1") == 3
        daemon.send_signal(signal.SIGHUP)  # as `systemctl reload` does: it lives on
        assert manager.heard() == "WATCHDOG=1"
        daemon.terminate()
        while (words := manager.heard()) == "WATCHDOG=1":
            pass
        assert words == "STOPPING=1"
        assert daemon.wait(SECONDS) == 0
    finally:
        daemon.kill()
        daemon.wait()
        manager.socket.close()


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    assert not notify.tell("READY=1", {})
    assert not notify.tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_the_watchdog_of_another_process_is_not_fed() -> None:
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "2000000"}) == 2.0
    mine = {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert notify.watchdog_seconds(mine) == 2.0
    assert notify.watchdog_seconds({**mine, "WATCHDOG_PID": "1"}) is None
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "0"}) is None


async def test_a_loop_that_is_not_watched_says_nothing() -> None:
    with mock.patch.object(notify, "tell") as tell:
        async with asyncio.timeout(5):
            await notify.feed_watchdog({})
    tell.assert_not_called()
