"""What a delta is against: here, or asked for as it is, once for all who wait for it.

A receiver without a round's model, because it is new, was away or has dropped it, gets its float32
from whoever offers the delta, by content hash. No signature is needed: the hash says it all.
"""

import asyncio
from collections import Counter

from gossipd.runtime.downloads import Downloads
from gossipd.runtime.models import NUMBER_BYTES, Models
from gossipd.runtime.ports import Compute
from gossipd.wire.errors import WireError
from gossipd.wire.messages import GENESIS, WHOLE, ZERO


class WrongReferenceError(Exception):
    """What a peer has sent is not the model with this hash."""


class References:
    """Sees to it that deltas can be decoded."""

    def __init__(self, models: Models, compute: Compute, downloads: Downloads) -> None:
        self._models = models
        self._compute = compute
        self._downloads = downloads
        self._turns: dict[bytes, asyncio.Lock] = {}
        self.counts: Counter[str] = Counter()
        """References that were asked for, by how that ended: "fetched", "refused"."""

    async def get(self, peer: str, reference: bytes) -> None:
        """Have this reference here, from `peer` if need be.

        Raises NetworkError and TooMuchInFlightError as a download does, WrongReferenceError.
        """
        if reference in (GENESIS, ZERO):
            return
        turn = self._turns.setdefault(reference, asyncio.Lock())
        try:
            async with turn:
                if await self._compute.run(self._models.lacks, reference):
                    await self._fetch(peer, reference)
        finally:
            if not turn.locked():
                self._turns.pop(reference, None)

    async def _fetch(self, peer: str, reference: bytes) -> None:
        size = NUMBER_BYTES * self._models.layout.parameters
        numbers = await self._downloads.get("reference", peer, WHOLE + reference, size)
        try:
            await self._compute.run(self._models.take_whole, reference, numbers)
        except WireError as error:
            self.counts["refused"] += 1
            raise WrongReferenceError(error.reason) from None
        self.counts["fetched"] += 1
