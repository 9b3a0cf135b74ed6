"""Offer, want, have: which updates this node takes from whom, and which it shows.

An offered update is judged by its signed manifest alone, before a byte of its body moves:

    another task, layout, unknown codec or reference            -> refused
    seen before                                                 -> duplicate, no penalty
    same (author, incarnation, seq), other content              -> equivocation: both kept as proof
    lineage claims steps that their authors are not known       -> the claims are asked for; if they
      to have signed                                               do not come, refused
    nothing new by lineage                                      -> redundant, body not even fetched
    otherwise                                                   -> wanted: fetched from the offerer
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gossipd.protocol.events import (
    Arrived,
    Fetch,
    FetchFailed,
    KeepEvidence,
    Output,
    Report,
)
from gossipd.protocol.lineage import Lineage, is_news
from gossipd.protocol.peers import Peers
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import GENESIS, ZERO, Manifest, Update

FETCHES_AT_ONCE = 8
"""Ours: more than a node merges per cycle; the rest waits, the newest of each author."""
REMEMBERED_UPDATES = 4096
"""How many (author, seq) are remembered to recognise duplicates and equivocation."""
REMEMBERED_BYTES = 32 * limits.MIB
"""And how much of them at most: the envelopes are kept, they are the proof."""


REVOKED_AUTHOR = "revoked-author"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an update must be to be of any use here."""

    task: bytes
    layout: bytes
    parameters: int
    genesis: bytes
    codecs: frozenset[str]
    body_sizes: Mapping[str, tuple[int, int]]
    """Shortest and longest body of this layout by codec."""
    any_reference: bool = False
    """Whether a delta may be against any model, as in rounds, not the task's initial one alone."""


def recency(update: Update) -> tuple[int, int]:
    """Orders the updates of one author: the newer one is greater."""
    return update.manifest.incarnation, update.manifest.seq


@dataclass(slots=True)
class Exchanged:
    """Counts for `status`."""

    fetched: int = 0
    redundant: int = 0
    duplicate: int = 0
    refused: int = 0


class Exchange:
    """Judges what is offered and fetches what is wanted."""

    def __init__(
        self,
        terms: Terms,
        view: SwarmView,
        peers: Peers,
        me: bytes,
        standing: Callable[[], tuple[Lineage, bytes | None]],
        holds: Callable[[bytes], bool],
    ) -> None:
        self._terms = terms
        self._view = view
        self._peers = peers
        self._me = me
        self._standing = standing
        """Lineage and content hash of the model that offers are compared with."""
        self._holds = holds
        """Whether an update is here already and waits to be merged."""
        self._seen: OrderedDict[tuple[bytes, int], tuple[bytes, bytes]] = OrderedDict()
        self._seen_bytes = 0
        self._forked: set[bytes] = set()
        self._fetching: dict[bytes, str] = {}
        self._queue: OrderedDict[tuple[str, str], tuple[str, Update]] = OrderedDict()
        self.counts = Exchanged()

    # --- judging ---------------------------------------------------------------------------------

    def judge(
        self, peer: str, updates: tuple[Update, ...], now: float, out: list[Output]
    ) -> tuple[list[Update], list[Update]]:
        """(wanted, unproven) of what `peer` offers; the rest is counted and dropped."""
        wanted: list[Update] = []
        unproven: list[Update] = []
        for update in updates:
            reason = self._refusal(update)
            if reason is not None:
                self._refuse(peer, update, reason, now, out)
            elif self._is_duplicate(peer, update, now, out):
                self.counts.duplicate += 1
            elif not self.is_news(update):
                self.counts.redundant += 1
            elif self._view.missing(update):
                unproven.append(update)
            else:
                wanted.append(update)
        return wanted, unproven

    def admissible(self, peer: str, update: Update, now: float, out: list[Output]) -> bool:
        """Whether an update may be used at all, whatever it brings: refused and counted if not."""
        return self.fault(peer, update, now, out) is None

    def fault(self, peer: str, update: Update, now: float, out: list[Output]) -> str | None:
        """As `admissible`: why not; None when it may."""
        reason = self._refusal(update)
        if reason is not None:
            self._refuse(peer, update, reason, now, out)
            return reason
        self._is_duplicate(peer, update, now, out)
        forked = author_key(update.author, update.manifest.incarnation) in self._forked
        return "equivocation" if forked else None

    def judge_proven(
        self, peer: str, updates: list[Update], now: float, out: list[Output]
    ) -> list[Update]:
        """Judge again what waited for claims: what is still unproven is refused."""
        wanted: list[Update] = []
        for update in updates:
            if self._is_here(update):
                self.counts.duplicate += 1
            elif not self.is_news(update):
                self.counts.redundant += 1
            elif self.unproven(peer, update, now, out) is None:
                wanted.append(update)
        return wanted

    def unproven(self, peer: str, update: Update, now: float, out: list[Output]) -> str | None:
        """Why an update is refused whose claims should be here by now; None when they are."""
        if not self._view.missing(update):
            return None
        # Its authors may well have signed, but a full view can take no more of them.
        full = self._view.is_full
        reason = "too-many-authors" if full else "unproven-lineage"
        self._refuse(peer, update, reason, now, out, hostile=not full)
        return reason

    def _refusal(self, update: Update) -> str | None:
        manifest, terms = update.manifest, self._terms
        author = author_key(update.author, manifest.incarnation)
        if manifest.task != terms.task:
            return "foreign-task"
        if manifest.layout != terms.layout or manifest.parameters != terms.parameters:
            return "wrong-layout"
        if manifest.codec not in terms.codecs:
            return "unknown-codec"
        if not self._is_reference(manifest):
            return "unknown-reference"
        if (manifest.kind == "full") != (manifest.reference == ZERO):
            return "wrong-kind"
        least, most = terms.body_sizes[manifest.codec]
        if manifest.body_size > most:
            return "oversized-body"
        if manifest.body_size < least:
            return "undersized-body"
        if manifest.lineage.get(author, 0) > manifest.steps:
            return "lineage-above-steps"
        if 0 in manifest.lineage.values():
            # Says nothing, and would fill up the lineage of whoever adopts it.
            return "padded-lineage"
        if manifest.lineage.get(self._me, 0) > self._view.steps_of(self._me):
            # Only this node signs its own steps, so nobody can have learnt more of them.
            return "forged-lineage"
        if author in self._forked:
            return "equivocation"
        if self._view.members.is_revoked(update.author):
            return REVOKED_AUTHOR
        return None

    def _is_reference(self, manifest: Manifest) -> bool:
        if manifest.reference in (GENESIS, ZERO, self._terms.genesis):
            return True
        is_hash = len(manifest.reference) == len(manifest.model)
        return self._terms.any_reference and is_hash and manifest.reference != manifest.model

    def _is_duplicate(self, peer: str, update: Update, now: float, out: list[Output]) -> bool:
        key = (author_key(update.author, update.manifest.incarnation), update.manifest.seq)
        known = self._seen.get(key)
        if known is None:
            self._remember(key, update)
            return False
        if known[0] != update.id:
            self._forked.add(key[0])
            self._refuse(peer, update, "equivocation", now, out)
            out.append(KeepEvidence(update.author, known[1], update.envelope))
            out.append(Report("equivocation", {"author": update.author, "carrier": peer}))
            return True
        return self._is_here(update)

    def _remember(self, key: tuple[bytes, int], update: Update) -> None:
        self._seen[key] = (update.id, update.envelope)
        self._seen_bytes += len(update.envelope)
        while len(self._seen) > REMEMBERED_UPDATES or self._seen_bytes > REMEMBERED_BYTES:
            _, (_, envelope) = self._seen.popitem(last=False)
            self._seen_bytes -= len(envelope)

    def _is_here(self, update: Update) -> bool:
        """Whether an update is on its way or waits for a merge; otherwise it may come again."""
        queued = self._queue.get((update.author, update.manifest.role))
        return (
            update.id in self._fetching
            or self._holds(update.id)
            or (queued is not None and queued[1].id == update.id)
        )

    def is_news(self, update: Update) -> bool:
        """Whether an update brings what this node does not stand on."""
        if update.manifest.role == "serving":
            return True
        lineage, model = self._standing()
        return is_news(lineage, model, update.manifest.lineage, update.manifest.model)

    def _refuse(
        self,
        peer: str,
        update: Update,
        reason: str,
        now: float,
        out: list[Output],
        *,
        hostile: bool = True,
    ) -> None:
        self.counts.refused += 1
        if reason == REVOKED_AUTHOR:
            hostile = False  # whoever carries it may not have heard
        if reason == "equivocation" and update.author != peer:
            # Whoever carries one of the two cannot know of the other.
            self._peers.refuse(update.author, reason, now, out, hostile=True)
            hostile = False
        self._peers.refuse(peer, reason, now, out, hostile=hostile)
        out.append(
            Report("update-refused", {"peer": peer, "author": update.author, "reason": reason})
        )

    # --- fetching --------------------------------------------------------------------------------

    def fetch(self, peer: str, updates: list[Update], out: list[Output]) -> None:
        """Fetch now or as soon as there is room; of one author and role only the newest waits."""
        for update in updates:
            key = (update.author, update.manifest.role)
            waiting = self._queue.get(key)
            if waiting is None or recency(waiting[1]) < recency(update):
                self._queue.pop(key, None)
                self._queue[key] = (peer, update)
        self._fetch_next(out)

    def _fetch_next(self, out: list[Output]) -> None:
        while self._queue and len(self._fetching) < FETCHES_AT_ONCE:
            _, (peer, update) = self._queue.popitem(last=False)
            if not self._peers.is_admitted(peer):
                continue
            if not self.is_news(update):
                self.counts.redundant += 1
                continue
            self._fetching[update.id] = peer
            out.append(Fetch(peer, update))

    def on_arrived(self, event: Arrived, out: list[Output]) -> None:
        self._fetching.pop(event.update.id, None)
        self.counts.fetched += 1
        self._fetch_next(out)

    def on_fetch_failed(self, event: FetchFailed, now: float, out: list[Output]) -> None:
        """A body that did not come may be offered again; a wrong one is held against someone."""
        self._fetching.pop(event.update.id, None)
        if event.blame == "nobody":
            self._peers.refuse(event.peer, event.reason, now, out)
        else:
            self._refuse(event.peer, event.update, event.reason, now, out)
            if event.blame == "author" and event.update.author != event.peer:
                self._peers.refuse(event.update.author, event.reason, now, out, hostile=True)
        self._fetch_next(out)
