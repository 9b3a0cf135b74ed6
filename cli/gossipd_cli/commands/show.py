"""What a running daemon is, has and lacks: status, health, id, version."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example
from gossipd_cli.output import Format, emit

WATCH_SECONDS = 1.0

app = typer.Typer()


@app.command("status", epilog=example("gossipd status", "gossipd status --watch"))
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until Ctrl-C.")] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Show peers, training, models and what is wrong, at a glance."""
    daemon = client(home)
    if not watch:
        emit(output_format, daemon.status(), render.status)
    else:
        _watch(daemon, output_format)


@app.command("health", epilog=example("gossipd health || gossipd logs --level warning"))
def health(home: HomeOption = None, output_format: FormatOption = Format.text) -> int:
    """Show current warnings; exit code 4 when there are any."""
    data = client(home).health()
    emit(output_format, data, render.health)
    return 0 if data["healthy"] else ExitCode.DEGRADED


@app.command("id", epilog=example("gossipd id", "gossipd id --format json"))
def identity(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Show who this daemon is; works while it is stopped too."""
    try:
        data = client(home).identity()
    except OperatorError as error:
        if error.exit_code != ExitCode.NOT_RUNNING:
            raise
        data = _stored_identity(home)
    emit(output_format, data, render.fields)


@app.command("version", epilog=example("gossipd version --format json"))
def version(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Show the version of this command."""
    import platform

    from gossipd import __version__

    data = {"version": __version__, "python": platform.python_version()}
    emit(output_format, data, lambda data: f"gossipd {data['version']} (Python {data['python']})")


def _stored_identity(home: Path | None) -> dict[str, Any]:
    from gossipd.config import home_directory, paths_of
    from gossipd.members.identity import load

    stored = load(paths_of(home_directory(home)).identity)
    return {"peer_id": stored.peer_id, "public_key": stored.public_key.hex(), "addresses": []}


def _watch(daemon: Client, output_format: Format) -> None:
    if output_format is Format.json or not sys.stdout.isatty():
        while True:
            emit(output_format, daemon.status(), render.status)
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)

    from rich.live import Live
    from rich.text import Text

    def look() -> Any:
        return Text.from_ansi(render.status(daemon.status()), no_wrap=True, overflow="ellipsis")

    with Live(look(), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(look(), refresh=True)
