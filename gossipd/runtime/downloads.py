"""Bytes that a peer has, by their key: bounded, with a deadline, resumed where they stopped."""

from collections import OrderedDict
from dataclasses import dataclass

from gossipd.network.interface import NetworkError, TransferInterrupted, Transport
from gossipd.runtime.waits import Waits
from gossipd.wire import limits

RESUMES = 3
"""How often one download is taken up again where it stopped, before it is given up."""
PARTIALS = 8
"""Broken-off ones that are kept for a later attempt, from whatever peer."""


class TooMuchInFlightError(Exception):
    """No room for another one just now."""


@dataclass(slots=True)
class _Partial:
    buffer: bytearray
    received: int


class Downloads:
    """Gets blobs. What they should hold is for the caller to check."""

    def __init__(self, transport: Transport, waits: Waits, progress_timeout: float) -> None:
        self._transport = transport
        self._waits = waits
        self._progress_timeout = progress_timeout
        self._partials: OrderedDict[bytes, _Partial] = OrderedDict()
        self._in_flight = 0

    async def get(self, what: str, peer: str, key: bytes, size: int) -> bytes:
        """The `size` bytes that a peer has under a key; `what` names them for people.

        Raises NetworkError, TooMuchInFlightError.
        """
        if self._in_flight + size > limits.FETCH_BYTES_IN_FLIGHT:
            raise TooMuchInFlightError
        self._in_flight += size
        try:
            return await self._get(what, peer, key, size)
        finally:
            self._in_flight -= size

    async def _get(self, what: str, peer: str, key: bytes, size: int) -> bytes:
        partial = self._partials.pop(key, None) or _Partial(bytearray(size), 0)
        deadline = self._progress_timeout * (2 + -(-size // limits.CHUNK_BYTES))
        for attempt in range(RESUMES):
            fetch = self._transport.fetch_blob(
                peer, key, memoryview(partial.buffer), partial.received, self._progress_timeout
            )
            try:
                await self._waits.until(what, peer, deadline, fetch)
            except TransferInterrupted as error:
                partial.received = max(error.received, partial.received)
                if error.reason in ("gone", "wrong-size") or attempt == RESUMES - 1:
                    self._keep(key, partial)
                    raise
            except TimeoutError:
                raise NetworkError("timeout") from None
            else:
                return bytes(partial.buffer)
        raise AssertionError("unreachable")

    def _keep(self, key: bytes, partial: _Partial) -> None:
        if 0 < partial.received < len(partial.buffer):
            self._partials[key] = partial
            while len(self._partials) > PARTIALS:
                self._partials.popitem(last=False)
