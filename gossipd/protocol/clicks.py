"""Clicks in a running node: its own are signed and shown, others' are pulled, judged and counted.

Every `interval` one random peer is asked for the sheets that are not here, page by page until it
has no more. What a peer sends is counted for nothing unless

    its signature holds             else "bad-signature", counted by who opened it
    its author is known here        else "click-stranger": whoever carries it may know more
    it is its author's next one     else "click-replayed", "click-gap", "click-void"
    there is no other of its number else "click-fork": kept as proof, the author counts for nothing

and of its rows those alone whose item is known ("click-unknown"). A peer whose answers make no
sense, or go on without bringing anything, is dropped.

What people choose stays here unless they want it shared. A merge that lowered the loss on held-out
examples is a click for whoever's model was in it; those are shared.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from gossipd.protocol import events, profile
from gossipd.protocol.click_events import Chosen, ClicksSealed, KeepClick, KeepSheets, SealClicks
from gossipd.protocol.events import Answer, KeepEvidence, Output, Report, SetTimer, SignedDocument
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.ranking.catalogue import Catalogue
from gossipd.protocol.ranking.clicklog import ROWS, ClickLog, Held
from gossipd.protocol.ranking.rules import OURS, Rules
from gossipd.protocol.ranking.score import Ranking
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.clicks import Click, SignedSheet, item_of_model, item_of_peer, normal
from gossipd.wire.messages import (
    ClickPull,
    ClickSheets,
    Hello,
    Refused,
    Response,
    Role,
    SignedRecord,
    Update,
)

TIMER = "clicks"
BATCH = 4
"""Clicks that are signed together: the signature is most of what one costs. Ours."""
PATIENCE = 5
"""Intervals for which a click waits for others to be signed with. Ours: benchmarks/grank.py."""
FRUITLESS = 3
"""Pages without a new sheet after which a peer that still has more is dropped. Ours: other peers
may have brought the same in the meantime, but hardly so much of it."""
MODELS = 4096
"""Models that clicks may name: those of which manifests were seen last."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What a manifest says of a model, for people to choose by."""

    model: bytes
    update: bytes
    author: str
    role: Role
    tags: tuple[str, ...]
    title: str
    licence: str
    loss: float | None
    accuracy: float | None
    """As its author has measured it."""
    created: float
    class_counts: tuple[int, ...] | None

    @property
    def said(self) -> list[str]:
        """Whose words a query must have all of to match it."""
        labels = profile.words_of(self.class_counts)
        return [self.title, self.licence, self.role, *self.tags, *labels]


def _known(update: Update) -> KnownModel:
    manifest = update.manifest
    return KnownModel(
        manifest.model,
        update.id,
        update.author,
        manifest.role,
        manifest.tags,
        manifest.title or "",
        manifest.licence or "",
        manifest.loss,
        manifest.accuracy,
        manifest.created,
        manifest.class_counts,
    )


@dataclass(slots=True)
class _Visit:
    """What one peer has answered in a row."""

    sheets: int = 0
    fruitless: int = 0


class Clicks:
    """One node's click log and ranking, and its dealings with others about them."""

    def __init__(
        self,
        me: str,
        interval: float | None,
        view: SwarmView,
        peers: Peers,
        questions: Questions,
        rng: Random,
        rules: Rules = OURS,
    ) -> None:
        """`interval`: mean seconds between two questions; None: nothing is asked or shown."""
        self._me = me
        self._interval = interval
        self._view = view
        self._peers = peers
        self._questions = questions
        self._rng = rng
        self.catalogue = Catalogue(self._peers_since)
        self._described = 0
        """The revision of the view up to which its peers are in the catalogue."""
        self.ranking = Ranking(self._me, rules, self.catalogue)
        self.log = ClickLog()
        self.counts: tuple[int, ...] | None = None
        """Of this node's own labels."""
        self.models: OrderedDict[bytes, KnownModel] = OrderedDict()
        """By item, those seen last at the end."""
        self._forked: set[str] = set()
        self._counted: dict[int, tuple[Click, ...]] = {}
        """The rows that count of those sheets of which not all do."""
        self._pending: list[Click] = []
        self._waited = 0
        self._speakers: set[str] = set()

    @property
    def handlers(self) -> dict[type[Any], Callable[[Any, float, list[Output]], None]]:
        return {ClicksSealed: self._on_sealed, Chosen: self._on_chosen}

    @property
    def shown(self) -> bool:
        """Whether peers may ask this node."""
        return self._interval is not None

    def status(self) -> dict[str, int]:
        return {
            "sheets": len(self.log),
            "rows": self.log.rows,
            "counted": self.ranking.rows,
            "authors": sum(1 for author in self.log.authors() if self.log.sheets_of(author)),
            "pending": len(self._pending),
            "sealed": self.log.sheets_of(self._me),
        }

    # --- life ------------------------------------------------------------------------------------

    def restore(
        self, sheets: Iterable[tuple[SignedSheet, float]], own: Iterable[tuple[str, bytes, float]]
    ) -> None:
        """Take up what storage has: sheets in the order in which they came, and own choices."""
        for signed, at in sheets:
            verdict, _ = self.log.take(signed.author, signed, at)
            if verdict == "new":
                self._count(signed, at)
        for query, item, at in own:
            self.ranking.add(self._me, query, item, at)

    def start(self, now: float, out: list[Output]) -> None:
        if self._interval is not None:
            out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.2, 1.0)))

    def on_timer(self, now: float, out: list[Output]) -> None:
        if self._interval is None:
            return
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.7, 1.3)))
        self._forget_revoked(out)
        self._seal(now, out)
        known = [peer for peer in self._peers.admitted() if peer in self._speakers]
        if known:
            self._ask(self._rng.choice(known), _Visit(), out)

    def _forget_revoked(self, out: list[Output]) -> None:
        for author in filter(self._view.members.is_revoked, self.log.authors()):
            gone = self.log.forget(author)
            self._uncount(gone)
            out.append(KeepSheets((), tuple(gone)))

    def introduced(self, peer: str, hello: object) -> None:
        """A peer has said hello, and with it whether it can be asked for clicks."""
        speaks = isinstance(hello, Hello) and hello.introduction.clicks is True
        (self._speakers.add if speaks else self._speakers.discard)(peer)

    def disconnected(self, peer: str) -> None:
        self._speakers.discard(peer)
        self.log.parted(peer)

    # --- what there is to choose from ------------------------------------------------------------

    def note(self, documents: Iterable[SignedDocument]) -> None:
        """These exist: models, and what this node's own record says of its data. Other peers'
        records are in the view, and looked up there."""
        for document in documents:
            if isinstance(document, Update):
                self._note_model(document)
            elif isinstance(document, SignedRecord) and document.author == self._me:
                self.counts = document.record.class_counts

    def _peers_since(self) -> Iterable[tuple[bytes, Sequence[str]]]:
        """Peers of whom a record has come since this was asked last, and what it says."""
        since, self._described = self._described, self._view.revision
        for signed in self._view.records_since(since):
            if not self._view.members.is_revoked(signed.author):
                words = profile.words_of(signed.record.class_counts)
                yield item_of_peer(signed.author), words

    def _note_model(self, update: Update) -> None:
        item = item_of_model(update.manifest.model)
        if item not in self.models:  # nobody describes anew what another has described
            self.models[item] = _known(update)
            self.catalogue.put(item, self.models[item].said)
        self.models.move_to_end(item)
        while len(self.models) > MODELS:
            self.catalogue.drop(self.models.popitem(last=False)[0])

    def main_question(self) -> str:
        """The one that this node asks most often."""
        counts = self.counts
        return profile.label(counts.index(max(counts))) if counts and sum(counts) else profile.ANY

    def question(self) -> str:
        """What this node would ask the ranking now, of itself."""
        return profile.question(self.counts, self._rng)

    def _wall(self, now: float) -> float:
        return now + self._view.members.ahead

    # --- own clicks ------------------------------------------------------------------------------

    def merged(self, authors: Iterable[str], gain: float | None, now: float) -> None:
        """Whoever's models were in a merge that lowered the loss by `gain` get this node's vote."""
        if gain is None or gain <= 0.0:
            return
        for author in authors:
            if author != self._me:
                self._share(self.question(), item_of_peer(author), now)

    def _on_chosen(self, event: Chosen, now: float, out: list[Output]) -> None:
        query = normal(event.query)
        if not query:
            return
        if event.shared:
            self._share(query, event.item, now)
        else:
            self.ranking.add(self._me, query, event.item, self._wall(now))
        out.append(KeepClick(query, event.item, self._wall(now)))
        out.append(Report("chosen", {"query": query, "shared": event.shared}))

    def _share(self, query: str, item: bytes, now: float) -> None:
        if self.ranking.has_voted(self._me, query, item):
            return
        self.ranking.add(self._me, query, item, self._wall(now))
        self._pending.append(Click(query, item))

    def _seal(self, now: float, out: list[Output]) -> None:
        self._waited += bool(self._pending)
        if len(self._pending) >= BATCH or self._waited >= PATIENCE:
            rows = tuple(self._pending[: limits.CLICKS_PER_SHEET])
            out.append(SealClicks(rows, self._wall(now)))

    def _on_sealed(self, event: ClicksSealed, now: float, out: list[Output]) -> None:
        """It is on disk: from now on others can get it. Its rows count already."""
        signed = event.signed
        _, gone = self.log.take(self._me, signed, self._wall(now))
        del self._pending[: len(signed.sheet.clicks)]
        self._waited = 0
        self._uncount(gone)
        if gone:
            out.append(KeepSheets((), tuple(gone)))

    # --- pulling ---------------------------------------------------------------------------------

    def answer(self, event: events.Requested, message: ClickPull, out: list[Output]) -> None:
        sheets = self.log.answer(message) if self.shown else ClickSheets(upto=message.since)
        out.append(Answer(event.token, sheets))

    def _ask(self, peer: str, visit: _Visit, out: list[Output]) -> None:
        reply = partial(self._answered, peer, visit)
        self._questions.ask(peer, self.log.question(peer), Then(reply), out)

    def _answered(
        self,
        peer: str,
        visit: _Visit,
        answer: Response | None,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        if answer is None:
            return
        if isinstance(answer, Refused):
            self._peers.refuse(peer, f"peer-{answer.code}"[:64], now, out)
            self._speakers.discard(peer)
            return
        if not isinstance(answer, ClickSheets):
            self._drop(peer, "wrong-answer", now, out)
            return
        sheets = [one for one in documents if isinstance(one, SignedSheet)]
        new = self._take(peer, sheets, now, out)
        visit.sheets += len(sheets)
        visit.fruitless = 0 if new else visit.fruitless + 1
        if not self.log.heard(peer, answer):
            self._drop(peer, "click-nonsense", now, out)
        elif answer.more and (visit.fruitless >= FRUITLESS or visit.sheets > ROWS):
            self._drop(peer, "click-flood", now, out)
        elif answer.more and self._peers.is_met(peer):
            self._ask(peer, visit, out)

    def _drop(self, peer: str, reason: str, now: float, out: list[Output]) -> None:
        self._peers.refuse(peer, reason, now, out, hostile=True)
        self._peers.hold_off(peer, reason, now, out)

    def _take(self, peer: str, sheets: Sequence[SignedSheet], now: float, out: list[Output]) -> int:
        """How many of them are new."""
        at = self._wall(now)
        before = self.log.arrivals
        gone: list[Held] = []
        for signed in sheets:
            if signed.author == self._me:
                continue  # its own past, or what was signed while the question was on its way
            reason = self._stranger(signed.author)
            if reason is None:
                verdict, went = self.log.take(peer, signed, at)
                gone += went
                self._uncount(went)
                if verdict == "new":
                    unknown = self._count(signed, at)
                    reason = "click-unknown" if unknown else None
                else:
                    reason = verdict
            if reason == "click-fork":
                gone += self._convict(signed, now, out)
            if reason is not None:
                self._peers.refuse(peer, reason, now, out)
        kept, stale = self.log.since(before), [held for held in gone if held.number <= before]
        if kept or stale:
            out.append(KeepSheets(tuple(kept), tuple(stale)))
        return self.log.arrivals - before

    def _stranger(self, author: str) -> str | None:
        """Why nothing of this author is taken."""
        if author in self._forked:
            return "click-fork"
        if self._view.members.is_revoked(author):
            return "revoked-author"
        return None if self._view.record_of(author) is not None else "click-stranger"

    def _convict(self, signed: SignedSheet, now: float, out: list[Output]) -> list[Held]:
        """Its author has signed two sheets of one number: both are kept as proof."""
        first = self.log.fork_of(signed)
        if first is None:
            return []
        out.append(KeepEvidence(signed.author, first.envelope, signed.envelope))
        out.append(Report("equivocation", {"author": signed.author}))
        self._peers.refuse(signed.author, "click-fork", now, out, hostile=True)
        self._forked.add(signed.author)
        gone = self.log.forget(signed.author)
        self._uncount(gone)
        return gone

    # --- counting --------------------------------------------------------------------------------

    def _count(self, signed: SignedSheet, at: float) -> bool:
        """Count the rows of the sheet that came last; whether some of them name what is unknown."""
        own = signed.author == self._me
        rows = tuple(c for c in signed.sheet.clicks if own or c.item in self.catalogue)
        for click in rows:
            self.ranking.add(signed.author, normal(click.query), click.item, at)
        if len(rows) < len(signed.sheet.clicks):
            self._counted[self.log.arrivals] = rows
            return True
        return False

    def _uncount(self, gone: Iterable[Held]) -> None:
        for held in gone:
            sheet, author = held.signed.sheet, held.signed.author
            for click in self._counted.pop(held.number, sheet.clicks):
                self.ranking.remove(author, normal(click.query), click.item, held.at)
