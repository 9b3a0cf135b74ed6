"""`gossipd bundle`: what was learnt as a file, for where there is no network at all."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Carry updates by hand: on a stick, from daemons that no network connects.")


@app.command(
    "export",
    epilog=example(
        "gossipd bundle export /media/stick/north.bundle",
        "gossipd bundle export --all --force /media/stick/north.bundle",
    ),
)
def export_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, whole or not.")],
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            "-a",
            help="All updates that this daemon keeps, others' too. Default: the models that it "
            "stands on, and what it has met and not merged yet.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write signed updates, and what is known of the swarm, into one file."""
    data = client(home).export_bundle(file, everything=everything, force=force)
    emit(output_format, data, render.fields)


@app.command("import", epilog=example("gossipd bundle import /media/stick/north.bundle"))
def import_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `bundle export` has written.")],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Take what is good in a file from elsewhere, as if a peer had shown it, and refuse the rest.

    Every part is signed by its author and checked on its own: what is damaged, forged or another
    swarm's is counted by reason, and all else is taken.
    """
    emit(output_format, client(home).import_bundle(file), render.bundle)
