"""What people carry here: documents and updates that no connected peer has shown.

They are judged as a peer's are, by the same parts in the same order; only that nobody can be asked
for what is missing, and nobody is there to be blamed. A bundle says again what many know already,
so every document gets a verdict of its own:

    "known"    it says nothing new here
    "taken"    it is in the view now
    "wanted"   an update that may be used, once its body has been checked
    a reason   for which it is refused, as a peer's would be
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossipd.protocol.events import Output, SignedDocument
from gossipd.protocol.exchange import Exchange, recency
from gossipd.protocol.expulsion import Expulsion
from gossipd.protocol.lineage import Relation, compare
from gossipd.protocol.view import SwarmView
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import (
    Role,
    SignedClaim,
    SignedRecord,
    SignedRevocation,
    Update,
)

CARRIER = "bundle"
"""Who has brought it, in reports and counts: no peer's name."""

Take = Callable[[str, Sequence[SignedDocument], float, list[Output]], None]


@dataclass(frozen=True, slots=True)
class ByHand:
    """Judges what is in a bundle."""

    me: str
    view: SwarmView
    exchange: Exchange
    expulsion: Expulsion
    take: Take
    """Puts records and claims into the view, and looks for this node's own key in them."""
    is_twin: Callable[[], bool]

    def judge(
        self, documents: Sequence[SignedDocument], now: float, out: list[Output]
    ) -> tuple[str, ...]:
        """A verdict for each, in their order."""
        known = [self._is_known(document) for document in documents]
        # Who belongs is settled before what they say, and what is claimed before what rests on it.
        self.expulsion.take(None, documents, now, out)
        for kind in (SignedRecord, SignedClaim, Update):
            self.take(CARRIER, [d for d in documents if isinstance(d, kind)], now, out)
        return tuple(
            "known" if before else self._verdict(document, now, out)
            for document, before in zip(documents, known, strict=True)
        )

    def _is_known(self, document: SignedDocument) -> bool:
        """Whether this node knows as much, or better, from elsewhere."""
        view = self.view
        if isinstance(document, SignedRevocation):
            theirs = document.revocation
            return any(
                r.revocation.member == theirs.member and r.revocation.serial >= theirs.serial
                for r in view.members.revocations()
            )
        if isinstance(document, SignedRecord):
            own = view.record_of(document.author)
            return own is not None and _number(document) <= _number(own)
        if isinstance(document, SignedClaim):
            claim = document.claim
            return claim.steps <= view.steps_of(author_key(document.author, claim.incarnation))
        return False

    def _verdict(self, document: SignedDocument, now: float, out: list[Output]) -> str:
        if isinstance(document, Update):
            return self._verdict_on_update(document, now, out)
        if self._is_known(document):
            return "taken"
        if isinstance(document, SignedRevocation):
            return "too-many-revoked" if self.view.members.closed else "open-swarm"
        if isinstance(document, SignedRecord | SignedClaim) and document.author == self.me:
            return "identity-in-use"
        if isinstance(document, SignedRecord):
            belongs = self.view.members.admits_record(document)
        else:
            belongs = isinstance(document, SignedClaim) and self.view.members.vouches(
                document.author
            )
        return "too-many-authors" if belongs else "no-membership"

    def _verdict_on_update(self, update: Update, now: float, out: list[Output]) -> str:
        if self.is_twin():
            # What others have learnt of "this" node means nothing here.
            return "identity-in-use"
        exchange = self.exchange
        fault = exchange.fault(CARRIER, update, now, out)
        fault = fault or exchange.unproven(CARRIER, update, now, out)
        if fault is not None:
            return fault
        return "wanted" if exchange.is_news(update) else "known"


def _number(signed: SignedRecord) -> tuple[int, int]:
    return signed.record.incarnation, signed.record.seq


def pairs(updates: Sequence[Update], role: Role) -> list[tuple[Update | None, Update | None]]:
    """The updates of this role, each with the serving model that goes with it; then what is left
    of those. They go together when one author has made both, or at least along one lineage."""
    servings = sorted((u for u in updates if u.manifest.role == "serving"), key=recency)
    found: list[tuple[Update | None, Update | None]] = []
    for update in (u for u in updates if u.manifest.role == role):
        near = [s for s in servings if _relation(update, s) is not Relation.CONCURRENT]
        own = [s for s in near if s.author == update.author]
        serving = next(reversed(own or near), None)
        if serving is not None:
            servings.remove(serving)
        found.append((update, serving))
    return found + [(None, serving) for serving in servings]


def _relation(update: Update, serving: Update) -> Relation:
    return compare(update.manifest.lineage, serving.manifest.lineage)
