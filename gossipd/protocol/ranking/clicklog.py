"""The click log: which sheets are held, of each author in unbroken order, and how they travel.

Gossip is by pull alone: a node asks for what it does not hold, and gets it in the order in which it
came to whom it asked. Two marks keep that short. `since` is what that peer said before: nothing is
sent that it had then. `marks` say which sheets of each author are held here already, though another
peer has brought them.

A new sheet must be the author's next: one that was left out on the way would be noticed. Only the
author itself may begin later, since it alone can have dropped what came before; so it is where
nothing of an author is held. A wiped disk is a new incarnation and begins at one; what its author
has said in earlier ones is void.

The oldest sheets go first, each author's own share first, so that nobody can crowd out the others.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gossipd.protocol.changes import Changes
from gossipd.wire import limits
from gossipd.wire.clicks import SignedSheet
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import ClickPull, ClickSheets

ROWS = 100_000
"""Rows that are kept. Ours: some 40 MB; in a swarm of a thousand nodes a hundred of each."""
ROWS_PER_AUTHOR = 1_000
"""Ours: twelve times what an honest node of the paper's experiment has."""

Verdict = Literal["new", "click-replayed", "click-gap", "click-void", "click-fork"]
"""What became of a sheet: kept, held already, not the next, of an earlier incarnation, or another
one of a number that is held, which only its author can have signed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A sheet as it is kept."""

    number: int
    """In the order of arrival here."""
    signed: SignedSheet
    at: float
    """Unix seconds of its arrival."""


@dataclass(slots=True)
class _Author:
    incarnation: int
    seq: int
    """Of the last sheet."""
    rows: int = 0
    sheets: deque[Held] = field(default_factory=deque)


class ClickLog:
    """Bounded; not thread-safe."""

    def __init__(self, rows: int = ROWS, per_author: int = ROWS_PER_AUTHOR) -> None:
        self._most = rows
        self._most_of_one = per_author
        self._authors: dict[str, _Author] = {}
        self._sheets: dict[int, Held] = {}
        """In the order of arrival."""
        self.arrivals = 0
        """Sheets that have been taken so far: the number of the last one."""
        self._changes: Changes[str] = Changes()
        self._heard: dict[str, int] = {}
        """How far each peer has told its log."""
        self._told: dict[str, int] = {}
        """Up to which change here a peer knows what is held."""
        self.rows = 0

    def __len__(self) -> int:
        return len(self._sheets)

    # --- taking in -------------------------------------------------------------------------------

    def take(self, carrier: str, signed: SignedSheet, at: float) -> tuple[Verdict, list[Held]]:
        """What becomes of a sheet that came at `at` (Unix seconds), and the sheets that go."""
        sheet = signed.sheet
        author = self._authors.get(signed.author)
        gone: list[Held] = []
        if author is None or sheet.incarnation > author.incarnation:
            gone = self._forget(signed.author)
            self._forget_empty()
            author = self._authors[signed.author] = _Author(sheet.incarnation, sheet.seq - 1)
        verdict = self._judge(carrier, signed, author)
        if verdict == "new":
            self._keep(signed, author, at)
            gone += self._make_room(author)
        return verdict, gone

    def _judge(self, carrier: str, signed: SignedSheet, author: _Author) -> Verdict:
        sheet = signed.sheet
        if sheet.incarnation < author.incarnation:
            return "click-void"
        if sheet.seq <= author.seq:
            same = [h for h in author.sheets if h.signed.sheet.seq == sheet.seq]
            forked = bool(same) and same[0].signed.sheet != sheet
            return "click-fork" if forked else "click-replayed"
        if sheet.seq > author.seq + 1 and author.sheets and carrier != signed.author:
            return "click-gap"
        return "new"

    def _keep(self, signed: SignedSheet, author: _Author, at: float) -> None:
        self.arrivals += 1
        held = Held(self.arrivals, signed, at)
        self._sheets[held.number] = held
        author.sheets.append(held)
        author.seq = signed.sheet.seq
        author.rows += len(signed.sheet.clicks)
        self.rows += len(signed.sheet.clicks)
        self._changes.add(signed.author)

    def _make_room(self, author: _Author) -> list[Held]:
        gone = []
        while author.rows > self._most_of_one and len(author.sheets) > 1:
            gone.append(self._drop(author.sheets[0]))
        while self.rows > self._most and len(self._sheets) > 1:
            gone.append(self._drop(self._sheets[next(iter(self._sheets))]))
        return gone

    def _drop(self, held: Held) -> Held:
        author = self._authors[held.signed.author]
        del self._sheets[held.number]
        author.sheets.popleft()  # of one author the oldest came first
        author.rows -= len(held.signed.sheet.clicks)
        self.rows -= len(held.signed.sheet.clicks)
        return held

    def forget(self, author: str) -> list[Held]:
        """Nothing of this author counts any more: what goes."""
        gone = self._forget(author)
        self._authors.pop(author, None)
        return gone

    def _forget(self, name: str) -> list[Held]:
        author = self._authors.get(name)
        return [self._drop(held) for held in list(author.sheets)] if author else []

    def _forget_empty(self) -> None:
        """Of authors whose sheets have gone the numbers are remembered, but not of ever more."""
        if len(self._authors) >= limits.AUTHORS:
            self._authors = {name: one for name, one in self._authors.items() if one.sheets}

    def sheets_of(self, author: str) -> int:
        known = self._authors.get(author)
        return len(known.sheets) if known is not None else 0

    def authors(self) -> list[str]:
        return list(self._authors)

    def fork_of(self, signed: SignedSheet) -> SignedSheet | None:
        """The sheet that is held of the same author and number."""
        author = self._authors.get(signed.author)
        for held in author.sheets if author else ():
            if held.signed.sheet.seq == signed.sheet.seq:
                return held.signed
        return None

    def since(self, number: int) -> list[Held]:
        """What has come after that one, in the order of arrival."""
        numbers = range(number + 1, self.arrivals + 1)
        return [self._sheets[one] for one in numbers if one in self._sheets]

    # --- pulling ---------------------------------------------------------------------------------

    def question(self, peer: str) -> ClickPull:
        """Asks `peer` for what is new since it was last asked."""
        told = self._told.get(peer)
        names = self._changes.since(told or 0)[-limits.CLICK_MARKS :]
        authors = {name: self._authors[name] for name in names if name in self._authors}
        return ClickPull(
            since=self._heard.get(peer, 0),
            marks={author_key(name, a.incarnation): a.seq for name, a in authors.items()},
        )

    def heard(self, peer: str, answer: ClickSheets) -> bool:
        """Note how far a peer has told its log, once its sheets are taken; False when its answer
        makes no sense: it goes on without getting on."""
        before = self._heard.get(peer, 0)
        if answer.upto < before or (answer.upto == before and (answer.sheets or answer.more)):
            return False
        self._heard[peer] = answer.upto
        self._told[peer] = self._changes.revision
        return True

    def parted(self, peer: str) -> None:
        """In its next life a peer counts from the beginning."""
        self._heard.pop(peer, None)
        self._told.pop(peer, None)

    def answer(self, pull: ClickPull, room: int = limits.SHEETS_BYTES_PER_MESSAGE) -> ClickSheets:
        """What is held here and not there: at most `room` bytes of sheets, or one. All of it to who
        counts beyond what there is, as after a restart here."""
        since = 0 if pull.since > self.arrivals else pull.since
        sheets: list[bytes] = []
        for held in self._missing(since, pull.marks):
            envelope = held.signed.envelope
            room -= len(envelope)
            if sheets and (room < 0 or len(sheets) == limits.SHEETS_PER_MESSAGE):
                return ClickSheets(sheets=tuple(sheets), upto=held.number - 1, more=True)
            sheets.append(envelope)
        return ClickSheets(sheets=tuple(sheets), upto=self.arrivals)

    def _missing(self, since: int, marks: Mapping[bytes, int]) -> list[Held]:
        """The sheets that came after `since` and are not there, in order. Most authors have nothing
        new: they cost one look."""
        found: list[Held] = []
        for name, author in self._authors.items():
            mark = marks.get(author_key(name, author.incarnation), 0)
            for held in reversed(author.sheets):
                if held.number <= since or held.signed.sheet.seq <= mark:
                    break
                found.append(held)
        return sorted(found, key=lambda held: held.number)
