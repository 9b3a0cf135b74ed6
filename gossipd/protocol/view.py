"""What this node knows of the swarm: everybody's newest signed record and step claim.

A state-based CRDT: merging is commutative, associative and idempotent, since of each author only
the highest (incarnation, seq) record and the highest step claim stay. MoDeST's registry and
activity record ride on the same entries.
"""

import statistics
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from msgspec import UNSET
from msgspec.structs import replace

from gossipd.protocol.changes import Changes
from gossipd.protocol.lineage import Lineage, has_more
from gossipd.protocol.membership import Members
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import SignedClaim, SignedRecord, Update, View, ViewSync

CLAIMS_BYTES = limits.MESSAGE_BYTES * 3 // 8
"""What claims may take up of one message; the rest is for manifests and activity..."""
RECORDS_BYTES = limits.MESSAGE_BYTES // 2
"""... or for records."""
NAME_BYTES = 8

_AUTHOR = attrgetter("author")
_KEY = attrgetter("key")
_MARK = attrgetter("mark")
_NAME = attrgetter("name")
_MEMBERSHIP = attrgetter("membership")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far two views have told each other everything."""

    theirs: int
    """Revision of the other one's."""
    own: int


def _fitting(envelopes: list[bytes], count: int, budget: int) -> tuple[bytes, ...]:
    """As many of the first as fit; what does not fit this time is still news the next."""
    fitting: list[bytes] = []
    for envelope in envelopes:
        budget -= len(envelope)
        if budget < 0 or len(fitting) == count:
            break
        fitting.append(envelope)
    return tuple(fitting)


def _is_newer(signed: SignedRecord, known: SignedRecord) -> bool:
    one, other = signed.record, known.record
    return (one.incarnation, one.seq) > (other.incarnation, other.seq)


def _names(records: Iterable[SignedRecord]) -> bytes:
    """What `ViewSync.names` says of these records."""
    names = array("Q", map(_NAME, records))
    if sys.byteorder == "little":
        names.byteswap()
    return names.tobytes()


def _named(names: bytes) -> frozenset[int]:
    numbers = array("Q", names[: len(names) - len(names) % NAME_BYTES])
    if sys.byteorder == "little":
        numbers.byteswap()
    return frozenset(numbers)


class SwarmView:
    """Records and claims by author key, bounded by `limits.AUTHORS`; in a closed swarm only those
    of authors whom its founder has let in at some time."""

    def __init__(self, members: Members | None = None) -> None:
        self.members = members or Members()
        self._records: dict[bytes, SignedRecord] = {}
        self._newest: dict[str, bytes] = {}
        """The author of a peer's newest incarnation."""
        self._claims: dict[bytes, SignedClaim] = {}
        self._steps: dict[bytes, int] = {}
        """What they say, by the same keys."""
        self._sum = 0
        """Of all records: see `ViewSync.sum`."""
        self._changes: Changes[str | bytes] = Changes()
        """Peers whose record, and authors whose claim, has changed."""
        self._told: dict[str, dict[bytes, int]] = {}
        self._told_all: dict[str, int] = {}
        """Peer -> the revision of this view that it has been told everything of."""
        self._cap: int | None = None

    # --- merging -------------------------------------------------------------------------------

    def add_record(self, signed: SignedRecord) -> bool:
        """Take a record; True when it is news. Older ones and overflow change nothing."""
        news, _ = self.add_records((signed,))
        return bool(news)

    def add_records(
        self, many: Iterable[SignedRecord]
    ) -> tuple[list[SignedRecord], list[SignedRecord]]:
        """As `add_record`, of thousands at once: those that are news, and of them those of peers
        who were not known so far."""
        many = list(many)
        newcomers = self._newcomers(many)
        if newcomers:
            unknown = set(map(_AUTHOR, newcomers))
            many = [signed for signed in many if signed.author not in unknown]
        news, others = self._add_each(many)
        if newcomers:
            self._records.update(zip(map(_KEY, newcomers), newcomers, strict=True))
            self._newest.update(zip(map(_AUTHOR, newcomers), map(_KEY, newcomers), strict=True))
        news += newcomers
        if news:
            self._cap = None
            self._sum += sum(map(_MARK, news))
            self._changes.extend(map(_AUTHOR, news))
        return news, others + newcomers

    def _newcomers(self, many: Sequence[SignedRecord]) -> list[SignedRecord]:
        """Records that can but be taken, since nothing is known of their authors: in a swarm that
        forms most are. Nothing of it is looked at one by one; empty where something must be."""
        newest = self._newest
        if self.members.closed or len(newest) + len(many) > limits.AUTHORS:
            return []
        newcomers = [signed for signed in many if signed.author not in newest]
        plain = not any(map(_MEMBERSHIP, newcomers))
        different = len(set(map(_AUTHOR, newcomers))) == len(newcomers)
        return newcomers if plain and different else []

    def _add_each(
        self, many: Iterable[SignedRecord]
    ) -> tuple[list[SignedRecord], list[SignedRecord]]:
        records, newest, members = self._records, self._newest, self.members
        news, newcomers = list[SignedRecord](), list[SignedRecord]()
        for signed in many:
            former = newest.get(signed.author)
            if former is None:
                if len(newest) >= limits.AUTHORS or not members.admits_record(signed):
                    continue
                newcomers.append(signed)
            else:
                known = records[former]
                if known is signed or not _is_newer(signed, known):
                    continue
                if not members.admits_record(signed):
                    continue
                # An older incarnation's examples still stand behind lineages that hold its steps,
                # but the author is one person with one data set: only the newest record counts.
                del records[former]
                self._sum -= known.mark
            if signed.membership is not None:
                members.learn(signed.membership)
            records[signed.key] = signed
            newest[signed.author] = signed.key
            news.append(signed)
        return news, newcomers

    def add_claim(self, signed: SignedClaim) -> bool:
        """Take a step claim; True when it is higher than the known one. One of no steps says
        nothing: no lineage has such an entry."""
        author, steps = signed.key, signed.claim.steps
        known = self._steps.get(author, 0)
        if steps <= known:
            return False
        if not known and not (self.has_room_for(author) and self.members.vouches(signed.author)):
            return False
        self._claims[author] = signed
        self._steps[author] = steps
        self._changes.add(author)
        return True

    # --- asking --------------------------------------------------------------------------------

    def record_of(self, peer: str) -> SignedRecord | None:
        author = self._newest.get(peer)
        return None if author is None else self._records[author]

    def author_of(self, peer: str) -> bytes | None:
        """The key of a peer's newest incarnation."""
        return self._newest.get(peer)

    def knows(self, author: bytes) -> bool:
        """Whether this is somebody's newest incarnation."""
        return author in self._records

    def peer_of(self, author: bytes) -> str | None:
        """Whose newest incarnation this is."""
        signed = self._records.get(author)
        return None if signed is None else signed.author

    @property
    def size(self) -> int:
        """Peers whose record is known."""
        return len(self._newest)

    def records(self) -> Iterator[SignedRecord]:
        return iter(self._records.values())

    def records_since(self, revision: int) -> list[SignedRecord]:
        """The newest of those peers whose record has changed after `revision`."""
        if revision == self.revision:
            return []
        changed = self._changes.since(revision)
        return [self._records[self._newest[key]] for key in changed if isinstance(key, str)]

    def claims(self) -> Iterator[SignedClaim]:
        return iter(self._claims.values())

    @property
    def is_full(self) -> bool:
        """Whether no new author can be taken; nothing is folded, that would break comparison."""
        return max(len(self._newest), len(self._claims)) >= limits.AUTHORS

    def has_room_for(self, author: bytes) -> bool:
        if author in self._records:
            return author in self._claims or len(self._claims) < limits.AUTHORS
        return author in self._claims or not self.is_full

    def steps_of(self, author: bytes) -> int:
        """The highest step counter that this author is known to have signed."""
        return self._steps.get(author, 0)

    def steps_of_peer(self, peer: str) -> int:
        """The same for a peer's newest incarnation."""
        author = self.author_of(peer)
        return 0 if author is None else self.steps_of(author)

    def unproven(self, lineage: Lineage) -> tuple[bytes, ...]:
        """Entries above what their author is known to have signed: a claim is not trust."""
        signed = self._steps
        if lineage.keys() <= signed.keys() and not has_more(lineage, signed):
            return ()
        return tuple(sorted(a for a, steps in lineage.items() if steps > signed.get(a, -1)))

    def missing(self, update: Update) -> tuple[bytes, ...]:
        """Whose claims, or whose record, must be seen before an update may be used: unproven
        entries of its lineage, and its author as long as nobody has vouched for it."""
        missing = self.unproven(update.manifest.lineage)
        if self.members.vouches(update.author):
            return missing
        author = author_key(update.author, update.manifest.incarnation)
        return tuple(sorted({*missing, author}))

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
        cap, records = self._examples_cap(), self._records
        for author, steps in other.items():
            signed = records.get(author)
            if signed is not None:
                examples = min(signed.record.examples, cap)
                total += examples
                if (had := own.get(author, 0)) < steps:
                    fresh += examples * (steps - had) / steps
        return fresh / total if total else 0.0

    def _examples_cap(self) -> int:
        if self._cap is None:
            counts = [s.record.examples for s in self._records.values() if s.record.examples > 0]
            median = statistics.median_low(counts) if counts else 0
            self._cap = limits.EXAMPLES_OVER_MEDIAN * median
        return self._cap

    # --- exchanging ----------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Counts every change of this view in this life."""
        return self._changes.revision

    def question(
        self,
        only: tuple[bytes, ...] = (),
        *,
        since: Mark | None = None,
        summed: bool = False,
    ) -> ViewSync:
        """What to ask a peer: everything newer than what is known here, or newer claims of a few
        authors; `since`: what has changed there since then, but for what has changed here;
        `summed`: all claims, but records only if they are the same as here."""
        if only:
            records = {a: self._records[a].record.seq for a in only if a in self._records}
            claims = {a: self._steps[a] for a in only if a in self._steps}
            return ViewSync(records=records, claims=claims, only=only)
        if since is None:
            claims = self._steps.copy()
            if summed:
                return ViewSync(claims=claims, sum=self._sum_bytes, upto=self.revision)
            return ViewSync(claims=claims, names=_names(self._records.values()))
        records, claims = {}, {}
        for key in self._changes.since(since.own):
            if isinstance(key, str):
                author = self._newest[key]
                records[author] = self._records[author].record.seq
            else:
                claims[key] = self._steps[key]
        return ViewSync(records=records, claims=claims, since=since.theirs)

    def holds_all_of(self, question: ViewSync) -> bool:
        """Whether the asker knows the same records, and no claim that is not known here."""
        return question.sum == self._sum_bytes and not has_more(question.claims, self._steps)

    @property
    def _sum_bytes(self) -> bytes:
        return (self._sum % 2**128).to_bytes(16, "big")

    def answer(self, question: ViewSync, asker: str = "") -> View:
        """What the asker does not know yet, at most one message full."""
        known_records, known_claims = self._asked_for(question)
        seqs, steps = question.records, question.claims
        if question.names is UNSET:
            records = [s.envelope for a, s in known_records if s.record.seq > seqs.get(a, -1)]
        else:
            named = _named(question.names)
            records = [s.envelope for _, s in known_records if s.name not in named]
        claims = []
        if known_claims is not self._claims or has_more(self._steps, steps):
            news = (a for a in known_claims if self._steps[a] > steps.get(a, 0))
            claims = [self._claims[author].envelope for author in news]
        # Each has its own share of the message, so that none keeps the other from spreading.
        view = View(
            records=_fitting(records, limits.RECORDS_PER_MESSAGE, RECORDS_BYTES),
            claims=_fitting(claims, limits.CLAIMS_PER_MESSAGE, CLAIMS_BYTES),
        )
        complete = len(view.records) == len(records) and len(view.claims) == len(claims)
        complete = complete and question.sum in (UNSET, self._sum_bytes)
        if question.only or not complete:
            return view
        if asker:
            self._told_all[asker] = self.revision
            self._told.pop(asker, None)
        return replace(view, upto=self.revision)

    def _asked_for(
        self, question: ViewSync
    ) -> tuple[Iterable[tuple[bytes, SignedRecord]], Iterable[bytes]]:
        """What is known of what a question is about: records by author, authors of claims."""
        if question.only:
            authors = [a for a in dict.fromkeys(question.only) if a in self._claims]
            # The record goes with a claim of whatever incarnation: it says that its author belongs.
            newest = [self.author_of(self._claims[author].author) for author in authors]
            records = {*question.only, *(author for author in newest if author is not None)}
            return (
                [(a, self._records[a]) for a in sorted(records) if a in self._records],
                authors,
            )
        if question.sum is not UNSET:
            return (), self._claims
        if question.since is UNSET:
            return self._records.items(), self._claims
        changed = self._changes.since(question.since)
        newest_of = [self._newest[key] for key in changed if isinstance(key, str)]
        return (
            [(a, self._records[a]) for a in newest_of],
            [key for key in changed if isinstance(key, bytes)],
        )

    # --- differences: which claims a peer has not had from here or sent here ---------------------

    def proofs_for(self, peer: str, *lineages: Lineage) -> tuple[bytes, ...]:
        """Claims behind lineages that `peer` is not known to hold, at most one message full.

        A claim that goes missing is asked for again (`ViewSync.only`), so guessing wrong costs a
        round trip, never correctness.
        """
        told = self._told.setdefault(peer, {})
        proofs: list[bytes] = []
        room = CLAIMS_BYTES
        for author in self._changed_for(peer, lineages):
            steps = self._steps.get(author, 0)
            if steps <= told.get(author, 0):
                continue
            envelope = self._claims[author].envelope
            room -= len(envelope)
            if room < 0 or len(proofs) == limits.CLAIMS_PER_MESSAGE:
                break
            told[author] = steps
            proofs.append(envelope)
        return tuple(proofs)

    def _changed_for(self, peer: str, lineages: Sequence[Lineage]) -> Iterable[bytes]:
        """The authors in lineages whose claims have changed since `peer` was told everything."""
        since = self._told_all.get(peer)
        if since is None:
            return chain(*lineages)
        changed = (key for key in self._changes.since(since) if isinstance(key, bytes))
        return (key for key in changed if any(key in lineage for lineage in lineages))

    def heard_from(self, peer: str, claim: SignedClaim) -> None:
        """`peer` sent this claim, so it need not be told."""
        author, steps = claim.key, claim.claim.steps
        if author not in self._steps:
            return
        told = self._told.setdefault(peer, {})
        if steps > told.get(author, 0):
            told[author] = steps

    def disconnected(self, peer: str) -> None:
        """What a peer held before it went is not relied on when it returns."""
        self._told.pop(peer, None)
        self._told_all.pop(peer, None)
