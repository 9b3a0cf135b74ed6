"""`gossipd models` and `gossipd eval`: what was learnt."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Show and export models.")


@app.command("ls", epilog=example("gossipd models ls"))
def list_models(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """List the models kept here: base, head, serving and older ones."""
    emit(output_format, client(home).models(), render.models)


@app.command("export", epilog=example("gossipd models export serving model.safetensors"))
def export_model(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="serving, head or base.")],
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write, in safetensors format.")
    ],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write a model to a file that any safetensors reader can load."""
    emit(output_format, client(home).export(role, path), render.fields)
