"""`gossipd predict` and `gossipd eval`: what was learnt, put to use."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gossipd.config import home_directory
from gossipd.control.client import EVALUATE_TIMEOUT
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example
from gossipd_cli.output import Format, emit

app = typer.Typer()

ModelOption = Annotated[
    str,
    typer.Option(
        metavar="MODEL", help="serving, head or base, or the beginning of a hash of models ls."
    ),
]
SERVING = "serving"


@app.command(
    "predict",
    epilog=example(
        "gossipd predict new.csv > answers.csv",
        "gossipd predict new.csv --output answers.csv",
        "gossipd predict photo.jpg",
    ),
)
def predict(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Table, image or folder of images; NPZ with x for other tasks."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="CSV to write. Default: standard output."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file to write.")] = False,
    model: ModelOption = SERVING,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Answer for each example in a file: CSV in, CSV out with a prediction and probabilities.

    Works while the daemon runs and while it does not.
    """
    from gossipd import using

    found = using.predict(home_directory(home), file.expanduser(), model)
    if output is None:
        data: dict[str, Any] = {"hash": found.model, "rows": found.records()}
        emit(output_format, data, lambda _: found.csv().rstrip("\n"))
        return
    using.write_new(output.expanduser(), found.csv(), overwrite=force)
    done = {"hash": found.model, "path": str(output.absolute()), "examples": found.rows}
    emit(output_format, done, render.fields)


@app.command("eval", epilog=example("gossipd eval", "gossipd eval test.csv --format json"))
def evaluate(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Examples with what is right. Default: the task's test set, or what is held out.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1.0, max=86_400.0, help="Seconds to wait for the daemon.")
    ] = EVALUATE_TIMEOUT,
    model: ModelOption = SERVING,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Measure the serving model: accuracy of classes, error and R2 of amounts."""
    if file is None:
        data = client(home).evaluate(timeout)
    else:
        from gossipd import using

        data = using.evaluate(home_directory(home), file.expanduser(), model)
    shown = {name: value for name, value in data.items() if value is not None}
    emit(output_format, data, lambda _: render.fields(shown))
