"""Bundles: what this node knows as one file to be carried by hand, and what others have so sent.

Out: the records and claims of the view, revocations, and the updates that others may have, each
with its body and the model that this is a delta against. In: the very way of what a peer shows.
Signatures, then the core's judgement, by the manifest alone; then chunk hashes, decoding and
content hash; the gate looks at what becomes of it. Whatever does not hold is refused and counted,
the rest is taken.

`wire.bundle` has the format. Where the bytes lie is the caller's affair.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gossipd.protocol import events
from gossipd.protocol.events import PublishServing, SignedDocument
from gossipd.runtime.assembly import Parts
from gossipd.runtime.models import NUMBER_BYTES
from gossipd.runtime.ports import Clock, Compute
from gossipd.wire import bundle, limits
from gossipd.wire.errors import WireError
from gossipd.wire.identifiers import DIGEST_BYTES
from gossipd.wire.messages import SignedClaim, SignedRecord, SignedRevocation, Update


class Source(Protocol):
    """A bundle that can be read."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from there on, fewer only at the end. OSError when the disk refuses."""
        ...


@dataclass(slots=True)
class Outgoing:
    """A bundle in the making: iterate over it once, in a thread of its own if need be."""

    pieces: Iterator[bytes]
    counts: Counter[str] = field(default_factory=Counter)
    """What went into it: records, claims, revocations, updates, models, bytes. Complete in the
    end."""


@dataclass(slots=True)
class _Opened:
    """What a bundle holds, before anybody has judged it."""

    header: bundle.Header | None = None
    documents: list[SignedDocument] = field(default_factory=list)
    bodies: dict[bytes, bundle.Frame] = field(default_factory=dict)
    """By update."""
    models: dict[bytes, bundle.Frame] = field(default_factory=dict)
    """By content hash."""
    refused: Counter[str] = field(default_factory=Counter)
    frames: int = 0


class Bundles:
    """One node's."""

    def __init__(self, parts: Parts, compute: Compute, clock: Clock) -> None:
        self._parts = parts
        self._compute = compute
        self._clock = clock

    # --- out -------------------------------------------------------------------------------------

    async def export(self, *, everything: bool = False) -> Outgoing:
        """What this node stands on and has met; `everything`: all updates that it keeps."""
        parts, node = self._parts, self._parts.node
        serving = await self._published_serving()
        updates = {update.id: update for update in (*node.holdings(), *serving)}
        if everything:
            for known in parts.store.updates():
                sealed = parts.store.load_manifest(known)
                if sealed is not None:
                    updates.setdefault(known, parts.documents.open_manifest(sealed))
        counts: Counter[str] = Counter(updates=0)
        head = bundle.header(node.setup.swarm.id, node.setup.peer_id, self._clock.wall())
        signed: dict[bundle.Kind, list[bytes]] = {
            "revocation": [signed.envelope for signed in node.members.revocations()],
            "record": [signed.envelope for signed in node.view.records()],
            "claim": [signed.envelope for signed in node.view.claims()],
        }
        return Outgoing(self._pieces(head, signed, updates, counts), counts)

    async def _published_serving(self) -> Sequence[Update]:
        """Asynchronously working, a node signs its serving model only when it is asked for it."""
        node = self._parts.node
        if node.rounds is not None or not node.holdings():
            return ()
        plan = PublishServing(dict(node.gossip.lineage))
        published = await self._parts.outbound.publish_serving(plan)
        # The core has to know what this node has signed.
        self._parts.engine.feed(published)
        return () if published.update is None else (published.update,)

    def _pieces(
        self,
        head: Sequence[bytes],
        signed: dict[bundle.Kind, list[bytes]],
        updates: dict[bytes, Update],
        counts: Counter[str],
    ) -> Iterator[bytes]:
        def counted(pieces: Sequence[bytes]) -> Iterator[bytes]:
            counts["bytes"] += sum(map(len, pieces))
            yield from pieces

        yield from counted(head)
        for kind, envelopes in signed.items():
            counts[f"{kind}s"] = len(envelopes)
            for sealed in envelopes:
                yield from counted(bundle.frame(kind, sealed))
        written: set[bytes] = set()
        for update in list(updates.values())[: limits.BUNDLE_UPDATES]:
            body = self._parts.store.load_body(update.id)
            if body is None:
                continue  # room was needed meanwhile
            counts["updates"] += 1
            # One damaged body must not cost those that are deltas against its model.
            reference = update.manifest.reference
            whole = None if reference in written else self._parts.models.whole(reference)
            if whole is not None:
                written.add(reference)
                counts["models"] += 1
                yield from counted(bundle.frame("model", reference, whole))
            yield from counted(bundle.frame("manifest", update.envelope))
            yield from counted(bundle.frame("body", update.id, body))
        yield from counted(bundle.frame("end"))

    # --- in --------------------------------------------------------------------------------------

    async def take(self, source: Source) -> dict[str, Any]:
        """Take what is good of a bundle: {author, created, taken, known, updates, refused}.

        `taken` and `known` count documents, `updates` the updates among the taken, `refused` by
        reason. WireError "not-a-bundle", "version", "foreign-swarm", "too-large" when nothing of it
        can be used.
        """
        if source.size > limits.BUNDLE_BYTES:
            raise WireError("too-large", f"{source.size} bytes, at most {limits.BUNDLE_BYTES}")
        opened = await self._compute.run(self._open, source)
        verdicts = await self._parts.engine.show(opened.documents)
        counts = Counter(verdicts)
        judged = zip(opened.documents, verdicts, strict=True)
        wanted = [d for d, verdict in judged if verdict == "wanted" and isinstance(d, Update)]
        here: list[Update] = []
        for update in _references_first(wanted):
            fault = await self._compute.run(self._take_body, source, opened, update)
            if fault is None:
                here.append(update)
            counts[fault or "arrived"] += 1
        self._parts.engine.feed(events.Carried(tuple(here)))
        del counts["wanted"]
        arrived, known = counts.pop("arrived", 0), counts.pop("known", 0)
        taken = counts.pop("taken", 0) + arrived
        header, own = opened.header, self._parts.node.setup.swarm.id
        if not taken and not known and header is not None and header.swarm != own:
            raise WireError("foreign-swarm", header.swarm.hex())
        return {
            "author": None if header is None else header.author,
            "created": None if header is None else header.created,
            "taken": taken,
            "known": known,
            "updates": arrived,
            "refused": dict(sorted((opened.refused + counts).items())),
        }

    def _open(self, source: Source) -> _Opened:
        """In the compute worker: find and check what is signed; bodies stay where they are."""
        opened = _Opened()
        room = limits.BUNDLE_DOCUMENT_BYTES
        for found in bundle.scan(source.read, source.size):
            if opened.frames + opened.refused.total() >= limits.BUNDLE_FRAMES:
                opened.refused["too-many"] += 1
                break
            if isinstance(found, bundle.Damage):
                opened.refused[found.reason] += 1
                continue
            opened.frames += 1
            if found.kind in ("body", "model"):
                self._note(source, found, opened)
            elif found.kind not in ("end", "unknown"):
                room -= found.length
                if room < 0:
                    opened.refused["too-large"] += 1
                    break
                self._read(found.kind, source.read(found.offset, found.length), opened)
        if not opened.frames:
            raise WireError("not-a-bundle", "nothing in it is a part of a bundle")
        return opened

    def _read(self, kind: bundle.Kind, payload: bytes, opened: _Opened) -> None:
        try:
            if kind == "header":
                opened.header = bundle.read_header(payload)
            else:
                opened.documents.append(self._opener(kind)(payload))
        except WireError as error:
            if kind == "header" and error.reason == "version":
                raise
            opened.refused[error.reason] += 1

    def _opener(
        self, kind: bundle.Kind
    ) -> Callable[[bytes], SignedRecord | SignedClaim | SignedRevocation | Update]:
        documents = self._parts.documents
        openers: dict[
            bundle.Kind, Callable[[bytes], SignedRecord | SignedClaim | SignedRevocation | Update]
        ] = {
            "record": documents.open_record,
            "claim": documents.open_claim,
            "revocation": documents.open_revocation,
            "manifest": documents.open_manifest,
        }
        return openers[kind]

    @staticmethod
    def _note(source: Source, found: bundle.Frame, opened: _Opened) -> None:
        """Where the bytes lie that belong to a hash."""
        named = source.read(found.offset, DIGEST_BYTES)
        places = opened.bodies if found.kind == "body" else opened.models
        if found.length <= DIGEST_BYTES or len(places) >= limits.BUNDLE_UPDATES:
            opened.refused["malformed" if found.length <= DIGEST_BYTES else "too-many"] += 1
        else:
            offset, length = found.offset + DIGEST_BYTES, found.length - DIGEST_BYTES
            places[named] = bundle.Frame(found.kind, offset, length)

    def _take_body(self, source: Source, opened: _Opened, update: Update) -> str | None:
        """In the compute worker: why a wanted update cannot be used; None when it is here."""
        if self._parts.store.load_body(update.id) is not None:
            return None
        frame = opened.bodies.get(update.id)
        if frame is None:
            return "no-body"
        if frame.length != update.manifest.body_size:
            return "wrong-size"
        try:
            self._take_reference(source, opened, update.manifest.reference)
            body = source.read(frame.offset, frame.length)
            self._parts.inbound.take_carried(update, body)
        except WireError as error:
            return error.reason
        except OSError:
            return "storage"
        return None

    def _take_reference(self, source: Source, opened: _Opened, reference: bytes) -> None:
        models = self._parts.models
        frame = opened.models.get(reference)
        if frame is None or not models.lacks(reference):
            return
        if frame.length != NUMBER_BYTES * models.layout.parameters:
            raise WireError("wrong-reference", f"{frame.length} bytes")
        models.take_whole(reference, source.read(frame.offset, frame.length))


def _references_first(updates: Sequence[Update]) -> list[Update]:
    """In an order in which none is a delta against a later one's model, if there is such an
    order."""
    waiting = {update.manifest.model: update for update in updates}
    ordered: list[Update] = []
    for update in updates:
        chain = [update]
        while (before := waiting.pop(chain[-1].manifest.reference, None)) is not None:
            chain.append(before)
        ordered += reversed(chain)
    return list({update.id: update for update in ordered}.values())
