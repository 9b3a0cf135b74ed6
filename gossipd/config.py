"""What the operator set: TOML file, environment, command line -> one frozen struct.

Later ones win. Every mistake is answered with where it stands, why it is one, and the fix.
"""

import difflib
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gossipd.errors import ExitCode, OperatorError

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen and whom to know."""

    listen: str = "0.0.0.0"
    """IP address to listen on; all interfaces, so that a LAN just works."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """TCP port; 0 takes a free one at the first start and keeps it."""
    peers: tuple[str, ...] = ()
    """Multiaddresses of peers to begin with, each ending in /p2p/<peer id>."""
    mdns: bool = True
    """Find peers on the local network."""
    max_connections: Count = 64
    """Live connections; a guess that a laptop bears easily."""
    dial_timeout: Positive = 10.0
    """Seconds per address."""
    request_timeout: Positive = 10.0
    """Seconds until a peer must have answered."""
    heartbeat_interval: Positive = 5.0
    """Seconds between two signs of life; a guess between traffic and patience."""
    heartbeat_timeout: Positive = 15.0
    """Seconds without an answer after which a connection counts as dead: three intervals."""
    progress_timeout: Positive = 20.0
    """Seconds without a byte after which a transfer is broken off."""


class SwarmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which swarm this daemon belongs to."""

    id: str = ""
    """64 hex digits; empty is the open swarm of the task."""


class TaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is learnt, and from which part of the data."""

    name: Literal["digits", "idx"] = "digits"
    data: str = ""
    """Folder of IDX files, for the task idx."""
    partition: Literal["all", "iid", "dirichlet", "classes"] = "all"
    """How the data is divided among the nodes of an experiment; "all" keeps it whole."""
    alpha: Positive = 0.5
    """Dirichlet concentration (paper: arXiv 2404.04616)."""
    classes_per_node: Count = 2
    node: Natural = 0
    """Which of the nodes' parts is this one's."""
    nodes: Count = 1
    seed: Natural = 0


class LearningConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Local training."""

    lr: Positive = 0.1
    """SGD's learning rate."""
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    """None (paper: MoDeST)."""
    batch_size: Count = 20
    """Examples per mini-batch (paper: MoDeST)."""
    threads: Count = 1
    """Threads of torch: one leaves a laptop usable."""
    idle: bool = True
    """Train at idle priority, behind everything else on the machine."""


class GossipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How models are exchanged and merged."""

    exchange: bool = True
    """False: train alone, take and give nothing."""
    cycle_seconds: Positive = 0.5
    """Shortest time between two training cycles; a longer training stretches it."""
    local_steps: Count = 18
    """Mini-batches per cycle."""
    fanout: Natural = 2
    """Peers that are shown the new model after each cycle: ours, measured (two reach what FedAvg
    reaches; one is half as fast)."""
    averaging: Literal["variance_corrected", "mean"] = "variance_corrected"
    self_weight: Fraction = 0.5
    """Weight of the own model in a merge (paper: arXiv 2404.04616)."""
    buffer: Count = 8
    """Received models that start a merge before the cycle is due."""
    anti_entropy_seconds: Positive = 5.0
    """Mean time between two pulls from a peer; a guess."""
    serving_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.8
    """Of the moving average that predictions use: ours, measured."""
    codec: Literal["half", "dense"] = "half"
    init: Literal["genesis", "own"] = "genesis"
    """Start from the task's common initial model, or each from its own random one (the papers')."""


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be kept."""

    quota_mb: Count = 1024
    """Megabytes for models and updates; the oldest go first, those in use never."""


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    mode: Literal["gossip"] = "gossip"
    network: NetworkConfig = NetworkConfig()
    swarm: SwarmConfig = SwarmConfig()
    task: TaskConfig = TaskConfig()
    learning: LearningConfig = LearningConfig()
    gossip: GossipConfig = GossipConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()


@dataclass(frozen=True, slots=True)
class Paths:
    """The state directory: everything that a daemon keeps lies in `home`."""

    home: Path
    config: Path
    identity: Path
    lock: Path
    socket: Path
    database: Path
    models: Path
    bodies: Path
    logs: Path


SOCKET_PATH_BYTES = 107
"""Longest path of a unix socket on Linux."""


def home_directory(given: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Where the daemon lives: --home, $GOSSIPD_HOME, or the user's data directory."""
    environ = os.environ if environ is None else environ
    if given is not None:
        return given.expanduser().absolute()
    if environ.get("GOSSIPD_HOME"):
        return Path(environ["GOSSIPD_HOME"]).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("gossipd")


def paths_of(home: Path) -> Paths:
    """The files of a state directory. The socket moves to a short path when `home` is too long."""
    return Paths(
        home=home,
        config=home / "config.toml",
        identity=home / "identity.key",
        lock=home / "lock",
        socket=_socket_path(home),
        database=home / "state.db",
        models=home / "models",
        bodies=home / "bodies",
        logs=home / "logs",
    )


def _socket_path(home: Path) -> Path:
    path = home / "api.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    name = hashlib.blake2b(os.fsencode(home), digest_size=8).hexdigest()
    directory = base / f"gossipd-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OperatorError(
            "unsafe-directory",
            f"{directory} belongs to somebody else or is open to others",
            f"choose a shorter home, or: rm -r {directory}",
            ExitCode.IDENTITY,
        )
    return directory / f"{name}.sock"


# --- loading --------------------------------------------------------------------------------------


def load(
    home: Path,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """<home>/config.toml, then GOSSIPD_<SECTION>_<KEY>, then dotted `overrides`.

    Text in the environment and in overrides is read as the key's type; lists are separated by
    commas. Raises OperatorError "bad-config" (exit 5).
    """
    path = paths_of(home).config
    values: dict[str, Any] = {}
    if path.exists():
        values = _read(path)
        _check_keys(values, Config, str(path))
    for key in _keys():
        name = "GOSSIPD_" + key.replace(".", "_").upper()
        if name in (os.environ if environ is None else environ):
            text = (os.environ if environ is None else environ)[name]
            _put(values, key, _parse(key, text, f"environment variable {name}"))
    for key, value in (overrides or {}).items():
        if key not in _keys():
            raise _unknown(key, "command line")
        if isinstance(value, str):
            value = _parse(key, value, f"{key} on the command line")
        _put(values, key, value)
    config = _validate(values, str(path) if path.exists() else "settings")
    _check_meaning(config)
    return config


def write_initial(home: Path, values: Mapping[str, Any]) -> Path:
    """Write <home>/config.toml (0600, atomically) with these dotted settings; its path.

    Raises OperatorError "already-initialised" when there is one, "bad-config" for bad values.
    """
    path = paths_of(home).config
    if path.exists():
        raise OperatorError(
            "already-initialised",
            f"{path} exists",
            "edit it, or choose another home with --home",
            ExitCode.FAILURE,
        )
    load(home, values)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = _initial_text(values)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)
    return path


def _initial_text(values: Mapping[str, Any]) -> str:
    lines = [
        "# gossipd's settings: only what differs from the defaults needs to stand here.",
        "# `gossipd start --set KEY=VALUE` overrides a key once; GOSSIPD_SECTION_KEY does too.",
    ]
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = value
    for section, settings in sorted(sections.items()):
        if section:
            lines += ["", f"[{section}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- mistakes -------------------------------------------------------------------------------------


def _bad(message: str, hint: str) -> OperatorError:
    return OperatorError("bad-config", message, hint, ExitCode.CONFIG)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"{path}: not TOML: {error}", "mend that line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{path}: cannot be read: {error}", "check the file") from None


def _sections() -> dict[str, type[Struct]]:
    hints = get_type_hints(Config)
    return {n: t for n, t in hints.items() if isinstance(t, type) and issubclass(t, Struct)}


def _keys() -> dict[str, Any]:
    """Every dotted key and its type."""
    keys: dict[str, Any] = {"mode": get_type_hints(Config)["mode"]}
    for section, kind in _sections().items():
        for name, hint in get_type_hints(kind, include_extras=True).items():
            keys[f"{section}.{name}"] = hint
    return keys


def _unknown(key: str, where: str) -> OperatorError:
    near = difflib.get_close_matches(key, _keys(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "keys are listed in docs/configuration.md"
    return _bad(f"{where}: unknown key {key}", hint)


def _check_keys(values: Mapping[str, Any], config: type[Struct], where: str) -> None:
    keys, sections = _keys(), _sections()
    for name, value in values.items():
        if name in sections:
            if not isinstance(value, dict):
                raise _bad(f"{where}: {name} must be a table", f"write [{name}]")
            for inner in value:
                if f"{name}.{inner}" not in keys:
                    raise _unknown(f"{name}.{inner}", where)
        elif name not in keys:
            raise _unknown(name, where)


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    (values.setdefault(section, {}) if section else values)[name] = value


def _parse(key: str, text: str, where: str) -> Any:
    kind = _keys()[key]
    if get_origin(kind) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is str or get_origin(kind) is Literal:
        return text
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _bad(f"{where}: {text!r}: {error}", f"give a {kind.__name__}") from None


def _validate(values: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").split("[")[0]
        value = values
        for name in key.split("."):
            value = value.get(name, {}) if isinstance(value, dict) else value
        raise _bad(f"{where}: {key} = {value!r}: {reason}", f"mend {key}") from None


def _check_meaning(config: Config) -> None:
    """What types alone cannot say."""
    for address in config.network.peers:
        try:
            check_address(address)
        except OperatorError as error:
            raise _bad(f"network.peers: {error.message}", error.hint) from None
    if config.swarm.id:
        try:
            right = len(bytes.fromhex(config.swarm.id)) == 32
        except ValueError:
            right = False
        if not right:
            raise _bad(
                f"swarm.id = {config.swarm.id!r}: not 64 hex digits",
                "copy it from another member's `gossipd status`",
            )
    if config.task.node >= config.task.nodes:
        raise _bad(
            f"task.node = {config.task.node}: there are task.nodes = {config.task.nodes}",
            "count nodes from 0",
        )
    if config.task.name == "idx" and not config.task.data:
        raise _bad("task.data is empty", "set it to the folder of IDX files (--data DIR)")


def check_address(address: str) -> str:
    """The peer id that a multiaddress ends in; OperatorError "bad-address" when it names no peer."""
    parts = address.split("/")
    right = (
        len(parts) == 7
        and parts[0] == ""
        and parts[1] in ("ip4", "ip6", "dns", "dns4", "dns6")
        and parts[3] == "tcp"
        and parts[4].isdigit()
        and 0 < int(parts[4]) < 65536
        and parts[5] == "p2p"
    )
    if right:
        from gossipd.wire.identifiers import public_key_of

        try:
            public_key_of(parts[6])
        except ValueError:
            right = False
    if not right:
        raise OperatorError(
            "bad-address",
            f"{address!r} is no peer's address",
            "it looks like /ip4/192.168.1.5/tcp/4001/p2p/12D3KooW…; `gossipd id` prints it",
            ExitCode.USAGE,
        )
    return parts[6]
