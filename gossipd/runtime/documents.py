"""Signing what this node says and checking what others have signed.

Opening a document costs a signature check, so what was opened before is remembered by its bytes:
claims and records pass by many times on their way through a swarm.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from gossipd.protocol.events import SignedDocument
from gossipd.runtime.counters import ReservedCounter
from gossipd.wire import envelope
from gossipd.wire.envelope import Signer
from gossipd.wire.framing import decode_request, decode_response
from gossipd.wire.messages import (
    Hello,
    Manifest,
    Offer,
    PeerRecord,
    Request,
    Response,
    SignedClaim,
    SignedRecord,
    StepClaim,
    Update,
    View,
)

REMEMBERED = 8192
"""Opened documents kept: some megabytes, enough for a thousand peers."""

S = TypeVar("S", SignedRecord, SignedClaim, Update)


class Documents:
    """One node's signing desk."""

    def __init__(
        self, swarm: bytes, signer: Signer, incarnation: int, seq: ReservedCounter
    ) -> None:
        self._swarm = swarm
        self._signer = signer
        self._seq = seq
        self.incarnation = incarnation
        self._opened: OrderedDict[bytes, SignedDocument] = OrderedDict()

    # --- signing ---------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """A sequence number that this identity has never used and never will again."""
        return self._seq.take(1)

    def record(
        self, addresses: tuple[str, ...], examples: int, class_counts: tuple[int, ...] | None
    ) -> SignedRecord:
        record = PeerRecord(
            incarnation=self.incarnation,
            seq=self.next_seq(),
            addresses=addresses,
            examples=examples,
            class_counts=class_counts,
        )
        return self._reopen(envelope.seal(record, self._swarm, self._signer), envelope.open_record)

    def claim(self, steps: int) -> SignedClaim:
        claim = StepClaim(incarnation=self.incarnation, steps=steps)
        return self._reopen(envelope.seal(claim, self._swarm, self._signer), envelope.open_claim)

    def manifest(self, manifest: Manifest) -> Update:
        sealed = envelope.seal(manifest, self._swarm, self._signer)
        return self._reopen(sealed, envelope.open_manifest)

    # --- opening ---------------------------------------------------------------------------------

    def open_request(self, payload: bytes) -> tuple[Request, tuple[SignedDocument, ...]]:
        """A peer's request and the documents in it. WireError when anything of it is not right."""
        message = decode_request(payload)
        return message, self._documents(message)

    def open_response(self, payload: bytes) -> tuple[Response, tuple[SignedDocument, ...]]:
        message = decode_response(payload)
        return message, self._documents(message)

    def open_manifest(self, sealed: bytes) -> Update:
        return self._reopen(sealed, envelope.open_manifest)

    def open_record(self, sealed: bytes) -> SignedRecord:
        return self._reopen(sealed, envelope.open_record)

    def open_claim(self, sealed: bytes) -> SignedClaim:
        return self._reopen(sealed, envelope.open_claim)

    def _documents(self, message: Request | Response) -> tuple[SignedDocument, ...]:
        if isinstance(message, Hello):
            return (self.open_record(message.record), self.open_claim(message.claim))
        if isinstance(message, Offer):
            claims = [self.open_claim(sealed) for sealed in message.claims]
            return (*claims, *(self.open_manifest(sealed) for sealed in message.manifests))
        if isinstance(message, View):
            records = [self.open_record(sealed) for sealed in message.records]
            return (*records, *(self.open_claim(sealed) for sealed in message.claims))
        return ()

    def _reopen(self, sealed: bytes, open_it: Callable[[bytes, bytes], S]) -> S:
        known = self._opened.get(sealed)
        if known is not None:
            self._opened.move_to_end(sealed)
            # One envelope names its type, so what it opened as before is what it is.
            return known  # type: ignore[return-value]
        opened = open_it(sealed, self._swarm)
        self._opened[sealed] = opened
        if len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)
        return opened
