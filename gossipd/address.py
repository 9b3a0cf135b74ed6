"""Addresses as the operator writes them, checked without loading the network room."""

import re

from gossipd.errors import ExitCode, OperatorError
from gossipd.wire import limits


def check_address(address: str) -> str:
    """The peer id that a multiaddress ends in; OperatorError "bad-address" when there is none."""
    try:
        return peer_of(address)
    except ValueError as error:
        reason, hint = error.args
        raise OperatorError("bad-address", f"{address!r}: {reason}", hint, ExitCode.USAGE) from None


def peer_of(address: str) -> str:
    """As `check_address`, with ValueError(reason, hint) for whoever says where it stands."""
    hint = "it looks like /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…; `gossipd id` prints it"
    if len(address) > limits.ADDRESS_TEXT:
        raise ValueError(f"longer than {limits.ADDRESS_TEXT} characters", hint)
    match address.split("/"):
        case [
            "",
            "ip4" | "ip6" | "dns" | "dns4" | "dns6" as family,
            host,
            "tcp",
            port,
            "p2p",
            peer,
        ]:
            pass
        case _:
            raise ValueError("not an address over TCP that ends in /p2p/<peer id>", hint)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is no port", hint)
    if family.startswith("dns"):
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", host):
            raise ValueError(f"{host!r} is no name of a machine", hint)
    elif ip_version(host) != int(family[2]):
        raise ValueError(f"{host!r} is no {family} address", hint)
    from gossipd.wire.identifiers import public_key_of

    try:
        public_key_of(peer)
    except ValueError:
        raise ValueError(f"{peer!r} is no peer id", hint) from None
    return peer


def ip_version(text: str) -> int | None:
    """4 or 6; None when it is no IP address."""
    import ipaddress

    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None
