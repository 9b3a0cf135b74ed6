"""What this package changes in libp2p 0.8.1, each change with its reason.

`apply` is called once, before the first host, and fails loudly when what a patch needs is not
there: another version of libp2p must be looked at patch by patch. tests/network/test_traps.py has
one test for every known fault, whether it is patched here or avoided by how libp2p is used:

    streams      every inbound stream handler is wrapped: an exception would end the process
    swarm        places and tasks of past connections are freed; caps, time limits
    host         Noise and yamux only (the default accepts plaintext); libp2p itself dials nobody
    dialler      every address is tried (upstream: one), in bounded time, at once after a failure
    link, links  a heartbeat (nothing reports a dead peer), one connection of two
    noise        messages are read and written as many at once as there are
    yamux        our own muxer, see there
"""

import errno
import logging
import socket
from typing import Any

import trio
from libp2p import __version__ as libp2p_version
from libp2p.exceptions import ParseError
from libp2p.host.basic_host import BasicHost
from libp2p.io import msgio
from libp2p.io.abc import Reader
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network import auto_connector
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.security.noise import patterns
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.transport.tcp import tcp
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from gossipd.network.noise import BatchedNoise
from gossipd.network.sockets import BufferedTCPStream

VERSION = "0.8.1"
MULTISTREAM_BYTES = 64 * 1024
"""Longest message of multistream-select: go-multistream's own limit."""

USED: dict[Any, tuple[str, ...]] = {
    BasicHost: ("_swarm_stream_handler",),
    Swarm: ("_do_handle_inbound_connection", "add_conn", "upgrade_inbound_raw_conn", "dial_addr"),
    SwarmConn: ("_handle_new_streams", "new_stream"),
    MuxerMultistream: ("select_transport",),
}
"""What is used or overridden beyond libp2p's interfaces."""


class IncompatibleLibp2p(RuntimeError):
    """The installed libp2p is not the one that these patches were written for."""


_applied = False


def apply() -> None:
    """Change libp2p, once per process.

    Its log is silenced, too: it reports every failed dial several times as an error. What matters
    of it reaches our own log and counters.
    """
    global _applied
    if _applied:
        return
    if libp2p_version != VERSION:
        raise IncompatibleLibp2p(f"libp2p {libp2p_version} is installed, {VERSION} is needed")
    for owner, names in USED.items():
        for name in names:
            _require(owner, name)
    _replace(msgio, "read_exactly", read_exactly)
    _replace(multiselect_communicator, "read_delim", read_delim)
    _replace(tcp, "TrioTCPStream", BufferedTCPStream)
    _replace(tcp, "_set_reuse_flags", set_reuse_flags)
    _replace(patterns, "NoiseTransportReadWriter", BatchedNoise)
    _replace(BasicHost, "_schedule_identify", skip_identify)
    for name in ("libp2p", auto_connector.logger.name):  # the latter has a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _applied = True


def _require(owner: Any, name: str) -> None:
    if not hasattr(owner, name):
        raise IncompatibleLibp2p(f"{owner.__name__}.{name} is gone")


def _replace(owner: Any, name: str, value: object) -> None:
    _require(owner, name)
    setattr(owner, name, value)


async def read_exactly(reader: Reader, n: int, retry_count: int = 0) -> bytes:
    """Upstream gives up after 100 pieces, which a Noise message at a small MTU takes.

    Raising the number makes it read an ended stream that many times before it says so: this one
    ends at the first empty read. `retry_count` has no meaning any more.
    """
    buffer = bytearray()
    while len(buffer) < n:
        piece = await reader.read(n - len(buffer))
        if not piece:
            raise IncompleteReadError(
                f"the connection ended after {len(buffer)} of {n} bytes", n, len(buffer)
            )
        buffer += piece
    return bytes(buffer)


async def read_delim(reader: Reader) -> bytes:
    """Upstream believes any length that a stranger declares for a message of multistream-select,
    and asks the socket for as many bytes in one call."""
    message = await read_varint_prefixed_bytes_limited(reader, MULTISTREAM_BYTES)
    if not message.endswith(b"\n"):
        raise ParseError("a multistream message without its newline")
    return message[:-1]


def set_reuse_flags(sock: trio.socket.SocketType) -> None:
    """Upstream also sets SO_REUSEPORT (for hole punching): two daemons would share one port, each
    getting half of the other's connections, and neither would be told."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def skip_identify(host: BasicHost, peer_id: object, *, reason: str) -> None:
    """Upstream runs identify both ways on every connection, each on a new stream: over half of a
    connection's 30-35 CPU-ms. Our own greeting carries what we need; foreign hosts that ask us are
    still answered."""


def port_is_taken(host: str, port: int) -> bool:
    """Why listening failed: upstream logs the reason and returns False."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
