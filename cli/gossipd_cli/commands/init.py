"""`gossipd init`: from data, or code, of one's own to a state directory that can start."""

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gossipd.config import Paths, home_directory, paths_of, write_initial
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.commands.members import found_swarm
from gossipd_cli.options import FormatOption, HomeOption, example
from gossipd_cli.output import Format, emit, printable, say, table

if TYPE_CHECKING:
    from gossipd.founding import Plan

TEMPLATE = "my_task.py"

app = typer.Typer()


class Kind(StrEnum):
    """What `--kind` takes."""

    auto = "auto"
    classification = "classification"
    regression = "regression"


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Directory of IDX files to train on. Default: the built-in digits.",
        exists=True,
        file_okay=False,
        resolve_path=True,
        show_default=False,
    ),
]
SwarmOption = Annotated[
    str | None,
    typer.Option(
        "--swarm",
        metavar="HEX",
        help="Open swarm to belong to. Default with --data: a new closed one, else the open one.",
        show_default=False,
    ),
]


@app.command(
    "init",
    epilog=example(
        "gossipd init",
        "gossipd init --data patients.csv --target diagnosis",
        "gossipd init --data ~/birds          # a folder of images for each class",
        "gossipd init --data mine.csv --task-file task.json   # to join others",
        "gossipd init --template && gossipd init --task my_task.py:MyTask",
    ),
)
def init(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Table (CSV, NPZ, Parquet), or folder of images by class, or of IDX files.",
            exists=True,
            resolve_path=True,
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column of the table to be learnt.")
    ] = "",
    kind: Annotated[
        Kind, typer.Option(help="Whether the target is a class or an amount.")
    ] = Kind.auto,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Leave a column out; may be repeated.", show_default=False
        ),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Take a column's numbers for names; may be repeated.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="A,B,...", help="All classes, where these rows lack some.")
    ] = "",
    hidden: Annotated[
        str, typer.Option(metavar="N,N,...", help="Units of the hidden layers. Default: 32.")
    ] = "",
    title: Annotated[
        str, typer.Option(help="What to call the task. Default: the data's name.")
    ] = "",
    task_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Task description of the swarm to join: its founder's task.json.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(metavar="FILE.py:CLASS", help="A task of your own; see --template.")
    ] = "",
    template: Annotated[
        bool, typer.Option("--template", help=f"Write {TEMPLATE} here to begin with, and no more.")
    ] = False,
    swarm: SwarmOption = None,
    joining: Annotated[
        bool, typer.Option("--joining", help="Found no swarm: enter one that you are invited to.")
    ] = False,
    closed: Annotated[
        bool, typer.Option("--closed", help="Found a closed swarm, as own data always does.")
    ] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Make a state directory: settings, an identity, a task. Never overwrites one.

    With data or code of your own it founds a closed swarm, whose task is what your data show.
    """
    if template:
        emit(output_format, _write_template(), lambda data: f"wrote {data['path']}")
        return
    paths = paths_of(home_directory(home))
    if closed and swarm:
        raise typer.BadParameter("a closed swarm has a new id", param_hint="--swarm")
    plan: Plan | None = None
    if task:
        from gossipd.founding import plan_for_code

        plan = plan_for_code(task, data)
    elif data or task_file:
        from gossipd.founding import Wishes, plan_for

        wishes = Wishes(
            target=target,
            kind=kind.value,
            ignore=tuple(ignore or ()),
            categories=tuple(categories or ()),
            classes=_listed(classes),
            hidden=_units(hidden),
            title=title,
            task_file=task_file,
        )
        plan = plan_for(data, wishes)
    done = make_home(paths, plan, swarm, found=closed or (plan is not None and not joining))
    emit(output_format, done, understood)
    if plan is not None and plan.description is not None and plan.founds:
        say("start it, then let others in: gossipd invite")


def initialise(paths: Paths, data: Path | None, swarm: str | None) -> dict[str, Any]:
    """What `gossipd start` does where there is no state directory yet."""
    plan: Plan | None = None
    if data is not None:
        from gossipd.founding import Wishes, plan_for

        plan = plan_for(data, Wishes())
    return make_home(paths, plan, swarm, found=plan is not None)


def make_home(
    paths: Paths, plan: "Plan | None", swarm: str | None, *, found: bool
) -> dict[str, Any]:
    """Write all of it, or nothing."""
    values = dict(plan.settings) if plan else {}
    if swarm:
        values["swarm.id"] = swarm
    found = found and not swarm and (plan is None or plan.founds)
    is_new = not paths.home.exists()
    write_initial(paths.home, values)
    try:
        peer_id = _identity(paths)
        if plan is not None:
            plan.write(paths)
        entered = found_swarm(paths.home)["swarm"] if found else swarm
    except BaseException:
        paths.config.unlink()
        if plan is not None and plan.description is not None:
            paths.task.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                paths.home.rmdir()
        raise
    done = {
        "home": str(paths.home),
        "peer_id": peer_id,
        "task": values.get("task.name", "digits"),
        "data": values.get("task.data"),
        "swarm": entered,
    }
    if plan is not None and plan.description is not None:
        from gossipd.founding import about

        done |= about(plan.description)
    return done | ({"columns": list(plan.findings)} if plan is not None else {})


def _identity(paths: Paths) -> str:
    from gossipd.members.identity import load_or_create

    return load_or_create(paths.identity).peer_id


def _write_template() -> dict[str, Any]:
    from gossipd.founding import template
    from gossipd.using import write_new

    path = Path(TEMPLATE).absolute()
    write_new(path, template(), overwrite=False)
    say(f"change it, then: gossipd task check {TEMPLATE}:MyTask")
    return {"path": str(path)}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _units(text: str) -> tuple[int, ...]:
    if not all(item.isdigit() and 0 < int(item) <= 4096 for item in _listed(text)):
        raise OperatorError(
            "usage", f"--hidden {text!r}: not a list of units", "as in 64,32", ExitCode.USAGE
        )
    return tuple(map(int, _listed(text)))


def understood(data: dict[str, Any]) -> str:
    """How each column was understood, then what was made."""
    fields = render.fields({name: value for name, value in data.items() if name != "columns"})
    columns = printable(data.get("columns", []))
    if not columns:
        return fields
    rows = [(c["column"], c["type"], str(c["missing"] or "-"), c["detail"]) for c in columns]
    return table(("COLUMN", "TYPE", ">MISSING", "DETAIL"), rows) + "\n\n" + fields
