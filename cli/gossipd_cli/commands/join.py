"""`gossipd invite` and `gossipd join`: a swarm that another device enters with one pasted line."""

import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gossipd.config import Paths, home_directory, paths_of, write_initial
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.commands import init
from gossipd_cli.options import FormatOption, HomeOption, client, example
from gossipd_cli.output import Format, emit, say

JOIN_SECONDS = 30.0
INVITE_DAYS = 7.0
"""A guess: a week to get round to it. Also the library's default."""
_UNITS = {"m": 1 / 1440, "h": 1 / 24, "d": 1.0}
"""Days in each."""

if TYPE_CHECKING:
    from gossipd.members.invitations import Invitations
    from gossipd.members.joining import Line

app = typer.Typer()


@app.command(
    "invite",
    epilog=example(
        "gossipd invite",
        "gossipd invite --name 'station 4' --expires 12h",
        "gossipd invite --uses 20 --expires never --no-qr",
        "gossipd invite --list",
        "gossipd invite --withdraw 5f3a90c1",
    ),
)
def invite(
    name: Annotated[str, typer.Option(help="What to call who enters with it, for people.")] = "",
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it is good: 30m, 12h, 7d, or never.")
    ] = f"{INVITE_DAYS:g}d",
    uses: Annotated[int, typer.Option(help="How many devices may enter with it.")] = 1,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show it as a picture, too.")] = True,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show the invitations that were made.")
    ] = False,
    withdraw: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Let nobody in with this one any more.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Print one line with which another device joins. On the founder's device, while it runs.

    Whoever has the line can enter: hand it on like a key. With the daemon stopped, --list and
    --withdraw still work.
    """
    daemon, days = client(home), _days(expires)
    if show_list:
        rows = _do(home, daemon.invitations, lambda kept, now: kept.rows(now))
        emit(output_format, rows, render.invitations)
        return
    if withdraw is not None:
        row = _do(
            home,
            lambda: daemon.withdraw_invitation(withdraw),
            lambda kept, now: kept.withdraw(withdraw, now),
        )
        emit(output_format, row, lambda row: f"{row['state']}")
        return
    made = _do(home, lambda: daemon.invite(name, days, uses), _not_now)
    if output_format is Format.text and qr and sys.stdout.isatty():
        say(picture(made["line"]))
    if output_format is Format.text and sys.stdout.isatty():
        say(render.invitation(made))
    emit(output_format, made, lambda data: f"gossipd join {data['line']}")


@app.command(
    "join",
    epilog=example(
        "gossipd join gossipd-lQHEEK...",
        "gossipd join gossipd-lQHEEK... --data mine.csv",
        "gossipd start --detach",
    ),
)
def join(
    line: Annotated[
        str, typer.Argument(metavar="LINE", help="What `gossipd invite` printed; - reads stdin.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="What to train on: a table or a folder. Without it, a swarm with data of its own "
            "gains a device that carries and uses what others learn.",
            exists=True,
            resolve_path=True,
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(metavar="FILE.py:CLASS", help="The swarm's task, if it is code of its own."),
    ] = "",
    timeout: Annotated[
        float, typer.Option(min=1.0, max=3600.0, help="Seconds to try to reach the inviter.")
    ] = JOIN_SECONDS,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Make a state directory that belongs to the inviter's swarm. Then: gossipd start."""
    from gossipd.members.joining import describes, parse

    text = sys.stdin.read(8192) if line == "-" else line
    told = parse(text)
    paths = paths_of(home_directory(home))
    is_new = _prepare(paths, text, _settings(told, data, task))
    try:
        peer_id = _complete(paths, timeout)
    except OperatorError as error:
        entered = paths.members.exists()  # then the line is used up, and only the data are wrong
        if is_new and not entered and error.exit_code != ExitCode.TEMPORARY:
            _undo(paths)
        raise
    done = {
        "home": str(paths.home),
        "peer_id": peer_id,
        "swarm": told.swarm.hex(),
        "closed": told.invitation is not None,
        "inviter": told.inviter,
    }
    if data is not None and describes(told):
        done["columns"] = _findings(paths, data)
    emit(output_format, done, init.understood)
    say("joined; `gossipd start` begins to learn with the others")


def _do(
    home: Path | None,
    by_daemon: Callable[[], Any],
    without: Callable[["Invitations", float], Any],
) -> Any:
    """Have the daemon do it; do it here when none runs in the home of a closed swarm's member."""
    try:
        return by_daemon()
    except OperatorError as error:
        paths = paths_of(home_directory(home))
        if error.exit_code != ExitCode.NOT_RUNNING or not paths.members.exists():
            raise
    from gossipd.members.invitations import Invitations
    from gossipd.members.membership import at_rest

    with at_rest(paths.home) as books:
        return without(Invitations(books), time.time())


def _not_now(kept: "Invitations", now: float) -> NoReturn:
    """A line leads to a daemon that listens, and only the founder's lets anybody in."""
    kept.books.founded()  # says who can, where this is not the founder's device
    raise OperatorError(
        "not-running",
        "the line would lead nowhere: the daemon is stopped",
        "`gossipd start --detach`, then invite; by hand `gossipd members issue` lets a device in",
        ExitCode.NOT_RUNNING,
    )


def picture(line: str) -> str:
    """The line as a QR code of half blocks, dark on light whatever the terminal's colours."""
    import segno  # some 20 ms, for this alone

    code = segno.make(line, error="l", boost_error=False, micro=False)
    rows = [bytes(row) for row in code.matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    blocks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    drawn = (
        "".join(blocks[upper, lower] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(f"\x1b[30;107m{row}\x1b[0m" for row in drawn)


def _days(text: str) -> float | None:
    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([mhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not like 30m, 12h, 7d or never", param_hint="TIME")
    return float(found[1]) * _UNITS[found[2]]


def _settings(told: "Line", data: Path | None, task: str) -> dict[str, Any]:
    """What the new home is told. What a task's description makes of `data` is found out once it is
    here; without one it is code, or IDX files, or the built-in task."""
    from gossipd.members.joining import describes

    described = describes(told)
    values: dict[str, Any] = {} if told.mode == "rounds" else {"mode": told.mode}
    if task:
        from gossipd.founding import plan_for_code

        return values | plan_for_code(task, data).settings
    if described or data is None:
        return values | ({} if data is None else {"task.data": str(data)})
    if not data.is_dir():
        raise OperatorError(
            "no-description",
            f"the inviter's swarm does not learn from tables, as {data.name} is one",
            "ask the inviter what its task is; a folder of IDX files, or --task FILE.py:CLASS",
            ExitCode.USAGE,
        )
    return values | {"task.name": "idx", "task.data": str(data)}


def _findings(paths: Paths, data: Path) -> list[dict[str, Any]]:
    """What the description that came has made of each column, or of the images."""
    from gossipd.founding import Wishes, plan_for

    return list(plan_for(data, Wishes(task_file=paths.task)).findings)


def _prepare(paths: Paths, text: str, values: dict[str, Any]) -> bool:
    """Make the home, or find the one that was made for this line before; whether it is new."""
    from gossipd.configfile import change
    from gossipd.members.identity import load_or_create
    from gossipd.members.joining import addresses_of, parse, pending, remember

    told = parse(text)
    waiting = pending(paths.home)
    if waiting is not None and parse(waiting) == told:
        for key, value in values.items():  # the last time the inviter was away, or data did not fit
            change(paths, key, str(value))
        return False
    if told.addresses:
        values |= {"network.peers": list(addresses_of(told))}
    if told.invitation is None:
        values |= {"swarm.id": told.swarm.hex()}
    write_initial(paths.home, values)
    try:
        load_or_create(paths.identity)
        remember(paths.home, text)
    except BaseException:
        _undo(paths)
        raise
    return True


def _complete(paths: Paths, timeout: float) -> str:
    """Enter; this device's peer id."""
    import asyncio

    from gossipd.members.joining import complete
    from gossipd.members.membership import at_rest

    with at_rest(paths.home) as books:
        asyncio.run(complete(paths, books.identity, timeout))
        return books.identity.peer_id


def _undo(paths: Paths) -> None:
    """Leave nothing behind of a home that was made for a line that is of no use."""
    for path in (paths.home / "invitation", paths.config, paths.identity, paths.lock):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        paths.home.rmdir()
