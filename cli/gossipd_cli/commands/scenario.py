"""`gossipd scenario`: disasters by script, on real daemons or in the simulator."""

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gossipd.errors import ExitCode, OperatorError
from gossipd_cli.commands.dashboard import watched
from gossipd_cli.options import FormatOption, example, group
from gossipd_cli.output import Format, emit, style, table

app = group("Disasters by script, on real daemons or in a simulator.")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="What `run` wrote.")]


class World(StrEnum):
    """What `--backend` takes."""

    real = "real"
    sim = "sim"


@app.command("ls", epilog=example("gossipd scenario ls"))
def ls(output_format: FormatOption = Format.text) -> None:
    """The scenarios that come with gossipd."""
    from gossipd_scenarios import run as scenarios

    emit(output_format, scenarios.ls(), _listed)


@app.command("show", epilog=example("gossipd scenario show blackout"))
def show(
    name: Annotated[str, typer.Argument(help="A scenario's name, or the path of a file.")],
    output_format: FormatOption = Format.text,
) -> None:
    """What a scenario stands for, and its file."""
    from gossipd_scenarios import run as scenarios

    emit(output_format, scenarios.show(name), lambda data: str(data["text"]).rstrip())


@app.command(
    "run",
    epilog=example(
        "gossipd scenario run blackout",
        "gossipd scenario run quake --backend sim --set case=3 --set x=50",
    ),
)
def run(
    name: Annotated[str, typer.Argument(help="A scenario's name, or the path of a file.")],
    backend: Annotated[
        World, typer.Option(help="Real daemons on this machine, or the simulator.")
    ] = World.real,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Another number of nodes.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything left to chance.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter, or any key by its path."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="IDX images to learn instead of the built-in digits."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the report goes. Default: a folder here.", show_default=False
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the daemons' homes and logs in place.")
    ] = False,
    netns: Annotated[
        bool,
        typer.Option("--netns", help="Each daemon in a network namespace; needs the right to."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it in a browser while it runs.")
    ] = False,
    output_format: FormatOption = Format.text,
) -> None:
    """Run a scenario and check what must hold. Exits with 0 only if all of it does."""
    from gossipd_scenarios import run as scenarios

    with watched() if watch else nullcontext() as told:
        result = scenarios.run(
            {
                "told": told,
                "name": name,
                "backend": backend.value,
                "nodes": nodes,
                "seed": seed,
                "values": dict(map(_pair, settings or [])),
                "data": data,
                "output": output,
                "keep": keep,
                "netns": netns,
                "quiet": output_format is Format.json,
            }
        )
        emit(output_format, result, _told)
    if not result["holds"]:
        raise typer.Exit(ExitCode.FAILURE)


@app.command("report", epilog=example("gossipd scenario report scenario-blackout-real-1"))
def report(folder: FolderArgument, output_format: FormatOption = Format.text) -> None:
    """Draw the pictures and the page of a run again."""
    from gossipd_scenarios import run as scenarios

    emit(output_format, scenarios.report(folder), lambda data: str(data["report"]))


@app.command("compare", epilog=example("gossipd scenario compare before after"))
def compare(
    first: FolderArgument, second: FolderArgument, output_format: FormatOption = Format.text
) -> None:
    """Two runs side by side."""
    from gossipd_scenarios import run as scenarios

    emit(output_format, scenarios.compare(first, second), _compared)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise OperatorError(
            "usage", f"--set {text}: no KEY=VALUE", "for example --set share=50", ExitCode.USAGE
        )
    return key, value


# --- as text --------------------------------------------------------------------------------------


def _listed(data: dict[str, Any]) -> str:
    rows = [
        [
            row["name"],
            str(row["nodes"]),
            f"{row['seconds']:g}",
            " ".join(f"{name}={value}" for name, value in row["parameters"].items()),
            row["title"],
        ]
        for row in data["scenarios"]
    ]
    return table(["scenario", ">nodes", ">seconds", "--set", "what happens"], rows)


def _told(data: dict[str, Any]) -> str:
    rows = [
        [
            "holds" if check["holds"] else "FAILS",
            check["name"],
            _number(check["value"]),
            check["bound"],
            check["evidence"],
        ]
        for check in data["checks"]
    ]
    rows += [
        ["-", check["name"], "", check["bound"], check["evidence"]] for check in data["left_out"]
    ]
    lines = [
        f"{data['scenario']}: {data['nodes']} nodes, {data['backend']}, seed {data['seed']}, "
        f"{data['seconds']:.0f} s",
        _coloured(table(["", "check", ">value", "bound", "evidence"], rows)),
        f"report        {data['report']}",
    ]
    if data["log_hash"]:
        lines.append(f"log hash      {data['log_hash']}")
    if data["homes"]:
        lines.append(f"homes         {data['homes']}")
    return "\n".join(lines)


def _coloured(text: str) -> str:
    """What holds and what does not. Afterwards: a table counts the characters of its cells."""
    lines = []
    for line in text.splitlines():
        word = line[:5]
        colour = {"holds": "32", "FAILS": "31;1"}.get(word)
        lines.append(style(word, colour) + line[5:] if colour else line)
    return "\n".join(lines)


def _compared(data: dict[str, Any]) -> str:
    rows = [
        [row["what"], *(_number(row[key]) for key in ("first", "second", "difference"))]
        for row in data["rows"]
    ]
    lines = [f"first: {data['first']}, second: {data['second']}"]
    return "\n".join([*lines, table(["", ">first", ">second", ">difference"], rows)])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
