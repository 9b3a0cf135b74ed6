"""`gossipd peers`: who this daemon knows."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd.config import home_directory, load, paths_of
from gossipd_cli import render
from gossipd_cli.commands.configuration import reload_daemon
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Show, add, remove and block peers.")

PeerArgument = Annotated[
    str, typer.Argument(metavar="PEER", help="Peer id, as `gossipd peers ls` shows it.")
]


@app.command("ls", epilog=example("gossipd peers ls", "gossipd peers ls --format json"))
def list_peers(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """List the peers this daemon knows, connected or not."""
    emit(output_format, client(home).peers(), render.peers)


@app.command("add", epilog=example("gossipd peers add /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW..."))
def add_peer(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Multiaddress that ends in /p2p/<peer id>.")
    ],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Remember a peer and connect to it."""
    emit(output_format, client(home).add_peer(address), render.peer)


@app.command("rm", epilog=example("gossipd peers rm 12D3KooW..."))
def remove_peer(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Disconnect a peer and forget its addresses, until it comes again."""
    emit(output_format, client(home).remove_peer(peer), render.peer)


@app.command("block", epilog=example("gossipd peers block 12D3KooW..."))
def block_peer(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Never dial nor answer a peer, from now on: it is added to network.block.

    Works with the daemon stopped, too. Members of a closed swarm are shut out of all of it by
    `members revoke`, on the founder's device.
    """
    emit(output_format, _blocked(home, peer, True), render.fields)


@app.command("unblock", epilog=example("gossipd peers unblock 12D3KooW..."))
def unblock_peer(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Dial and answer a blocked peer again."""
    emit(output_format, _blocked(home, peer, False), render.fields)


def _blocked(home: Path | None, peer: str, wanted: bool) -> dict[str, object]:
    """Write it down, and tell a running daemon."""
    from gossipd.configfile import block

    paths = paths_of(home_directory(home))
    block(paths, load(paths.home).network.block, peer, wanted)
    return {"peer_id": peer, "blocked": wanted, "daemon": reload_daemon(home)}
