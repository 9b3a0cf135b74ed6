"""`gossipd config`: what is set, where, and how to change it."""

import json
from typing import Annotated, Any

import typer

from gossipd.config import (
    RELOADED,
    check_text,
    home_directory,
    load,
    origins,
    paths_of,
    values_of,
)
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit, printable, say, table

app = group("Show, change and check the settings.")

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="As network.port: docs/configuration.md has them all.")
]


@app.command(
    "get", epilog=example("gossipd config get", "gossipd config get network.port --format json")
)
def get(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="One key; without it, all that differ from their default."
        ),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Every key there is.")] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Show settings as the next start takes them, and where they come from."""
    directory = home_directory(home)
    values, found = values_of(load(directory)), origins(directory)
    if key is not None and key not in values:
        raise OperatorError(
            "unknown-key",
            f"there is no setting {key!r}",
            "`gossipd config get --all` shows every one",
            ExitCode.USAGE,
        )
    rows = [
        {"key": name, "value": _plain(value), "from": found.get(name, "default")}
        for name, value in values.items()
        if name == key or (key is None and (show_all or name in found))
    ]
    if key is not None:
        emit(output_format, rows[0], lambda row: json.dumps(row["value"], ensure_ascii=False))
        return
    emit(output_format, rows, _rows)


@app.command(
    "set",
    epilog=example(
        "gossipd config set guest.train_when plugged",
        "gossipd config set network.port 4001",
        "gossipd config set network.port --default",
    ),
)
def set_(
    key: KeyArgument,
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="Lists: items with commas between them."),
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Take the setting out of the file.")
    ] = False,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Change config.toml, with the comments in it kept, and tell a running daemon.

    The whole file is checked first; a mistake changes nothing.
    """
    from gossipd.configfile import change

    if (value is None) is not default:
        raise typer.BadParameter("give a value, or --default", param_hint="VALUE")
    paths = paths_of(home_directory(home))
    change(paths, key, value)
    values = values_of(load(paths.home))
    told = reload_daemon(home)
    done = {"key": key, "value": _plain(values[key]), "daemon": told}
    emit(output_format, done, render.fields)
    if told == "running" and key not in RELOADED:
        say("it holds from the daemon's next start on")


@app.command("validate", epilog=example("gossipd config validate"))
def validate(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Check the file, the environment, and both together; exit code 5 with the first mistake."""
    paths = paths_of(home_directory(home))
    if paths.config.exists():
        check_text(paths.config.read_text(encoding="utf-8", errors="replace"), paths.config)
    load(paths.home)
    emit(output_format, {"valid": True, "file": str(paths.config)}, lambda data: "valid")


@app.command("paths", epilog=example("gossipd config paths", "gossipd config paths --format json"))
def paths(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Show where everything lies."""
    import msgspec

    found = paths_of(home_directory(home))
    data = {name: str(path) for name, path in msgspec.structs.asdict(found).items()}
    emit(output_format, data, render.fields)


@app.command("reload", epilog=example("gossipd config reload"))
def reload(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Have the running daemon read its settings again, as SIGHUP does."""
    emit(output_format, client(home).reload(), _reloaded)


def reload_daemon(home: Any) -> str:
    """Whether a daemon runs, which has read its settings again then."""
    try:
        client(home).reload()
    except OperatorError as error:
        if error.exit_code != ExitCode.NOT_RUNNING:
            raise
        return "stopped"
    return "running"


def _reloaded(data: dict[str, Any]) -> str:
    applied = ", ".join(f"{key} = {value}" for key, value in data["applied"].items())
    restart = ", ".join(data["restart"])
    return f"taken over: {applied or 'nothing'}; from the next start on: {restart or 'nothing'}"


def _rows(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "everything has its default"
    return table(
        ("KEY", "VALUE", "FROM"),
        [
            (row["key"], json.dumps(row["value"], ensure_ascii=False), row["from"])
            for row in printable(rows)
        ],
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
