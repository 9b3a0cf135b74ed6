"""Addresses as the operator writes them, checked without loading the network room."""

import re
from collections.abc import Sequence

from gossipd.errors import ExitCode, OperatorError
from gossipd.wire import limits

PEER_ID_TEXT = 64
"""Room for "/p2p/" and a peer id of ours, which has 52 characters."""


def check_address(address: str) -> str:
    """The peer id that a multiaddress ends in; OperatorError "bad-address" when there is none."""
    try:
        return peer_of(address)
    except ValueError as error:
        reason, hint = error.args
        raise OperatorError("bad-address", f"{address!r}: {reason}", hint, ExitCode.USAGE) from None


def check_peer_id(text: str) -> None:
    """OperatorError "bad-peer-id" when it is none of ours."""
    try:
        peer_id_of(text)
    except ValueError as error:
        reason, hint = error.args
        raise OperatorError("bad-peer-id", reason, hint, ExitCode.USAGE) from None


def peer_of(address: str) -> str:
    """As `check_address`, with ValueError(reason, hint) for whoever says where it stands."""
    hint = "it looks like /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…; `gossipd id` prints it"
    where, named, peer = address.rpartition("/p2p/")
    if not named:
        raise ValueError("not an address over TCP that ends in /p2p/<peer id>", hint)
    _check_place(where, hint, limits.ADDRESS_TEXT - len(named + peer))
    try:
        return peer_id_of(peer)
    except ValueError as error:
        raise ValueError(error.args[0], hint) from None


def announced(addresses: Sequence[str]) -> Sequence[str] | None:
    """What `network.announce` has others told: no address for "none", None for what is found out.

    ValueError(reason, hint) for what is no multiaddress over TCP, without a peer id.
    """
    if list(addresses) == ["none"]:
        return ()
    hint = "it looks like /ip4/192.0.2.7/tcp/4001: the peer id is added"
    for address in addresses:
        _check_place(address, hint, limits.ADDRESS_TEXT - PEER_ID_TEXT)
    return addresses or None


def peer_id_of(text: str) -> str:
    """`text` itself, if it is a peer id with an Ed25519 key; else ValueError(reason, hint)."""
    from gossipd.wire.identifiers import public_key_of

    try:
        public_key_of(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no peer id", "it looks like 12D3KooW…; `gossipd id` prints it"
        ) from None
    return text


def _check_place(address: str, hint: str, longest: int) -> None:
    if len(address) > longest:
        raise ValueError(f"longer than {limits.ADDRESS_TEXT} characters", hint)
    match address.split("/"):
        case ["", "ip4" | "ip6" | "dns" | "dns4" | "dns6" as family, host, "tcp", port]:
            pass
        case _:
            raise ValueError("not an address over TCP", hint)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is no port", hint)
    if family.startswith("dns"):
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", host):
            raise ValueError(f"{host!r} is no name of a machine", hint)
    elif ip_version(host) != int(family[2]):
        raise ValueError(f"{host!r} is no {family} address", hint)


def ip_version(text: str) -> int | None:
    """4 or 6; None when it is no IP address."""
    import ipaddress

    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None
