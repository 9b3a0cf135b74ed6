"""Bytes that peers have, by their key: bounded, with a deadline, resumed where they stopped.

Of a large blob whose holders are known each brings a part (see `spread`).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossipd.network.interface import NetworkError, TransferInterrupted, Transport
from gossipd.runtime.spread import CHUNK, Partial, Spread
from gossipd.runtime.waits import Waits
from gossipd.wire import limits
from gossipd.wire.identifiers import digest

RESUMES = 3
"""How often one download is taken up again where it stopped, before it is given up."""
PARTIALS = 8
"""Broken-off ones that are kept for a later attempt, from whatever peer,"""
PARTIAL_BYTES = limits.BODY_BYTES
"""and how large all of them together may be."""
SPREAD_CHUNKS = 4
"""A blob of more chunks is asked of several at once. Ours: a smaller one is here before a second
peer has answered."""
AT_ONCE = 4
"""Peers that are asked for parts of one blob. Ours: more share the same way in to this node."""
DISTRUSTED = 256
"""Peers that are remembered for having brought what was wrong: they are asked for no parts."""


class TooMuchInFlightError(Exception):
    """No room for another one just now."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A blob, and who brought each of its chunks."""

    data: bytes
    by: Sequence[str]


class Downloads:
    """Gets blobs. What they should hold is for the caller to check, but for chunks whose hashes it
    gives: they are checked as they come when there are several sources."""

    def __init__(
        self,
        transport: Transport,
        waits: Waits,
        progress_timeout: float,
        blame: Callable[[str, str], None] = lambda peer, reason: None,
    ) -> None:
        """`blame(peer, reason)` is called for who has brought what is wrong."""
        self._transport = transport
        self._waits = waits
        self._progress_timeout = progress_timeout
        self._blame = blame
        self._partials: OrderedDict[bytes, Partial] = OrderedDict()
        self._distrusted: OrderedDict[str, None] = OrderedDict()
        self._in_flight = 0

    async def get(
        self,
        what: str,
        peer: str,
        key: bytes,
        size: int,
        others: Sequence[str] = (),
        chunks: Sequence[bytes] = (),
        *,
        anew: bool = False,
    ) -> Brought:
        """The `size` bytes that a peer has under a key; `what` names them for people.

        `others` are asked for a part each if the blob is large: who has none of it says so.
        `chunks`: the hashes of all chunks, where they are known. `anew`: what has come of it before
        is not used. Raises NetworkError, TooMuchInFlightError.
        """
        trusted = [other for other in others if other not in self._distrusted and other != peer]
        spread = bool(trusted) and size > SPREAD_CHUNKS * CHUNK
        # The parts have a buffer of their own until they are checked.
        room = 2 * size if spread else size
        if self._in_flight + room > limits.FETCH_BYTES_IN_FLIGHT:
            raise TooMuchInFlightError
        partial = self._partials.pop(key, None)
        if partial is None or anew or len(partial.buffer) != size:
            partial = Partial(bytearray(size))
        self._in_flight += room
        try:
            if spread:
                peers = [peer, *trusted][:AT_ONCE]
                await self._spread(what, peers, key, partial, chunks)
            else:
                await self._get(what, peer, key, partial)
        except BaseException:
            self._keep(key, partial, chunks)
            raise
        finally:
            self._in_flight -= room
        count = -(-size // CHUNK)
        return Brought(bytes(partial.buffer), [partial.by.get(n, peer) for n in range(count)])

    def distrust(self, peer: str, reason: str) -> None:
        """It has brought what is wrong."""
        self._distrusted[peer] = None
        while len(self._distrusted) > DISTRUSTED:
            self._distrusted.popitem(last=False)
        self._blame(peer, reason)

    async def _get(self, what: str, peer: str, key: bytes, partial: Partial) -> None:
        size = len(partial.buffer)
        deadline = self._progress_timeout * (2 + -(-size // CHUNK))
        for attempt in range(RESUMES):
            fetch = self._transport.fetch_blob(
                peer, key, memoryview(partial.buffer), partial.received, self._progress_timeout
            )
            try:
                await self._waits.until(what, peer, deadline, fetch)
            except TransferInterrupted as error:
                for chunk in range(partial.received // CHUNK, error.received // CHUNK):
                    partial.by.setdefault(chunk, peer)
                partial.received = max(error.received, partial.received)
                if error.reason in ("gone", "wrong-size") or attempt == RESUMES - 1:
                    raise
            except TimeoutError:
                raise NetworkError("timeout") from None
            else:
                return

    async def _spread(
        self, what: str, peers: Sequence[str], key: bytes, partial: Partial, chunks: Sequence[bytes]
    ) -> None:
        self._check(partial, chunks)
        spread = Spread(
            self._transport,
            self._waits,
            what,
            key,
            partial,
            chunks,
            self._progress_timeout,
            self.distrust,
        )
        if not await spread.run(peers):
            raise spread.failures[peers[0]]

    def _check(self, partial: Partial, chunks: Sequence[bytes]) -> None:
        """Let go of chunks that are wrong, and of a last one that is not whole."""
        for chunk in sorted(partial.by) if chunks else ():
            piece = memoryview(partial.buffer)[chunk * CHUNK : (chunk + 1) * CHUNK]
            if digest(bytes(piece)) != chunks[chunk]:
                self.distrust(partial.by.pop(chunk), "bad-chunk")
        partial.received = 0
        partial.settle()

    def _keep(self, key: bytes, partial: Partial, chunks: Sequence[bytes]) -> None:
        """For a later attempt, the oldest ones only as long as there is room."""
        if chunks:
            self._check(partial, chunks)
        if not (partial.by or partial.received):
            return
        self._partials[key] = partial
        while (
            len(self._partials) > PARTIALS
            or sum(len(kept.buffer) for kept in self._partials.values()) > PARTIAL_BYTES
        ):
            self._partials.popitem(last=False)
