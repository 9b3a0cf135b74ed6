"""`gossipd peers`: who this daemon knows, and whom it does not talk to."""

from typing import Annotated

import typer

from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Show, add and remove peers.")


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
    peer: Annotated[
        str, typer.Argument(metavar="PEER", help="Peer id, as `gossipd peers ls` shows it.")
    ],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Disconnect a peer and forget its addresses."""
    emit(output_format, client(home).remove_peer(peer), render.peer)


PeerArgument = Annotated[
    str, typer.Argument(metavar="PEER", help="Peer id, as `gossipd peers ls` shows it.")
]


@app.command("block", epilog=example("gossipd peers block 12D3KooW..."))
def block_peer(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Talk to a peer no more, until the daemon's next start."""
    emit(output_format, client(home).block_peer(peer), render.fields)


@app.command("unblock", epilog=example("gossipd peers unblock 12D3KooW..."))
def unblock_peer(
    peer: PeerArgument, home: HomeOption = None, output_format: FormatOption = Format.text
) -> None:
    """Talk to it again."""
    emit(output_format, client(home).unblock_peer(peer), render.fields)
