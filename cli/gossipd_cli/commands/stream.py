"""`gossipd logs` and `gossipd events`: what happened, and what is happening."""

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from gossipd.control.client import text_of
from gossipd_cli import render
from gossipd_cli.options import HomeOption, StreamFormatOption, client, example
from gossipd_cli.output import Format, coloured, emit, emit_line, say

LOG_POLL_SECONDS = 0.5
EVENT_WAIT_SECONDS = 30.0

app = typer.Typer()


class Level(StrEnum):
    """What `--level` takes."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
]


@app.command(
    "logs",
    epilog=example(
        "gossipd logs -n 20",
        "gossipd logs -f --level warning --room network",
        "gossipd logs --set network=debug",
        "gossipd logs --set network=default",
    ),
)
def logs(
    follow: FollowOption = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="Newest records to begin with.")
    ] = 100,
    level: Annotated[Level, typer.Option(help="Leave out what is below.")] = Level.debug,
    room: Annotated[
        str, typer.Option(help="Only of this part of the daemon, as network.", show_default=False)
    ] = "",
    set_level: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="ROOM=LEVEL",
            help="From now on record a room, or all, from this level on; default takes it back.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    output_format: StreamFormatOption = Format.text,
) -> None:
    """Show the daemon's log records, newest last; or set what is recorded, while it runs."""
    daemon = client(home)
    if set_level is not None:
        named, _, wanted = set_level.partition("=")
        emit(output_format, daemon.set_log_level(named, wanted), render.fields)
        return
    colour = coloured(sys.stdout)
    batch = daemon.logs(level=level.value, room=room, limit=max(1, lines), newest=True)
    records = batch["records"] if lines else []
    while True:
        for record in records:
            emit_line(output_format, record, lambda row: text_of(row, colour=colour))
        if not follow:
            return
        time.sleep(LOG_POLL_SECONDS)
        batch = daemon.logs(batch["next"], run=batch["run"], level=level.value, room=room)
        _tell_missed(batch["missed"])
        records = batch["records"]


@app.command("events", epilog=example("gossipd events -f", "gossipd events --since 120"))
def events(
    follow: FollowOption = False,
    since: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Only events after this number. Default: all; with -f the newest 10.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    output_format: StreamFormatOption = Format.text,
) -> None:
    """Show what happened: connections, updates, merges, refusals."""
    daemon = client(home)
    if since is None and follow:
        batch = daemon.events(limit=10, newest=True)
    else:
        batch = daemon.events(since or 0, limit=10_000)
        _tell_missed(batch["missed"] if since else 0)
    while True:
        for event in batch["events"]:
            emit_line(output_format, event, render.event)
        if not follow:
            return
        batch = daemon.events(batch["next"], run=batch["run"], wait=EVENT_WAIT_SECONDS)
        _tell_missed(batch["missed"])


def _tell_missed(count: int) -> None:
    if count:
        say(f"... {count} older ones are no longer kept")
