"""`gossipd service`: started with the machine, watched, and brought back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gossipd.config import home_directory
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render, systemd
from gossipd_cli.options import FormatOption, HomeOption, example, group
from gossipd_cli.output import Format, emit, say

app = group("Run the daemon as a service of systemd.")

SystemOption = Annotated[
    bool,
    typer.Option("--system/--user", help="The machine's, as root; or this user's, the default."),
]


@app.command("show", epilog=example("gossipd service show", "gossipd service show --system"))
def show(
    system: SystemOption = False, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Print the unit that would be installed."""
    data = {"path": str(systemd.place(system=system)), "unit": _unit(home, system)}
    emit(output_format, data, lambda data: data["unit"].rstrip("\n"))


@app.command(
    "install",
    epilog=example(
        "gossipd service install --user",
        "gossipd service install --user --now && loginctl enable-linger",
        "sudo gossipd service install --system --now",
    ),
)
def install(
    system: SystemOption = False,
    now: Annotated[bool, typer.Option("--now", help="Enable and start it, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="In place of one that differs.")] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write the unit where systemd finds it, and have systemd read it."""
    path, text = systemd.place(system=system), _unit(home, system)
    if not force and path.exists() and path.read_text(errors="replace") != text:
        raise OperatorError(
            "unit-differs",
            f"{path} is there and says something else",
            "--force replaces it; `gossipd service show` prints the new one",
        )
    _write(path, text)
    done: dict[str, Any] = {"path": str(path), "reloaded": True, "started": now}
    try:
        systemd.systemctl("daemon-reload", system=system)
        if now:
            systemd.systemctl("enable", "--now", systemd.NAME, system=system)
    except OperatorError as error:
        if now:
            raise
        done["reloaded"] = False
        say(f"the unit is written; systemd has not read it: {error.message}")
    emit(output_format, done, render.fields)
    if not system:
        say("`loginctl enable-linger` lets it run while nobody is logged in")


@app.command("uninstall", epilog=example("gossipd service uninstall"))
def uninstall(
    system: SystemOption = False, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Stop the service and remove its unit; the home stays as it is."""
    path = systemd.place(system=system)
    if not path.exists():
        raise OperatorError("no-unit", f"there is no {path}", "`gossipd service install` makes it")
    try:
        systemd.systemctl("disable", "--now", systemd.NAME, system=system)
    except OperatorError as error:
        if error.code != "no-systemd":
            raise
    path.unlink()
    emit(output_format, {"path": str(path), "removed": True}, render.fields)


def _unit(home: Path | None, system: bool) -> str:
    """A user's service gets the home that the options mean; the machine's only a named one."""
    if system and home is None:
        return systemd.unit(None, system=True)
    found = home_directory(home)
    if system and not found.exists():
        raise OperatorError(
            "no-home",
            f"there is no {found}",
            "`gossipd init --home DIR` makes it, as the user that it shall run as",
            ExitCode.CONFIG,
        )
    return systemd.unit(found, system=system)


def _write(path: Path, text: str) -> None:
    from gossipd.storage.atomic import replace

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode(), mode=0o644)
    except OSError as error:
        raise OperatorError(
            "cannot-write",
            f"{path} cannot be written: {error.strerror}",
            "the machine's service is installed by root: sudo; --user needs none",
            ExitCode.IDENTITY,
        ) from None
