"""Everything of a daemon lies in one directory, found the same way by everybody."""

import os
import socket
from pathlib import Path

import pytest

from gossipd.config import default_home, home_directory, paths_of
from gossipd.errors import ExitCode, OperatorError
from gossipd.paths import SOCKET_PATH_BYTES


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runtime directory with a short name, as /run/user/1000 is."""
    return tmp_path_factory.mktemp("run")


def test_the_directory_that_was_asked_for_comes_first() -> None:
    environ = {"GOSSIPD_HOME": "/from/environment"}
    assert home_directory(Path("/given"), environ) == Path("/given")
    assert home_directory(Path("given"), environ) == Path.cwd() / "given"
    assert home_directory(None, environ) == Path("/from/environment")


def test_without_a_word_it_is_the_users_data_directory() -> None:
    assert default_home({}).name == "gossipd"
    assert default_home({}).is_absolute()


def test_what_is_kept_lies_in_it() -> None:
    home = Path("/home/anna/node")
    paths = paths_of(home, {})
    for name in ("config", "identity", "lock", "database", "models", "bodies", "logs"):
        assert getattr(paths, name).parent == home


def test_a_short_directory_holds_its_socket() -> None:
    assert paths_of(Path("/home/anna/node"), {}).socket == Path("/home/anna/node/api.sock")


def test_a_long_directory_has_its_socket_in_a_private_short_one(runtime: Path) -> None:
    home = Path("/" + "long/" * 40)
    paths = paths_of(home, {"XDG_RUNTIME_DIR": str(runtime)})

    assert paths.socket.parent.parent == runtime
    assert paths.socket.parent.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(paths.socket)) <= SOCKET_PATH_BYTES
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.socket))
    assert paths_of(home, {"XDG_RUNTIME_DIR": str(runtime)}).socket == paths.socket


def test_two_long_directories_have_two_sockets(runtime: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(runtime)}
    sockets = {paths_of(Path("/" + "x" * 150 + end), environ).socket for end in "ab"}
    assert len(sockets) == 2


@pytest.mark.parametrize("trick", ["open", "link", "file"])
def test_a_short_directory_that_is_not_ours_alone_is_refused(
    runtime: Path, tmp_path: Path, trick: str
) -> None:
    home, environ = Path("/" + "z" * 150), {"XDG_RUNTIME_DIR": str(runtime)}
    directory = paths_of(home, environ).socket.parent
    directory.rmdir()
    if trick == "open":
        directory.mkdir()
        directory.chmod(0o755)
    elif trick == "link":
        directory.symlink_to(tmp_path)
    else:
        directory.touch()
    with pytest.raises(OperatorError) as refused:
        paths_of(home, environ)
    assert (refused.value.code, refused.value.exit_code) == ("socket-directory", ExitCode.IDENTITY)


@pytest.mark.parametrize("runtime_variable", ["", "relative", "/does/not/exist", "/" + "x" * 150])
def test_without_a_usable_runtime_directory_it_is_in_tmp(
    runtime_variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr("gossipd.paths._make_ours", made.append)
    socket = paths_of(Path("/" + "y" * 150), {"XDG_RUNTIME_DIR": runtime_variable}).socket
    assert [socket.parent] == made == [Path("/tmp", f"gossipd-{os.geteuid()}")]


def test_somebody_elses_short_directory_is_refused(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OperatorError, match="belongs to somebody else"):
        paths_of(Path("/" + "w" * 150), {"XDG_RUNTIME_DIR": str(runtime)})
