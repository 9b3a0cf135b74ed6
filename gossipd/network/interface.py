"""The transport as the rest of the daemon sees it: asyncio, peer ids, bytes.

`libp2p_transport` implements it over real libp2p, `memory` in one process; both pass the same
contract tests. A transport authenticates who is at the other end; it does not know what the bytes
mean. Blobs are content that the caller checks by hash.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class NetworkError(Exception):
    """Talking to a peer failed. `reason` is a stable token that names a counter."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class PeerUnreachable(NetworkError):
    """No connection could be made.

    Reasons: "unreachable", "dial-timeout", "wrong-peer" (somebody else answers there), "full" (we
    are), "unsupported" (a libp2p host, but none of ours).
    """


class RequestFailed(NetworkError):
    """No answer.

    Reasons: "timeout", "disconnected", "too-large" (the request, or its answer), "busy" (too many
    in flight), "failed" (the peer's handler did), "malformed".
    """


class TransferInterrupted(NetworkError):
    """A blob stopped half-way; what arrived stays in the buffer.

    `received` counts the bytes of the whole blob now valid in the buffer: the offset to resume
    at. Reasons: "stalled", "disconnected", "gone" (the peer has no such blob), "wrong-size",
    "malformed".
    """

    def __init__(self, reason: str, received: int, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.received = received


class PortInUse(NetworkError):
    """The listening address that was asked for is taken."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One live, authenticated connection."""

    peer: str
    remote_address: str
    outbound: bool
    round_trip: float | None = None
    """Seconds, by the last heartbeat; None until the first one came back."""
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a transport calls, always on the asyncio loop."""

    connected: Callable[[str, str, bool], None]
    """(peer, remote address, outbound): once per peer, when its connection stands."""
    disconnected: Callable[[str, str], None]
    """(peer, reason): once per `connected`, however it ended."""
    request: Callable[[str, bytes], Awaitable[bytes]]
    """(peer, payload) -> answer. An exception fails the request, is counted, harms nothing else."""
    blob: Callable[[str, bytes], Awaitable[memoryview | bytes | None]]
    """(peer, key) -> the blob's bytes, or None when this peer shall not have it or it is gone."""
    discovered: Callable[[str, Sequence[str]], None]
    """(peer, addresses): found on the local network (mDNS)."""
    refused: Callable[[str, str], None]
    """(peer id or remote address, reason): the transport turned somebody or something away."""
    health: Callable[[bool, str], None] = field(default=lambda healthy, detail: None)
    """(healthy, detail): the network thread stopped ("restarting in 2 s: …") or is up again."""


class Transport(Protocol):
    """Messages of at most `limits.MESSAGE_BYTES`, blobs of at most `limits.BODY_BYTES`."""

    @property
    def peer_id(self) -> str: ...

    @property
    def port(self) -> int:
        """The port listened on; 0 before start."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddresses that others can dial, each ending in /p2p/<peer id>; none before start."""
        ...

    async def start(self, handlers: Handlers) -> None:
        """Listen. Raises PortInUse."""
        ...

    async def stop(self) -> None:
        """Close everything within a few seconds, whatever the peers do. Idempotent."""
        ...

    async def dial(self, peer: str, addresses: Sequence[str], timeout: float) -> None:
        """Connect, trying every address; at once when connected already. Raises PeerUnreachable."""
        ...

    async def disconnect(self, peer: str, reason: str) -> None:
        """Close the peer's connection; nothing when there is none."""
        ...

    async def request(self, peer: str, payload: bytes, timeout: float) -> bytes:
        """Ask a connected peer. Raises RequestFailed."""
        ...

    async def fetch_blob(
        self,
        peer: str,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        """Fill `buffer[offset:end]` with the blob's bytes from `offset` on; to its end for None.

        The buffer's length is the whole blob's size: a peer that announces another is refused
        before a byte of the body is read. Raises TransferInterrupted.
        """
        ...

    def connections(self) -> Sequence[Connection]: ...

    def counters(self) -> dict[str, int]:
        """The transport's own totals: bytes_in, bytes_out, restarts, and so on."""
        ...
