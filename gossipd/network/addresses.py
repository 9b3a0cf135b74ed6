"""Multiaddresses: where others can reach us, and what of an address to dial is usable."""

import ipaddress
import socket

import psutil
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def listening(listen: str, port: int) -> Multiaddr:
    """The address to listen on; ValueError when `listen` is no IP address."""
    return Multiaddr(f"/ip{ipaddress.ip_address(listen).version}/{listen}/tcp/{port}")


def reachable(listen: str, port: int, peer_id: str) -> list[str]:
    """Where others can dial a socket that listens at (listen, port), as of now.

    "Every interface" becomes their real addresses; loopback only when there is nothing else.
    """
    version = ipaddress.ip_address(listen).version
    if not ipaddress.ip_address(listen).is_unspecified:
        hosts = [listen]
    else:
        hosts = _interface_addresses(version)
    return [f"/ip{version}/{host}/tcp/{port}/p2p/{peer_id}" for host in hosts]


def _interface_addresses(version: int) -> list[str]:
    ours = [
        ipaddress.ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == _FAMILIES[version]
    ]
    usable = [str(ip) for ip in ours if not ip.is_loopback and not ip.is_link_local]
    return usable or ["127.0.0.1" if version == 4 else "::1"]


def dialable(address: str, peer: str) -> Multiaddr | None:
    """The TCP part of `address`; None when it is malformed, not TCP, or names somebody else."""
    try:
        parsed = Multiaddr(address)
        names = [protocol.name for protocol in parsed.protocols()]
        if len(names) not in (2, 3) or names[1] != "tcp":
            return None
        if names[0] not in ("ip4", "ip6", "dns4", "dns6", "dns"):
            return None
        if len(names) == 3:
            if names[2] != "p2p" or parsed.value_for_protocol("p2p") != peer:
                return None
            parsed = parsed.decapsulate_code(parsed.protocols()[2].code)
        return parsed
    except (MultiaddrError, ValueError):
        return None
