"""What the operator set: file, environment, command line -> one frozen struct. Later ones win.

    <home>/config.toml            [network] port = 4001
    GOSSIPD_<SECTION>_<KEY>       GOSSIPD_NETWORK_PORT=4001
    the command line              --set network.port=4001

Every value is checked where it stands, so a mistake is answered with its place, the value, what is
wrong with it and what would be right. A default says where it comes from.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from gossipd.address import check_address, ip_version, peer_of
from gossipd.errors import ExitCode, OperatorError
from gossipd.paths import Paths, default_home, home_directory, paths_of
from gossipd.storage.atomic import create, make_private_directory
from gossipd.wire import limits

__all__ = [
    "Config",
    "GossipConfig",
    "LearningConfig",
    "LogConfig",
    "NetworkConfig",
    "Paths",
    "RoundsConfig",
    "StorageConfig",
    "SwarmConfig",
    "TaskConfig",
    "check_address",
    "default_home",
    "home_directory",
    "load",
    "paths_of",
    "write_initial",
]

# Upper bounds are far above what makes sense: they keep infinity and slips of the keyboard out.
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]

# --- what can be set ------------------------------------------------------------------------------


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen and whom to know."""

    listen: str = "0.0.0.0"
    """IP address to listen on; every IPv4 interface, so that a LAN just works."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """TCP port; 0: a free one, taken at the first start and remembered."""
    peers: tuple[str, ...] = ()
    """Multiaddresses of peers to begin with, each ending in /p2p/<peer id>; others are found."""
    mdns: bool = True
    """Find peers on the local network, and be found."""
    max_connections: Annotated[int, Meta(ge=1, le=limits.CONNECTIONS)] = 64
    """Live connections at once; a guess that a laptop bears easily."""
    dial_timeout: Seconds = 10.0
    """Seconds for one address to answer; a guess, ample for a radio mesh."""
    request_timeout: Seconds = 10.0
    """Seconds until a peer must have answered; a guess."""
    heartbeat_interval: Seconds = 5.0
    """Seconds between two signs of life; a guess between traffic and patience."""
    heartbeat_timeout: Seconds = 15.0
    """Seconds of silence after which a connection counts as dead; three intervals, so that two
    lost heartbeats are borne."""
    progress_timeout: Seconds = 20.0
    """Seconds without a new byte after which a transfer is broken off, to be resumed; a guess."""


class SwarmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which swarm this daemon belongs to."""

    id: str = ""
    """64 hex digits; empty: the open swarm of the task."""


class TaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is learnt, and from which part of the data."""

    name: Literal["digits", "idx"] = "digits"
    """digits: scikit-learn's, built in; idx: the IDX images in the folder `data`."""
    data: str = ""
    """Folder of IDX files, for the task idx."""
    partition: Literal["all", "iid", "dirichlet", "classes"] = "all"
    """How the data is divided among the nodes of an experiment; a device keeps its own whole."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet partition, lower is more skewed; the literature's usual
    "moderate" value."""
    classes_per_node: Count = 2
    """Classes that one node sees in the partition "classes"; the usual pathological case (paper:
    FedAvg)."""
    node: Natural = 0
    """Which part is this node's: 0 to nodes - 1."""
    nodes: Count = 1
    """Parts that the data is divided into."""
    seed: Natural = 0
    """Of the partition and of the model's initial values; the same on every node."""


class LearningConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Local training by SGD."""

    lr: Positive = 0.1
    """Learning rate; ours, measured on digits."""
    momentum: Decay = 0.0
    """None (paper: MoDeST)."""
    weight_decay: Annotated[float, Meta(ge=0, le=1e3)] = 0.0
    """None (paper: MoDeST)."""
    batch_size: Count = 20
    """Examples per mini-batch (paper: MoDeST)."""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Threads of torch; one leaves a laptop usable."""
    background: bool = True
    """Train at low priority (nice 10), behind what people do on the machine."""


class GossipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How models are exchanged and merged."""

    exchange: bool = True
    """False: train alone, give and take nothing."""
    cycle_seconds: Seconds = 0.5
    """Shortest time between two training cycles, in seconds; a longer training stretches it. A
    guess."""
    local_steps: Count = 18
    """Mini-batches per cycle; ours, measured on digits: 5 to 50 do alike."""
    fanout: Annotated[int, Meta(ge=0, le=64)] = 2
    """Peers that are shown the new model after each cycle; ours, measured: two reach what FedAvg
    reaches, one is half as fast."""
    averaging: Literal["variance_corrected", "mean"] = "variance_corrected"
    """Variance-corrected (paper: arXiv 2404.04616)."""
    self_weight: Fraction = 0.2
    """Weight of the own model in a merge. Departure from the paper (.5, arXiv 2404.04616): ours,
    measured on digits, five nodes of two classes: the target is reached in 25-50 cycles instead of
    30-55, and still is when exchanges take as long as half a cycle, where .5 never gets there."""
    buffer: Annotated[int, Meta(ge=1, le=1024)] = 8
    """Received models that start a merge before the cycle is due; a guess."""
    anti_entropy_seconds: Seconds = 5.0
    """Mean seconds between two pulls from one peer; a guess."""
    serving_decay: Decay = 0.8
    """Of the moving average that predictions use; ours, measured."""
    codec: Literal["half", "dense"] = "half"
    """What travels: float16 or float32; half the bytes for no loss that we could measure."""
    init: Literal["genesis", "own"] = "genesis"
    """Start from the task's common initial model, or each from its own random one (the papers')."""


class RoundsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Sampled rounds; what both ways of learning share stands under [gossip]."""

    sample: Annotated[int, Meta(ge=2, le=limits.SAMPLE)] = 5
    """Peers that train in a round. Departure from the paper (10): ours, measured on MNIST: 5 of 20
    reach .90 with two thirds of the transfers that 10 need."""
    aggregators: Annotated[int, Meta(ge=1, le=16)] = 1
    """Aggregators that each trainer sends to (paper: 1, explored up to 5)."""
    success_fraction: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Share of a sample, as far as it is alive, that is waited for (paper: 1.0)."""
    activity_window: Count = 50
    """Rounds without a sign of life after which a peer is no candidate (paper's library: 50)."""
    local_steps: Count = 18
    """Mini-batches per round; ours, as in [gossip] (paper: 5, or one epoch)."""
    round_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.25
    """Least seconds from one round to the next; a guess that leaves a laptop usable."""


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be kept."""

    quota_mb: Annotated[int, Meta(ge=1, le=2**24)] = 1024
    """Megabytes (10^6 bytes) for models and updates; the oldest go first, those in use never. A
    guess."""


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe that is said."""
    format: Literal["text", "json"] = "text"
    """For people or for machines."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    mode: Literal["rounds", "gossip"] = "rounds"
    """How all of a swarm learn: in sampled rounds, or each node on its own clock. Ours, measured on
    MNIST, 20 nodes: to the same accuracy, rounds take a quarter of the transfers."""
    network: NetworkConfig = NetworkConfig()
    swarm: SwarmConfig = SwarmConfig()
    task: TaskConfig = TaskConfig()
    learning: LearningConfig = LearningConfig()
    gossip: GossipConfig = GossipConfig()
    rounds: RoundsConfig = RoundsConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()


_DEFAULTS = Config()
_SECTIONS: dict[str, type[Struct]] = {
    name: type(value)
    for name in Config.__struct_fields__
    if isinstance(value := getattr(_DEFAULTS, name), Struct)
}
_TYPES: dict[str, Any] = {"mode": Config.__annotations__["mode"]} | {
    f"{section}.{field}": kind.__annotations__[field]
    for section, kind in _SECTIONS.items()
    for field in kind.__struct_fields__
}
"""Every dotted key."""

# --- reading --------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """One value, before it is checked."""

    where: str
    """What the operator calls it: with the file, or the variable's name."""
    key: str
    value: Any
    is_text: bool
    """From where there is nothing but text; it is read as the key's type."""


def load(
    home: Path,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The settings of the state directory `home`; without a file, what the others and defaults say.

    `overrides` has dotted keys, from the command line. In the environment and in overrides, text is
    read as the key's type; the items of a list are separated by commas. Raises OperatorError
    "bad-config" (exit 5).
    """
    path = home / "config.toml"
    found = [
        *_from_file(path),
        *_from_environment(os.environ if environ is None else environ),
        *_from_command_line(overrides or {}),
    ]
    return _assemble({setting.key: _checked(setting) for setting in found})


def _from_file(path: Path) -> Iterator[_Setting]:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"{path} is not TOML: {error}", "mend that line; text needs quotes") from None
    except UnicodeDecodeError as error:
        raise _bad(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8") from None
    except OSError as error:
        raise _bad(f"{path} cannot be read: {error.strerror}", f"check {path}") from None
    for name, value in document.items():
        if name not in _SECTIONS:
            yield _Setting(f"{path}: {name}", name, value, False)
        elif isinstance(value, dict):
            for field, inner in value.items():
                yield _Setting(f"{path}: {name}.{field}", f"{name}.{field}", inner, False)
        else:
            raise _bad(f"{path}: {name} = {value!r}: not a section", f"write [{name}] above it")


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Setting]:
    names = {f"GOSSIPD_{key.replace('.', '_').upper()}": key for key in _TYPES}
    ours = tuple(f"GOSSIPD_{section.upper()}_" for section in _SECTIONS)
    for name, text in environ.items():
        if name in names:
            yield _Setting(name, names[name], text, True)
        elif name.startswith(ours):
            raise _bad(f"{name} = {text!r}: no such setting", _nearest(name, names))


def _from_command_line(overrides: Mapping[str, Any]) -> Iterator[_Setting]:
    for key, value in overrides.items():
        yield _Setting(f"{key} (command line)", key, value, isinstance(value, str))


def _checked(setting: _Setting) -> Any:
    """The value as its key's type."""
    where, key, value, is_text = setting
    if key not in _TYPES:
        raise _bad(f"{where} = {value!r}: no such setting", _nearest(key, _TYPES))
    kind = _TYPES[key]
    if is_text and get_origin(kind) is tuple:
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        converted = msgspec.convert(value, kind, strict=not is_text)
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at")[0]
        raise _bad(f"{where} = {value!r}: {reason}", f"give {_right(kind)}") from None
    for text in converted if isinstance(converted, tuple) else (converted,):
        if isinstance(text, str) and not text.isprintable():
            raise _bad(f"{where} = {value!r}: not plain text", "leave control characters out")
    if key in _MEANINGS:
        try:
            _MEANINGS[key](converted)
        except ValueError as error:
            reason, hint = error.args
            raise _bad(f"{where} = {value!r}: {reason}", hint) from None
    return converted


def _assemble(values: Mapping[str, Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    top: dict[str, Any] = {}
    for key, value in values.items():
        section, _, field = key.rpartition(".")
        (sections[section] if section else top)[field] = value
    config = msgspec.convert({**top, **sections}, Config)
    _check_together(config)
    return config


# --- what types alone cannot say ------------------------------------------------------------------


def _check_peers(addresses: tuple[str, ...]) -> None:
    for address in addresses:
        peer_of(address)


def _check_listen(address: str) -> None:
    if ip_version(address) is None:
        raise ValueError("not an IP address", "give this machine's, or 0.0.0.0 or :: for all")


def _check_swarm(text: str) -> None:
    digits = "0123456789abcdefABCDEF"
    if text and (len(text) != 64 or text.strip(digits)):
        raise ValueError("not 64 hex digits", "copy it from another member's `gossipd status`")


_MEANINGS: dict[str, Callable[[Any], None]] = {
    "network.listen": _check_listen,
    "network.peers": _check_peers,
    "swarm.id": _check_swarm,
}
"""Checks that raise ValueError(reason, hint)."""


def _check_together(config: Config) -> None:
    network, task = config.network, config.task
    if network.heartbeat_timeout <= network.heartbeat_interval:
        raise _bad(
            f"network.heartbeat_timeout = {network.heartbeat_timeout:g}: no longer than "
            f"network.heartbeat_interval = {network.heartbeat_interval:g}",
            f"give {3 * network.heartbeat_interval:g}: three intervals",
        )
    if task.node >= task.nodes:
        raise _bad(
            f"task.node = {task.node}: task.nodes = {task.nodes}, and nodes count from 0",
            f"give a whole number from 0 to {task.nodes - 1}, or more nodes",
        )
    if task.name == "idx" and not task.data:
        raise _bad("task.data = '': the task idx has no data", "give the folder of IDX files")


# --- writing --------------------------------------------------------------------------------------


def write_initial(home: Path, values: Mapping[str, Any]) -> Path:
    """Make <home>/config.toml (0600, whole or not at all) with these dotted settings; its path.

    Raises OperatorError "already-initialised" when there is one, "bad-config" for bad values,
    "home-unusable" when it cannot be written.
    """
    checked = {
        setting.key: _checked(setting)
        for setting in (_Setting(key, key, value, False) for key, value in values.items())
    }
    _assemble(checked)
    path = home / "config.toml"
    try:
        make_private_directory(home)
        create(path, _document(checked).encode())
    except FileExistsError:
        raise OperatorError(
            "already-initialised",
            f"{path} is there already",
            "edit it, or choose another state directory with --home",
        ) from None
    except OSError as error:
        raise OperatorError(
            "home-unusable",
            f"{path} cannot be written: {error.strerror}",
            "make the directory writable for this user, or choose another with --home",
            ExitCode.IDENTITY,
        ) from None
    return path


def _document(values: Mapping[str, Any]) -> str:
    lines = [
        "# Settings of gossipd. Only what differs from the defaults needs to stand here.",
        "# For one run: `gossipd start --set KEY=VALUE`, or the variable GOSSIPD_SECTION_KEY.",
    ]
    before = ""
    for key in _TYPES:  # in the order of the sections
        section, _, field = key.rpartition(".")
        default = getattr(getattr(_DEFAULTS, section) if section else _DEFAULTS, field)
        if values.get(key, default) == default:
            continue
        if section != before:
            lines += ["", f"[{section}]"]
            before = section
        lines.append(f"{field} = {_toml(values[key])}  # default: {_toml(default)}")
    return "\n".join(lines) + "\n"


def _toml(value: bool | int | float | str | tuple[str, ...]) -> str:
    """A checked value. Text is printable, so JSON's escapes of it are TOML's too."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# --- saying what is wrong -------------------------------------------------------------------------


def _bad(message: str, hint: str) -> OperatorError:
    return OperatorError("bad-config", message, hint, ExitCode.CONFIG)


def _nearest(name: str, names: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else f"the sections are: {', '.join(_SECTIONS)}"


def _right(kind: Any) -> str:
    """What a value of this type looks like, in words."""
    if get_origin(kind) is Literal:
        return "one of: " + ", ".join(get_args(kind))
    if get_origin(kind) is not Annotated:
        return {bool: "true or false", str: "text in quotes"}.get(kind, "a list of texts")
    base, meta = get_args(kind)
    least = f"from {meta.ge:g}" if meta.ge is not None else f"above {meta.gt:g}"
    most = f"to {meta.le:.10g}" if meta.le is not None else f"below {meta.lt:g}"
    return f"a {'whole ' if base is int else ''}number {least} {most}"
