"""Where a daemon's state lies: one directory, and a name for everything in it."""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import make_private_directory


class Paths(Struct, frozen=True):
    """The state directory: what a daemon keeps lies in `home`, and nowhere else."""

    home: Path
    config: Path
    identity: Path
    lock: Path
    socket: Path
    database: Path
    models: Path
    bodies: Path
    logs: Path
    members: Path
    task: Path
    """The task description, of a swarm that has one."""


SOCKET_PATH_BYTES = 103
"""Longest path of a unix socket on macOS; Linux has 107."""


def default_home(environ: Mapping[str, str] | None = None) -> Path:
    """$GOSSIPD_HOME, else the user's data directory."""
    environ = os.environ if environ is None else environ
    if environ.get("GOSSIPD_HOME"):
        return Path(environ["GOSSIPD_HOME"]).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("gossipd")


def home_directory(given: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The state directory that was asked for (--home), else the default one."""
    return default_home(environ) if given is None else given.expanduser().absolute()


def paths_of(home: Path, environ: Mapping[str, str] | None = None) -> Paths:
    """The files of a state directory.

    When `home` is too long for a socket, it lies in a private directory under $XDG_RUNTIME_DIR or
    /tmp, named by the hash of `home`; that directory is made here. OperatorError "socket-directory"
    (exit 6) when it is not ours alone.
    """
    environ = os.environ if environ is None else environ
    return Paths(
        home=home,
        config=home / "config.toml",
        identity=home / "identity.key",
        lock=home / "lock",
        socket=_socket(home, environ.get("XDG_RUNTIME_DIR", "")),
        database=home / "state.db",
        models=home / "models",
        bodies=home / "bodies",
        logs=home / "logs",
        members=home / "members",
        task=home / "task.json",
    )


def _socket(home: Path, runtime: str) -> Path:
    import hashlib

    socket = home / "api.sock"
    if _fits(socket):
        return socket
    name = f"{hashlib.blake2b(os.fsencode(home), digest_size=8).hexdigest()}.sock"
    directory = Path(runtime, f"gossipd-{os.geteuid()}")
    if not (directory.is_absolute() and directory.parent.is_dir() and _fits(directory / name)):
        directory = Path("/tmp", directory.name)
    _make_ours(directory)
    return directory / name


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= SOCKET_PATH_BYTES


def _make_ours(directory: Path) -> None:
    """Everybody may write to /tmp: whoever made this directory before us could swap the socket."""
    try:
        make_private_directory(directory)
        found = directory.lstat()
    except OSError as error:
        why = f"cannot be used: {error.strerror}"
    else:
        # The exact mode of a directory of ours: neither a link nor open to others.
        if found.st_mode == 0o040700 and found.st_uid == os.geteuid():
            return
        why = "belongs to somebody else, is a link or is open to others"
    raise OperatorError(
        "socket-directory",
        f"{directory}, for the control socket, {why}",
        f"remove {directory}, or choose a shorter --home: the socket then lies there",
        ExitCode.IDENTITY,
    )
