"""`gossipd models`: what was learnt, which of it is used, and what is kept."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd.config import home_directory
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import rankings, render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

OTHERS_SHOWN = 5

app = group("Find, use, keep and export models.")

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="serving, head or base, or the beginning of a hash (eight digits or more).",
    ),
]


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


@app.command(
    "search",
    epilog=example("gossipd models search seals", "gossipd models search 'label/3' --explain"),
)
def search_models(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Words of its title, tags, licence, or a label.")
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the votes that each score is made of.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Models to show.")] = 20,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Find models by what is said of them, and by what people chose.

    Nobody is asked: it searches what this device has seen, and works without any peer.
    """
    data = client(home).search_models(query, limit)
    emit(output_format, data, lambda answer: rankings.found(answer, explain=explain))


@app.command("show", epilog=example("gossipd models show serving", "gossipd models show 3fa9c1d2"))
def show_model(
    model: ModelArgument,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Show all that is known of one model."""
    emit(output_format, client(home).show_model(model), rankings.shown)


@app.command("use", epilog=example("gossipd models use 3fa9c1d2", "gossipd models use --follow"))
def use_model(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="The beginning of a hash (eight digits or more), or head, base or serving as they "
            "are now.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Use the serving model again, and all that it learns.")
    ] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Choose the model that predict, eval and export answer with, until --follow.

    Learning goes on as before, and others are shown the same models. A restart changes nothing.
    """
    if (model is None) != follow:
        raise OperatorError(
            "usage",
            "name one model, or --follow"
            if model is None
            else "a model and --follow exclude each other",
            "`gossipd models search` and `gossipd models ls` show what there is",
            ExitCode.USAGE,
        )
    emit(output_format, client(home).use_model(model), rankings.answering)


@app.command("rollback", epilog=example("gossipd models rollback"))
def roll_back(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Choose the serving model before the one that answers now; again: the one before that.

    It is a choice as by `use`: the swarm's model, and what this device learns on, stay the same.
    After `use` of a model that was never serving here, it ends that choice.
    """
    emit(output_format, client(home).roll_back(), rankings.answering)


@app.command("pin", epilog=example("gossipd models pin serving", "gossipd models pin 3fa9c1d2"))
def pin_model(
    model: ModelArgument,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Keep a model, even when storage.quota_mb is used up."""
    emit(output_format, client(home).pin_model(model), rankings.pinned)


@app.command("unpin", epilog=example("gossipd models unpin 3fa9c1d2"))
def unpin_model(
    model: ModelArgument,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Let a model go again when room is needed."""
    emit(output_format, client(home).unpin_model(model), rankings.pinned)
