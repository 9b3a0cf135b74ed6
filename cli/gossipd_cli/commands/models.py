"""`gossipd models`: what was learnt."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd.config import home_directory
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

OTHERS_SHOWN = 5

app = group("Show and export models.")


@app.command("ls", epilog=example("gossipd models ls", "gossipd models ls --format json"))
def list_models(
    show_all: Annotated[
        bool, typer.Option("--all", "-a", help="Show all the older ones, not the newest only.")
    ] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """List the models kept here: serving, head, base and older ones."""
    shown = None if show_all else OTHERS_SHOWN
    emit(output_format, client(home).models(), lambda data: render.models(data, shown))


@app.command(
    "export",
    epilog=example(
        "gossipd models export serving model.safetensors",
        "gossipd models export serving model.safetensors --loader load_model.py",
    ),
)
def export_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="serving, head or base, or the beginning of a hash of models ls."
        ),
    ],
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write, in safetensors format.")
    ],
    loader: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Write as well what loads it with torch alone.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older loader.")] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write a model to a file that any safetensors reader can load."""
    where = home_directory(home)
    if loader is not None:
        from gossipd.using import write_loader

        write_loader(where, loader.expanduser(), overwrite=force)
    try:
        data = client(home).export(model, path)
    except OperatorError as error:
        if error.exit_code != ExitCode.NOT_RUNNING:
            raise
        from gossipd.using import export

        data = export(where, model, path.absolute())
    if loader is not None:
        data["loader"] = str(loader.absolute())
    emit(output_format, data, render.fields)
