"""What every command has: its options, its client, its help."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd.config import home_directory, paths_of
from gossipd.control.client import Client
from gossipd_cli.output import Format

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="State directory. Default: $GOSSIPD_HOME, else the user's data directory.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="json: exactly one {schema_version, status, data|error}."),
]
StreamFormatOption = Annotated[
    Format,
    typer.Option("--format", help="json: one JSON line for each element."),
]


def client(home: Path | None) -> Client:
    """The client of the daemon that the options mean."""
    return Client(paths_of(home_directory(home)).socket)


def group(text: str) -> typer.Typer:
    """A command with commands below it; without one of them it shows its help."""
    app = typer.Typer(help=text)

    @app.callback(invoke_without_command=True)
    def show_help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return app


def example(*lines: str) -> str:
    """A command's epilog: lines that the help shows as they are."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
