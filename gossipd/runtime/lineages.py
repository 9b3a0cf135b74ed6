"""What is left out of messages because the other side holds it: lineages, but for differences.

The core reads and writes whole lineages. On its way out a message is abridged here against lineages
that its receiver is taken to hold, on its way in it is made whole again before anything in it is
looked at. Taken to hold it does

    what it has shown: in a Hello, or in the Have that is answered
    what has passed between the two, either way
    of a round's trainer, the model that both were told to train on

Whoever does not hold what was taken for granted says so (`UNHELD`), and is asked or told once more
with nothing left out. So a wrong guess costs a message, and nothing else.
"""

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from gossipd.protocol.events import SignedDocument
from gossipd.wire import limits
from gossipd.wire.envelope import split
from gossipd.wire.errors import WireError
from gossipd.wire.framing import unpack
from gossipd.wire.identifiers import author_key, digest, peer_id_of
from gossipd.wire.lineages import UNHELD, Known, Lineage, abridge, changed, difference, restore
from gossipd.wire.messages import (
    AbridgedManifest,
    Aggregated,
    AnyMessage,
    Have,
    Hello,
    Offer,
    Request,
    Sample,
    SealedManifest,
    StepClaim,
    Trained,
    Update,
)

HELD = 2 * limits.LINEAGES_SHOWN
"""Lineages that are kept: so what was shown is still here when it is made use of."""
ENTRIES = 128 * 1024
"""And how many entries of them together: some 20 MB. Of the longest lineages a few."""
TRIED = 2
"""Lineages, the latest ones, of which the one with the fewest differences is taken: ours."""
HINT = limits.LINEAGE_HINT_BYTES

K = TypeVar("K")
V = TypeVar("V")


class Lineages:
    """The lineages that this node holds, and of which it knows that others do. Thread-safe, for
    what is signed in the compute worker."""

    def __init__(self) -> None:
        self._held: dict[bytes, Known] = {}
        """By name; of this and the others the latest last."""
        self._entries = 0
        self._names: dict[bytes, bytes] = {}
        """Update id, or model -> the name of its lineage."""
        self._theirs: dict[str, bytes] = {}
        """Peer -> what it is taken to hold, as in `Have.held`."""
        self._lock = threading.Lock()

    # --- what is held ----------------------------------------------------------------------------

    def note(self, update: Update, known: Known) -> None:
        """An update with this lineage was signed, or its signature checked, here."""
        if 0 in known.lineage.values():
            return  # nobody will take it, and in a difference 0 means something else
        with self._lock:
            self._keep(known)
            for key in (update.id, update.manifest.model):
                _put(self._names, key, known.name, 4 * HELD)

    def _keep(self, known: Known) -> None:
        self._entries += len(known.lineage) * (known.name not in self._held)
        _put(self._held, known.name, known, HELD + 1)
        while len(self._held) > HELD or (self._entries > ENTRIES and len(self._held) > 1):
            self._entries -= len(self._held.pop(next(iter(self._held))).lineage)

    def _of(self, key: bytes) -> Known | None:
        """The lineage of an update or a model, which is of use just now."""
        with self._lock:
            known = self._held.get(self._names.get(key, b""))
            if known is not None:
                self._keep(known)
                _put(self._names, key, known.name, 4 * HELD)
            return known

    def _latest(self) -> list[Known]:
        with self._lock:
            return list(reversed(self._held.values()))

    # --- what others hold ------------------------------------------------------------------------

    def heard(self, peer: str, message: AnyMessage, documents: Sequence[SignedDocument]) -> None:
        """What a message of a peer, made whole, says of what it holds."""
        if isinstance(message, Hello):
            # A new connection, perhaps a new life.
            self._theirs.pop(peer, None)
        if isinstance(message, Hello | Have) and message.held is not UNSET:
            _put(self._theirs, peer, message.held, limits.CONNECTIONS)
        if isinstance(message, Offer | Aggregated | Trained):
            lineages = (self._of(d.id) for d in documents if isinstance(d, Update))
            self._met(peer, [known for known in lineages if known is not None])

    def doubt(self, peer: str) -> None:
        """Something was not held: nothing is taken for granted any more until it is shown again."""
        self._theirs.pop(peer, None)

    def _met(self, peer: str, lineages: Sequence[Known]) -> None:
        if not lineages:
            return
        before = self._theirs.get(peer, b"")
        hints = [before[at : at + HINT] for at in range(0, len(before), HINT)]
        latest = dict.fromkeys([*(known.name[:HINT] for known in lineages), *hints])
        shown = b"".join(list(latest)[: limits.LINEAGES_SHOWN])
        _put(self._theirs, peer, shown, limits.CONNECTIONS)

    def _common(self, peer: str) -> list[Known]:
        """What both hold, the latest first."""
        theirs = self._theirs.get(peer)
        if not theirs:
            return []
        hints = {theirs[at : at + HINT] for at in range(0, len(theirs), HINT)}
        return [known for known in self._latest() if known.name[:HINT] in hints]

    @property
    def _shown(self) -> bytes:
        latest = self._latest()[: limits.LINEAGES_SHOWN]
        return b"".join(known.name[:HINT] for known in latest)

    # --- the way out -----------------------------------------------------------------------------

    def abridged(self, peer: str, message: AnyMessage) -> AnyMessage:
        """A request as it goes to a peer; the same one when nothing can be left out."""
        if isinstance(message, Hello):
            return self._greeting(message)
        if isinstance(message, Have):
            return self._asking(peer, message)
        if isinstance(message, Trained):
            return self._carrying(peer, message, [*self._trained_on(message), *self._common(peer)])
        if isinstance(message, Offer | Aggregated):
            return self._carrying(peer, message, self._common(peer))
        return message

    def answer(self, peer: str, asked: Request, message: AnyMessage) -> AnyMessage:
        """An answer as it goes to a peer."""
        if isinstance(message, Hello):
            return self._greeting(message)
        if not isinstance(message, Offer) or not isinstance(asked, Have) or asked.held is UNSET:
            return message
        own = [Known(asked.lineage)] if message.manifests else []
        return self._carrying(peer, message, [*own, *self._common(peer)])

    def _greeting(self, hello: Hello) -> Hello:
        """Who says nothing of itself yet says nothing of what it holds either."""
        return replace(hello, held=self._shown) if hello.record else hello

    def _asking(self, peer: str, have: Have) -> Have:
        own = self._of(have.model)
        if own is None or own.lineage != have.lineage:
            # The answer may refer to it.
            own = Known(have.lineage)
            with self._lock:
                self._keep(own)
        against, changes = _nearest(own.lineage, self._common(peer))
        if against is None:
            return replace(have, held=self._shown)
        return replace(have, lineage=changes, against=against.name, held=self._shown)

    def _carrying(
        self, peer: str, message: Offer | Aggregated | Trained, common: list[Known]
    ) -> Offer | Aggregated | Trained:
        if not message.manifests:
            return message
        said: list[SealedManifest] = []
        passed: list[Known] = []
        held: list[Known] = []
        for sealed in message.manifests:
            assert isinstance(sealed, bytes), "the core leaves nothing out"
            known = self._of(digest(split(sealed)[0]))
            if known is None:
                said.append(sealed)
                continue
            against, changes = _nearest(known.lineage, [*passed, *common])
            if against is None:
                said.append(sealed)
            else:
                said.append(abridge(sealed, known, against, changes))
                held += [against] if against not in passed else []
            passed.append(known)
        self._met(peer, passed)
        claims = message.claims
        if held:
            claims = tuple(c for c in claims if not _is_proven(c, held))
        return replace(message, manifests=tuple(said), claims=claims)

    def _trained_on(self, message: Trained) -> list[Known]:
        """What both sides of a hand-over have been told to train on."""
        sample = unpack(split(message.sample)[0], Sample)
        known = self._of(sample.model)
        return [] if known is None else [known]

    # --- the way in ------------------------------------------------------------------------------

    def whole(self, have: Have) -> Have:
        """A Have as the core reads it. WireError `UNHELD`, "malformed"."""
        if have.against is UNSET:
            return have
        lineage = changed(self._named(have.against).lineage, have.lineage)
        return replace(have, lineage=lineage, against=UNSET)

    def sealed(self, manifests: Sequence[SealedManifest]) -> Iterator[bytes]:
        """The envelopes that manifests stand for, one after the other: each may leave out what the
        one before has said. WireError `UNHELD`, "malformed", and "too-large" when they stand for
        more than fits in one message."""
        room = limits.MESSAGE_BYTES
        for manifest in manifests:
            if isinstance(manifest, AbridgedManifest):
                manifest = restore(manifest, self._named(manifest.against).lineage)
            room -= len(manifest)
            if room < 0:
                raise WireError("too-large", "manifests that stand for more than one message holds")
            yield manifest

    def _named(self, name: bytes) -> Known:
        with self._lock:
            known = self._held.get(name)
            if known is None:
                raise WireError(UNHELD, name.hex())
            self._keep(known)
            return known


def _is_proven(claim: bytes, held: Sequence[Known]) -> bool:
    """Whether who holds these lineages has seen as much of the claim's author as it says."""
    author, steps = _claimed(claim)
    return any(known.lineage.get(author, 0) >= steps for known in held)


@lru_cache(maxsize=16384)
def _claimed(sealed: bytes) -> tuple[bytes, int]:
    """Whose claim, and how many steps; its signature has been checked when it came."""
    payload, public_key, _ = split(sealed)
    claim = unpack(payload, StepClaim)
    return author_key(peer_id_of(public_key), claim.incarnation), claim.steps


def _put(where: dict[K, V], key: K, value: V, room: int) -> None:
    """As the latest; the oldest goes when there is no room."""
    where.pop(key, None)
    where[key] = value
    if len(where) > room:
        del where[next(iter(where))]


def _nearest(lineage: Lineage, others: Sequence[Known]) -> tuple[Known | None, dict[bytes, int]]:
    """Of the first of the others the one with the fewest differences, and these; None when to name
    them takes no less than the lineage."""
    found: tuple[Known | None, dict[bytes, int]] = (None, {})
    fewest = len(lineage)
    for known in others[:TRIED]:
        changes = difference(known.lineage, lineage)
        if len(changes) < fewest:
            found, fewest = (known, changes), len(changes)
    return found
