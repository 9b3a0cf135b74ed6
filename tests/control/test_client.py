"""The client when the daemon does not answer as it should."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gossipd.control import unix_socket
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError


@contextmanager
def somebody(home: Path, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """Something that accepts one connection in `home`, reads a request and then misbehaves."""
    with unix_socket.listen(home / "api.sock") as listener:
        listener.settimeout(10)

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                connection.recv(65_536)
                behave(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield
        thread.join(20)


def error_of(home: Path, timeout: float = 10.0) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        Client(home / "api.sock", timeout).status()
    return caught.value


def test_no_daemon_ever_ran_here(tmp_path: Path) -> None:
    error = error_of(tmp_path / "nowhere")
    assert (error.code, error.exit_code) == ("not-running", ExitCode.NOT_RUNNING)


def test_the_daemon_died(tmp_path: Path) -> None:
    unix_socket.listen(tmp_path / "api.sock").close()
    assert error_of(tmp_path).code == "not-running"


def test_the_daemon_hangs(tmp_path: Path) -> None:
    let_go = threading.Event()

    def hang(connection: socket.socket) -> None:
        let_go.wait(10)

    with somebody(tmp_path, hang):
        error = error_of(tmp_path, timeout=0.1)
        let_go.set()
    assert (error.code, error.exit_code) == ("timeout", ExitCode.TIMEOUT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_something_else_answers(tmp_path: Path, answer: bytes) -> None:
    with somebody(tmp_path, lambda connection: connection.sendall(answer)):
        error = error_of(tmp_path)
    assert (error.code, error.exit_code) == ("no-answer", ExitCode.FAILURE)


def test_the_daemon_is_busy(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    with somebody(tmp_path, lambda connection: connection.sendall(answer)):
        error = error_of(tmp_path)
    assert (error.code, error.exit_code) == ("busy", ExitCode.TEMPORARY)
