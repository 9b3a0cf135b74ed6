"""`gossipd task`: what is learnt, and whether code of one's own can be."""

from typing import Annotated, Any

import typer

from gossipd.config import home_directory
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, example, group
from gossipd_cli.output import Format, emit

app = group("Show the task of this swarm; check a task of your own.")


@app.command("check", epilog=example("gossipd task check my_task.py:MyTask"))
def check(
    task: Annotated[str, typer.Argument(metavar="FILE.py:CLASS", help="The task's class.")],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Try a task of your own here: shapes, data, a training step, the same model each time.

    It runs that file, and joins nothing.
    """
    from gossipd.founding import check_code

    emit(output_format, check_code(task), _checked)


@app.command("show", epilog=example("gossipd task show > task.json"))
def show(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Print the task description that all nodes of this swarm have agreed on."""
    from gossipd.founding import description_of

    text, data = description_of(home_directory(home))
    emit(output_format, data, lambda _: text.rstrip())


def _checked(data: dict[str, Any]) -> str:
    shown = {name: value for name, value in data.items() if name != "metrics"}
    return (
        render.fields(shown | data["metrics"])
        + "\n\nit can be learnt: gossipd init --task FILE.py:CLASS"
    )
