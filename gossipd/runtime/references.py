"""What a delta is against: here, or asked for as it is, once for all who wait for it.

A receiver without a round's model, because it is new, was away or has dropped it, gets its float32
from whoever offers the delta, by content hash. No signature is needed: the hash says it all.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from gossipd.runtime.downloads import Brought, Downloads
from gossipd.runtime.models import NUMBER_BYTES, Models
from gossipd.runtime.ports import Compute
from gossipd.runtime.spread import CHUNK
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

    async def get(self, peer: str, reference: bytes, others: Sequence[str] = ()) -> None:
        """Have this reference here, from `peer` if need be; `others` may have it, too.

        Raises NetworkError and TooMuchInFlightError as a download does, WrongReferenceError.
        """
        if reference in (GENESIS, ZERO):
            return
        turn = self._turns.setdefault(reference, asyncio.Lock())
        try:
            async with turn:
                if await self._compute.run(self._models.lacks, reference):
                    await self._fetch(peer, reference, others)
        finally:
            if not turn.locked():
                self._turns.pop(reference, None)

    async def _fetch(self, peer: str, reference: bytes, others: Sequence[str]) -> None:
        """From several at once where that pays; if one of them has lied, from the one alone that
        must have it, which shows who it was."""
        key, size = WHOLE + reference, NUMBER_BYTES * self._models.layout.parameters
        brought = await self._downloads.get("reference", peer, key, size, others)
        try:
            await self._compute.run(self._models.take_whole, reference, brought.data)
        except WireError as error:
            if set(brought.by) == {peer}:
                self.counts["refused"] += 1
                raise WrongReferenceError(error.reason) from None
            alone = await self._downloads.get("reference", peer, key, size, anew=True)
            await self._take(reference, alone.data)
            for liar in await self._compute.run(_liars, brought, alone.data):
                self._downloads.distrust(liar, error.reason)
        self.counts["fetched"] += 1

    async def _take(self, reference: bytes, numbers: bytes) -> None:
        try:
            await self._compute.run(self._models.take_whole, reference, numbers)
        except WireError as error:
            self.counts["refused"] += 1
            raise WrongReferenceError(error.reason) from None


def _liars(brought: Brought, right: bytes) -> list[str]:
    """Who brought a chunk that is not as it should be."""
    pieces = ((n * CHUNK, (n + 1) * CHUNK) for n in range(len(brought.by)))
    wrong = (brought.data[start:end] != right[start:end] for start, end in pieces)
    return list(dict.fromkeys(who for who, lied in zip(brought.by, wrong, strict=True) if lied))
