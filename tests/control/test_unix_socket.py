"""The socket file: private from its first instant, taken over only from the dead."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipd.control import unix_socket
from gossipd.errors import ExitCode, OperatorError


@pytest.fixture
def anything_goes() -> Iterator[None]:
    """A umask that would leave a new file open to everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("anything_goes")
def test_nobody_else_can_ever_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "api.sock"
    modes = []
    bind = socket.socket.bind

    class Watched(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]
            bind(self, address)
            modes.append(stat.S_IMODE(path.stat().st_mode))

    monkeypatch.setattr(socket, "socket", Watched)
    with unix_socket.listen(path):
        modes.append(stat.S_IMODE(path.stat().st_mode))

    assert modes == [0o600, 0o600]
    assert os.umask(0) == 0, "the umask was not put back"


def test_a_socket_left_by_a_dead_daemon_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    unix_socket.listen(path).close()
    assert path.is_socket()

    with unix_socket.listen(path), unix_socket.connect(path, 5):
        pass


def test_a_living_daemon_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with unix_socket.listen(path) as living:
        with pytest.raises(OperatorError) as refusal:
            unix_socket.listen(path)
        living.accept()[0].close()  # the probe; it still listens

    assert refusal.value.code == "already-running"
    assert refusal.value.exit_code == ExitCode.ALREADY_RUNNING


def test_a_daemon_too_busy_to_accept_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "BACKLOG", 0)
    monkeypatch.setattr(unix_socket, "PROBE_SECONDS", 0.2)
    path = tmp_path / "api.sock"
    with (
        unix_socket.listen(path),
        unix_socket.connect(path, 5),
        pytest.raises(OperatorError) as refusal,
    ):
        unix_socket.listen(path)

    assert refusal.value.code == "already-running"


def test_something_else_in_its_place_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")

    with pytest.raises(OperatorError) as refusal:
        unix_socket.listen(path)

    assert refusal.value.code == "not-a-socket"
    assert path.read_text() == "precious"
