"""`gossipd members`: a closed swarm, whom its founder has let in, and who was shut out.

All of it works while the daemon runs, which is then asked to do it, and while it does not; only
founding a swarm and entering one need a stopped daemon.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gossipd.config import home_directory
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit, say

if TYPE_CHECKING:
    from gossipd.members.membership import Books

TOKEN_CHARACTERS = 4096
"""A membership is far shorter; of a longer file no more is read."""

app = group("Found a closed swarm, let members in, shut them out.")

PeerArgument = Annotated[
    str, typer.Argument(metavar="PEER", help="Peer id, as `gossipd id` shows it on that device.")
]


@app.command("found", epilog=example("gossipd members found", "gossipd start --data ~/xrays"))
def found(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Make a closed swarm, with this device as its founder. The daemon must not run."""
    emit(output_format, found_swarm(home_directory(home)), _entered)


@app.command(
    "issue",
    epilog=example(
        "gossipd members issue 12D3KooW... --name 'station 4' > station-4.membership",
        "gossipd members issue 12D3KooW... --days 30",
    ),
)
def issue(
    peer: PeerArgument,
    name: Annotated[str, typer.Option(help="What to call it, for people.")] = "",
    days: Annotated[
        float | None,
        typer.Option(help="How long it is good for. Default: until it is revoked."),
    ] = None,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Let a device in: prints what `members accept` takes there. On the founder's device."""
    data = _do(
        home,
        lambda daemon: daemon.issue_membership(peer, name, days),
        lambda books, now: _handed_on(books.issue(peer, name, days, now)),
    )
    if output_format is Format.text and sys.stdout.isatty():
        say("give this line to the device; it is of use to no other one:")
    emit(output_format, data, lambda issued: str(issued["membership"]))


@app.command("accept", epilog=example("gossipd members accept FILE", "gossipd members accept -"))
def accept(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What the founder issued; - reads it from stdin.")
    ],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Enter a closed swarm with the membership that its founder issued to this device."""
    text = _text_in(file)

    data = _do(
        home,
        lambda daemon: daemon.accept_membership(text),
        lambda books, now: _handed_on(books.accept(text)),
    )
    emit(output_format, data, _entered)


@app.command("ls", epilog=example("gossipd members ls", "gossipd members ls --format json"))
def list_members(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """List who belongs to the closed swarm, as far as this device knows."""
    data = _do(home, lambda daemon: daemon.members(), lambda books, now: books.rows(now))
    emit(output_format, data, render.members)


@app.command("revoke", epilog=example("gossipd members revoke 12D3KooW..."))
def revoke(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Shut a member out. On the founder's device; every member does so when it hears of it."""
    data = _do(
        home,
        lambda daemon: daemon.revoke_member(peer),
        lambda books, now: {"peer_id": peer, "serial": _shut_out(books, peer, now)},
    )
    emit(output_format, data, render.peer)


def found_swarm(home: Path) -> dict[str, Any]:
    """Make `home` the founder's of a new closed swarm."""
    from gossipd.members.membership import at_rest, handed_on

    with at_rest(home) as books:
        return handed_on(books.found(time.time()))


def _do(
    home: Path | None,
    by_daemon: Callable[[Client], Any],
    without: Callable[["Books", float], Any],
) -> Any:
    """Have the daemon do it; do it here when none runs."""
    try:
        return by_daemon(client(home))
    except OperatorError as error:
        if error.exit_code != ExitCode.NOT_RUNNING:
            raise
    from gossipd.members.membership import at_rest

    with at_rest(home_directory(home)) as books:
        return without(books, time.time())


def _shut_out(books: "Books", peer: str, now: float) -> int:
    from gossipd.members.invitations import Invitations

    return Invitations(books).shut_out(peer, now).revocation.serial


def _handed_on(signed: Any) -> dict[str, Any]:
    from gossipd.members.membership import handed_on

    return handed_on(signed)


def _text_in(file: str) -> str:
    if file == "-":
        return sys.stdin.read(TOKEN_CHARACTERS)
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return opened.read(TOKEN_CHARACTERS)
    except OSError as error:
        raise OperatorError(
            "no-file",
            f"{file} cannot be read: {error.strerror}",
            "give the file with what `gossipd members issue` printed, or - and paste it",
            ExitCode.USAGE,
        ) from None


def _entered(data: dict[str, Any]) -> str:
    return f"member of the closed swarm {data['swarm']}"
