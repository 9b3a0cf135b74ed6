"""What this node knows of the swarm: everybody's newest signed record and step claim.

A state-based CRDT: merging is commutative, associative and idempotent, since of each author only
the highest (incarnation, seq) record and the highest step claim stay. MoDeST's registry and
activity record ride on the same entries.
"""

import statistics
from collections.abc import Iterable, Iterator

from gossipd.protocol.lineage import Lineage
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import SignedClaim, SignedRecord, View, ViewSync

CLAIMS_BYTES = limits.MESSAGE_BYTES // 2
RECORDS_BYTES = limits.MESSAGE_BYTES // 4
"""What claims and records may take up of one message; the rest is for a manifest and framing."""


def _fitting(envelopes: Iterable[bytes], count: int, budget: int) -> tuple[bytes, ...]:
    """As many of the first as fit; what does not fit this time is still news the next."""
    fitting: list[bytes] = []
    for envelope in envelopes:
        budget -= len(envelope)
        if budget < 0 or len(fitting) == count:
            break
        fitting.append(envelope)
    return tuple(fitting)


class SwarmView:
    """Records and claims by author key, bounded by `limits.AUTHORS`."""

    def __init__(self) -> None:
        self._records: dict[bytes, SignedRecord] = {}
        self._newest: dict[str, bytes] = {}
        self._claims: dict[bytes, SignedClaim] = {}
        self._told: dict[str, dict[bytes, int]] = {}
        self._cap: int | None = None

    # --- merging -------------------------------------------------------------------------------

    def add_record(self, signed: SignedRecord) -> bool:
        """Take a record; True when it is news. Older ones and overflow change nothing."""
        author = author_key(signed.author, signed.record.incarnation)
        known_author = self._newest.get(signed.author)
        if known_author is None:
            if len(self._newest) >= limits.AUTHORS:
                return False
        else:
            known = self._records[known_author].record
            if (signed.record.incarnation, signed.record.seq) <= (known.incarnation, known.seq):
                return False
            # An older incarnation's examples still stand behind lineages that hold its steps, but
            # the author is one person with one data set: only the newest record counts.
            del self._records[known_author]
        self._cap = None
        self._records[author] = signed
        self._newest[signed.author] = author
        return True

    def add_claim(self, signed: SignedClaim) -> bool:
        """Take a step claim; True when it is higher than the known one."""
        author = author_key(signed.author, signed.claim.incarnation)
        known = self._claims.get(author)
        if known is None and self.is_full:
            return False
        if known is not None and signed.claim.steps <= known.claim.steps:
            return False
        self._claims[author] = signed
        return True

    # --- asking --------------------------------------------------------------------------------

    def record_of(self, peer: str) -> SignedRecord | None:
        author = self._newest.get(peer)
        return None if author is None else self._records[author]

    def author_of(self, peer: str) -> bytes | None:
        """The key of a peer's newest incarnation."""
        return self._newest.get(peer)

    def peer_of(self, author: bytes) -> str | None:
        """Whose newest incarnation this is."""
        signed = self._records.get(author)
        return None if signed is None else signed.author

    def records(self) -> Iterator[SignedRecord]:
        return iter(self._records.values())

    def claims(self) -> Iterator[SignedClaim]:
        return iter(self._claims.values())

    @property
    def is_full(self) -> bool:
        """Whether no new author can be taken; nothing is folded, that would break comparison."""
        return len(self._claims) >= limits.AUTHORS

    def has_room_for(self, author: bytes) -> bool:
        return author in self._claims or not self.is_full

    def steps_of(self, author: bytes) -> int:
        """The highest step counter that this author is known to have signed."""
        claim = self._claims.get(author)
        return 0 if claim is None else claim.claim.steps

    def steps_of_peer(self, peer: str) -> int:
        """The same for a peer's newest incarnation."""
        author = self._newest.get(peer)
        return 0 if author is None else self.steps_of(author)

    def unproven(self, lineage: Lineage) -> tuple[bytes, ...]:
        """Entries above what their author is known to have signed: a claim is not trust."""
        return tuple(sorted(a for a, steps in lineage.items() if steps > self.steps_of(a)))

    def examples_of(self, authors: Iterable[bytes]) -> int:
        """Examples that these authors announce, each capped at 10 times the swarm's median.

        The cap keeps one liar from outweighing everybody; without a record an author weighs 0.
        """
        cap = self._examples_cap()
        known = (self._records.get(author) for author in authors)
        return sum(min(signed.record.examples, cap) for signed in known if signed is not None)

    def class_counts_of(self, authors: Iterable[bytes]) -> tuple[int, ...] | None:
        """Class counts of these authors together; None when one of them keeps its own secret."""
        cap = self._examples_cap()
        total: list[int] = []
        for author in authors:
            signed = self._records.get(author)
            if signed is None:
                continue
            counts = signed.record.class_counts
            if not counts or (total and len(counts) != len(total)):
                return None
            claimed = max(sum(counts), 1)
            scale = min(1.0, cap / claimed)
            total = total or [0] * len(counts)
            for index, count in enumerate(counts):
                total[index] += int(count * scale)
        return tuple(total) if total else None

    def fresh_share(self, own: Lineage, other: Lineage) -> float:
        """How much of what `other` has learnt is new to `own`, by examples, in [0, 1].

        Per author the share of its steps that `own` lacks; 1 for an author never met. Small between
        nodes that exchange all the time, large when islands meet.
        """
        fresh = total = 0.0
        for author, steps in other.items():
            examples = self.examples_of((author,))
            total += examples
            fresh += examples * max(steps - own.get(author, 0), 0) / max(steps, 1)
        return fresh / total if total else 0.0

    def _examples_cap(self) -> int:
        if self._cap is None:
            counts = [s.record.examples for s in self._records.values() if s.record.examples > 0]
            median = statistics.median_low(counts) if counts else 0
            self._cap = limits.EXAMPLES_OVER_MEDIAN * median
        return self._cap

    # --- exchanging ----------------------------------------------------------------------------

    def question(self, only: tuple[bytes, ...] = ()) -> ViewSync:
        """What to ask a peer: everything newer than this, or newer claims of a few authors."""
        wanted = set(only)
        records = {a: s.record.seq for a, s in self._records.items() if not only or a in wanted}
        claims = {a: s.claim.steps for a, s in self._claims.items() if not only or a in wanted}
        return ViewSync(records=records, claims=claims, only=only)

    def answer(self, question: ViewSync) -> View:
        """What the asker does not know yet, at most one message full."""
        wanted = set(question.only)
        claims = (
            signed.envelope
            for author, signed in self._claims.items()
            if (not wanted or author in wanted)
            and signed.claim.steps > question.claims.get(author, -1)
        )
        records = (
            signed.envelope
            for author, signed in self._records.items()
            if (not wanted or author in wanted)
            and signed.record.seq > question.records.get(author, -1)
        )
        # Each has its own share of the message, so that none keeps the other from spreading.
        return View(
            records=_fitting(records, limits.RECORDS_PER_MESSAGE, RECORDS_BYTES),
            claims=_fitting(claims, limits.CLAIMS_PER_MESSAGE, CLAIMS_BYTES),
        )

    # --- differences: which claims a peer has not had from here or sent here ---------------------

    def proofs_for(self, peer: str, lineage: Lineage) -> tuple[bytes, ...]:
        """Claims behind a lineage that `peer` is not known to hold, at most one message full.

        A claim that goes missing is asked for again (`ViewSync.only`), so guessing wrong costs a
        round trip, never correctness.
        """
        told = self._told.setdefault(peer, {})
        proofs: list[bytes] = []
        size = 0
        for author in lineage:
            claim = self._claims.get(author)
            if claim is None or claim.claim.steps <= told.get(author, 0):
                continue
            size += len(claim.envelope)
            if size > CLAIMS_BYTES:
                break
            told[author] = claim.claim.steps
            proofs.append(claim.envelope)
        return tuple(proofs)

    def heard_from(self, peer: str, claim: SignedClaim) -> None:
        """`peer` sent this claim, so it need not be told."""
        author = author_key(claim.author, claim.claim.incarnation)
        if author not in self._claims:
            return
        told = self._told.setdefault(peer, {})
        told[author] = max(claim.claim.steps, told.get(author, 0))

    def disconnected(self, peer: str) -> None:
        """What a peer held before it went is not relied on when it returns."""
        self._told.pop(peer, None)
