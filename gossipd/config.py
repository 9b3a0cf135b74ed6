"""What the operator set: file, environment, command line -> one frozen struct. Later ones win.

    <home>/config.toml            [network] port = 4001
    GOSSIPD_<SECTION>_<KEY>       GOSSIPD_NETWORK_PORT=4001
    the command line              --set network.port=4001

Every value is checked where it stands, so a mistake is answered with its place, the value, what is
wrong with it and what would be right. What there is to be set stands in `settings`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Struct

from gossipd.address import announced, check_address, ip_version, peer_id_of, peer_of
from gossipd.errors import ExitCode, OperatorError
from gossipd.paths import Paths, default_home, home_directory, paths_of
from gossipd.settings import (
    RELOADED,
    Config,
    GossipConfig,
    GuestConfig,
    LearningConfig,
    LogConfig,
    Natural,
    NetworkConfig,
    RoundsConfig,
    StorageConfig,
    SwarmConfig,
    TaskConfig,
)
from gossipd.storage.atomic import create, make_private_directory
from gossipd.wire import limits

__all__ = [
    "RELOADED",
    "Config",
    "GossipConfig",
    "GuestConfig",
    "LearningConfig",
    "LogConfig",
    "NetworkConfig",
    "Paths",
    "RoundsConfig",
    "StorageConfig",
    "SwarmConfig",
    "TaskConfig",
    "check_address",
    "check_text",
    "convert",
    "default_home",
    "home_directory",
    "load",
    "origins",
    "paths_of",
    "values_of",
    "write_initial",
]

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


def origins(
    home: Path,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Where each key that was set got its value from; the others have their default."""
    path = home / "config.toml"
    return {
        **{setting.key: str(path) for setting in _from_file(path)},
        **{s.key: s.where for s in _from_environment(os.environ if environ is None else environ)},
        **{setting.key: "the command line" for setting in _from_command_line(overrides or {})},
    }


def check_text(text: str, path: Path) -> None:
    """Whether `text` would do as the file `path`; OperatorError "bad-config"."""
    _assemble({setting.key: _checked(setting) for setting in _from_text(text, path)})


def values_of(config: Config) -> dict[str, Any]:
    """Every dotted key and its value, in the order of the reference."""
    return {
        key: getattr(getattr(config, section) if section else config, field)
        for key in _TYPES
        for section, _, field in [key.rpartition(".")]
    }


def convert(key: str, text: str) -> Any:
    """What somebody typed, as the key's type; OperatorError "bad-config"."""
    return _checked(_Setting(key, key, text, True))


def _from_file(path: Path) -> Iterator[_Setting]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise _bad(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8") from None
    except OSError as error:
        raise _bad(f"{path} cannot be read: {error.strerror}", f"check {path}") from None
    yield from _from_text(text, path)


def _from_text(text: str, path: Path) -> Iterator[_Setting]:
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"{path} is not TOML: {error}", "mend that line; text needs quotes") from None
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


def _check_peer_ids(peers: tuple[str, ...]) -> None:
    for peer in peers:
        peer_id_of(peer)


def _check_listen(address: str) -> None:
    if ip_version(address) is None:
        raise ValueError("not an IP address", "give this machine's, or 0.0.0.0 or :: for all")


def _check_swarm(text: str) -> None:
    digits = "0123456789abcdefABCDEF"
    if text and (len(text) != 64 or text.strip(digits)):
        raise ValueError("not 64 hex digits", "copy it from another member's `gossipd status`")


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        raise ValueError(f"{len(text)} characters", f"give at most {most}")


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) >= limits.TAGS:  # the task's name is one of those that are signed
        raise ValueError(f"{len(tags)} tags", f"give at most {limits.TAGS - 1}")
    for tag in tags:
        _check_length(tag, limits.TAG_TEXT)


_MEANINGS: dict[str, Callable[[Any], object]] = {
    "network.allow": _check_peer_ids,
    "network.announce": announced,
    "network.block": _check_peer_ids,
    "network.listen": _check_listen,
    "network.peers": _check_peers,
    "swarm.id": _check_swarm,
    "task.licence": partial(_check_length, most=limits.LICENCE_TEXT),
    "task.tags": _check_tags,
    "task.title": partial(_check_length, most=limits.TITLE_TEXT),
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
    if config.mode == "rounds" and config.gossip.init == "own":
        raise _bad(
            'gossip.init = "own": in rounds all begin with the task\'s common initial model',
            'give "genesis", or mode = "gossip"',
        )
    if task.node >= task.nodes:
        raise _bad(
            f"task.node = {task.node}: task.nodes = {task.nodes}, and nodes count from 0",
            f"give a whole number from 0 to {task.nodes - 1}, or more nodes",
        )
    if task.node + task.parts > task.nodes:
        raise _bad(
            f"task.parts = {task.parts}: from task.node = {task.node} on there are "
            f"{task.nodes - task.node}",
            "give fewer, or more nodes",
        )
    if task.name == "idx" and not task.data:
        raise _bad("task.data = '': the task idx has no data", "give the folder of IDX files")
    if task.name == "code" and not task.code:
        raise _bad("task.code = '': the task is code of your own", "give FILE.py:CLASS")


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


def _toml(value: bool | int | float | str | tuple[str | int, ...]) -> str:
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
        return {
            bool: "true or false",
            str: "text in quotes",
            tuple[Natural, ...]: "a list of whole numbers",
        }.get(kind, "a list of texts")
    base, meta = get_args(kind)
    least = f"from {meta.ge:g}" if meta.ge is not None else f"above {meta.gt:g}"
    most = f"to {meta.le:.10g}" if meta.le is not None else f"below {meta.lt:g}"
    return f"a {'whole ' if base is int else ''}number {least} {most}"
