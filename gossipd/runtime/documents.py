"""Signing what this node says and checking what others have signed."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from msgspec import UNSET

from gossipd.protocol.events import SignedDocument
from gossipd.runtime.counters import ReservedCounter
from gossipd.runtime.lineages import Lineages
from gossipd.runtime.opened import Opened
from gossipd.wire import envelope
from gossipd.wire.clicks import Click, ClickSheet, SignedSheet
from gossipd.wire.envelope import Signer
from gossipd.wire.framing import decode_request, decode_response
from gossipd.wire.messages import (
    VERSION,
    Advert,
    Aggregated,
    ClickSheets,
    Have,
    Hello,
    Manifest,
    Offer,
    Participation,
    PeerRecord,
    Request,
    Response,
    Revocations,
    RoundProof,
    Sample,
    SignedClaim,
    SignedMembership,
    SignedParticipation,
    SignedRecord,
    SignedRevocation,
    SignedSample,
    StepClaim,
    Trained,
    Update,
    View,
)

S = TypeVar(
    "S",
    SignedRecord,
    SignedClaim,
    Update,
    SignedSample,
    SignedParticipation,
    SignedMembership,
    SignedRevocation,
    SignedSheet,
)


class Documents:
    """One node's signing desk."""

    def __init__(
        self,
        swarm: bytes,
        signer: Signer,
        incarnation: int,
        seq: ReservedCounter,
        opened: Opened | None = None,
    ) -> None:
        """`opened`: what is shared with others; None for a cache of its own."""
        self._swarm = swarm
        self._signer = signer
        self._seq = seq
        self.incarnation = incarnation
        self.membership = b""
        """This node's own, which its records show; empty in an open swarm."""
        self._opened = Opened() if opened is None else opened
        self.lineages = Lineages()

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
            membership=self.membership or UNSET,
        )
        return self._reopen(envelope.seal(record, self._swarm, self._signer), envelope.open_record)

    def claim(self, steps: int) -> SignedClaim:
        claim = StepClaim(incarnation=self.incarnation, steps=steps)
        return self._reopen(envelope.seal(claim, self._swarm, self._signer), envelope.open_claim)

    def manifest(self, manifest: Manifest) -> Update:
        return self.open_manifest(envelope.seal(manifest, self._swarm, self._signer))

    def sample(
        self, round_: int, peers: tuple[str, ...], model: bytes, attempt: int = 0
    ) -> SignedSample:
        sample = Sample(round=round_, peers=peers, model=model, attempt=attempt)
        return self._reopen(envelope.seal(sample, self._swarm, self._signer), envelope.open_sample)

    def participation(self, round_: int, sample: bytes) -> SignedParticipation:
        document = Participation(incarnation=self.incarnation, round=round_, sample=sample)
        sealed = envelope.seal(document, self._swarm, self._signer)
        return self._reopen(sealed, envelope.open_participation)

    def sheet(self, seq: int, clicks: tuple[Click, ...]) -> SignedSheet:
        document = ClickSheet(incarnation=self.incarnation, seq=seq, clicks=clicks)
        return self._reopen(envelope.seal(document, self._swarm, self._signer), envelope.open_sheet)

    # --- opening ---------------------------------------------------------------------------------

    def open_request(
        self, payload: bytes, may_read: Callable[[Request], bool] = lambda message: True
    ) -> tuple[Request, tuple[SignedDocument, ...]]:
        """A peer's request and the documents in it, none when `may_read` says that they are not to
        be looked at. WireError when anything of it is not right."""
        message = decode_request(payload)
        if not may_read(message):
            return message, ()
        if isinstance(message, Have):
            message = self.lineages.whole(message)
        return message, self._documents(message)

    def open_response(
        self, payload: bytes, may_read: Callable[[Response], bool] = lambda message: True
    ) -> tuple[Response, tuple[SignedDocument, ...]]:
        message = decode_response(payload)
        return message, self._documents(message) if may_read(message) else ()

    def open_manifest(self, sealed: bytes) -> Update:
        update, known = self._opened.manifest(sealed, self._swarm)
        self.lineages.note(update, known)
        return update

    def open_record(self, sealed: bytes) -> SignedRecord:
        return self._reopen(sealed, envelope.open_record)

    def open_claim(self, sealed: bytes) -> SignedClaim:
        return self._reopen(sealed, envelope.open_claim)

    def open_membership(self, sealed: bytes) -> SignedMembership:
        return self._reopen(sealed, envelope.open_membership)

    def open_revocation(self, sealed: bytes) -> SignedRevocation:
        return self._reopen(sealed, envelope.open_revocation)

    def open_proof(self, sealed: tuple[bytes, ...]) -> tuple[SignedDocument, ...]:
        """The proof of a round, as it was saved."""
        return self._proof(*sealed) if sealed else ()

    def _documents(self, message: Request | Response) -> tuple[SignedDocument, ...]:
        if isinstance(message, Hello):
            if message.swarm != self._swarm or message.version != VERSION:
                # Signed for another swarm or by other rules: the core says so in words.
                return ()
            if not (message.record or message.claim):
                return ()  # left out, as the dialler does in a closed swarm
            return (self.open_record(message.record), self.open_claim(message.claim))
        if isinstance(message, Revocations):
            return tuple(self.open_revocation(sealed) for sealed in message.revocations)
        if isinstance(message, ClickSheets):
            return tuple(self._reopen_all(message.sheets, envelope.open_sheet))
        if isinstance(message, Offer):
            return self._carried(message)
        if isinstance(message, View):
            records = self._reopen_all(message.records, envelope.open_record)
            return (*records, *self._reopen_all(message.claims, envelope.open_claim))
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

    def _carried(self, message: Offer | Trained | Aggregated) -> tuple[SignedDocument, ...]:
        claims = self._reopen_all(message.claims, envelope.open_claim)
        manifests = self.lineages.sealed(message.manifests)
        return (*claims, *(self.open_manifest(sealed) for sealed in manifests))

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
        return self._opened.get(sealed, self._swarm, open_it)

    def _reopen_all(self, sealed: Sequence[bytes], open_it: Callable[[bytes, bytes], S]) -> list[S]:
        return self._opened.get_all(sealed, self._swarm, open_it)
