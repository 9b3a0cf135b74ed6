"""Signing what this node says and checking what others have signed.

Opening a document costs a signature check, so what was opened before is remembered by its bytes:
claims and records pass by many times on their way through a swarm.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from gossipd.protocol.events import SignedDocument
from gossipd.runtime.counters import ReservedCounter
from gossipd.wire import envelope
from gossipd.wire.envelope import Signer
from gossipd.wire.framing import decode_request, decode_response
from gossipd.wire.messages import (
    VERSION,
    Advert,
    Aggregated,
    Hello,
    Manifest,
    Offer,
    Participation,
    PeerRecord,
    Request,
    Response,
    RoundProof,
    Sample,
    SignedClaim,
    SignedParticipation,
    SignedRecord,
    SignedSample,
    StepClaim,
    Trained,
    Update,
    View,
)

REMEMBERED = 8192
"""Opened documents kept: enough for some thousand peers."""
REMEMBERED_BYTES = 4096
"""Longest document that is kept: records and claims, not manifests, which are opened once."""

S = TypeVar("S", SignedRecord, SignedClaim, Update, SignedSample, SignedParticipation)


class Documents:
    """One node's signing desk."""

    def __init__(
        self, swarm: bytes, signer: Signer, incarnation: int, seq: ReservedCounter
    ) -> None:
        self._swarm = swarm
        self._signer = signer
        self._seq = seq
        self.incarnation = incarnation
        self._opened: OrderedDict[tuple[bytes, object], Any] = OrderedDict()
        self._lock = threading.Lock()

    # --- signing ---------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """A sequence number that this identity has never used and never will again."""
        return self._seq.take(1)

    def record(
        self,
        addresses: tuple[str, ...],
        examples: int,
        class_counts: tuple[int, ...] | None,
        event: Literal["join", "leave"] = "join",
    ) -> SignedRecord:
        record = PeerRecord(
            incarnation=self.incarnation,
            seq=self.next_seq(),
            addresses=addresses,
            examples=examples,
            class_counts=class_counts,
            event=event,
        )
        return self._reopen(envelope.seal(record, self._swarm, self._signer), envelope.open_record)

    def claim(self, steps: int) -> SignedClaim:
        claim = StepClaim(incarnation=self.incarnation, steps=steps)
        return self._reopen(envelope.seal(claim, self._swarm, self._signer), envelope.open_claim)

    def manifest(self, manifest: Manifest) -> Update:
        sealed = envelope.seal(manifest, self._swarm, self._signer)
        return self._reopen(sealed, envelope.open_manifest)

    def sample(
        self, round_: int, peers: tuple[str, ...], model: bytes, attempt: int = 0
    ) -> SignedSample:
        sample = Sample(round=round_, peers=peers, model=model, attempt=attempt)
        return self._reopen(envelope.seal(sample, self._swarm, self._signer), envelope.open_sample)

    def participation(self, round_: int, sample: bytes) -> SignedParticipation:
        document = Participation(incarnation=self.incarnation, round=round_, sample=sample)
        sealed = envelope.seal(document, self._swarm, self._signer)
        return self._reopen(sealed, envelope.open_participation)

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

    def open_proof(self, sealed: tuple[bytes, ...]) -> tuple[SignedDocument, ...]:
        """The proof of a round, as it was saved."""
        return self._proof(*sealed) if sealed else ()

    def _documents(self, message: Request | Response) -> tuple[SignedDocument, ...]:
        if isinstance(message, Hello):
            if message.swarm != self._swarm or message.version != VERSION:
                # Signed for another swarm or by other rules: the core says so in words.
                return ()
            return (self.open_record(message.record), self.open_claim(message.claim))
        if isinstance(message, Offer):
            claims = [self.open_claim(sealed) for sealed in message.claims]
            return (*claims, *(self.open_manifest(sealed) for sealed in message.manifests))
        if isinstance(message, View):
            records = [self.open_record(sealed) for sealed in message.records]
            return (*records, *(self.open_claim(sealed) for sealed in message.claims))
        if isinstance(message, Trained):
            return (*self._carried(message), *self._proof(message.sample, message.participation))
        if isinstance(message, Aggregated):
            proof = self._proof(message.previous, *message.participations)
            return (*self._carried(message), *self._proof(message.sample), *proof)
        if isinstance(message, RoundProof):
            return self._proof(message.previous, *message.participations)
        if isinstance(message, Advert):
            return (self.open_record(message.record),)
        return ()

    def _carried(self, message: Trained | Aggregated) -> tuple[SignedDocument, ...]:
        claims = [self.open_claim(sealed) for sealed in message.claims]
        return (*claims, *(self.open_manifest(sealed) for sealed in message.manifests))

    def _proof(self, sample: bytes, *participations: bytes) -> tuple[SignedDocument, ...]:
        """A sample and who took part in it, as far as they are there at all."""
        opened: list[SignedDocument] = []
        if sample:
            opened.append(self._reopen(sample, envelope.open_sample))
        for sealed in participations:
            if sealed:
                opened.append(self._reopen(sealed, envelope.open_participation))
        return tuple(opened)

    def _reopen(self, sealed: bytes, open_it: Callable[[bytes, bytes], S]) -> S:
        known: S | None = self._opened.get((sealed, open_it))
        if known is None:
            known = open_it(sealed, self._swarm)
            if len(sealed) > REMEMBERED_BYTES:
                return known
            with self._lock:
                self._opened[sealed, open_it] = known
                if len(self._opened) > REMEMBERED:
                    self._opened.popitem(last=False)
        return known
