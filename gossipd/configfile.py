"""Changing one setting in config.toml, with all that its owner wrote around it."""

from collections.abc import Collection
from pathlib import Path

from gossipd.config import Paths, check_text, convert
from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import make_private_directory, replace


def change(paths: Paths, key: str, text: str | None) -> None:
    """Set `key` to what `text` says, or, with None, back to its default.

    The whole file is checked before it is written. OperatorError "bad-config", "home-unusable".
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    value = None if text is None else convert(key, text)
    before = _text_of(paths.config)
    try:
        document = tomlkit.parse(before)
    except TOMLKitError:
        check_text(before, paths.config)  # says where it is wrong
        raise
    section, _, field = key.rpartition(".")
    table = document.setdefault(section, tomlkit.table()) if section else document
    if value is None:
        table.pop(field, None)
    else:
        table[field] = list(value) if isinstance(value, tuple) else value
    after = tomlkit.dumps(document)
    check_text(after, paths.config)
    try:
        make_private_directory(paths.home)
        replace(paths.config, after.encode())
    except OSError as error:
        raise _unusable(paths.config, "written", error) from None


def block(paths: Paths, blocked: Collection[str], peer: str, wanted: bool) -> None:
    """Have a peer in `network.block`, or not; `blocked`: who is. OperatorError "not-blocked", and
    as `change`."""
    left = [one for one in blocked if one != peer] + [peer] * wanted
    if not wanted and peer not in blocked:
        raise OperatorError(
            "not-blocked",
            f"{peer} is not blocked here",
            "`gossipd config get network.block` shows who is",
            ExitCode.USAGE,
        )
    change(paths, "network.block", ",".join(left) if left else None)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, "read", error) from None


def _unusable(path: Path, what: str, error: Exception) -> OperatorError:
    return OperatorError(
        "home-unusable",
        f"{path} cannot be {what}: {error}",
        "make it usable for this user, or choose another state directory with --home",
        ExitCode.IDENTITY,
    )
