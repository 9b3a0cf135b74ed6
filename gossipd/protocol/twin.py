"""Does somebody else sign with this node's key? A cloned card, a restored backup.

Two that go by one name give the same sequence numbers and steps to different work, so whoever
hears of something that it never signed itself can no longer be told from the other.
"""

from gossipd.protocol.events import Output, Report
from gossipd.protocol.view import SwarmView
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import SignedClaim, SignedRecord, Update

Numbered = SignedRecord | SignedClaim | Update
"""Documents whose author numbers them."""


class TwinWatch:
    """Knows what this node has signed."""

    def __init__(self, peer_id: str, incarnation: int, view: SwarmView) -> None:
        self._peer_id = peer_id
        self._incarnation = incarnation
        self._me = author_key(peer_id, incarnation)
        self._view = view
        self._seq = 0
        self.found = False

    def signed(self, document: Numbered) -> None:
        """A document that this node stands by; another author's is no business of this watch."""
        if document.author == self._peer_id:
            incarnation, seq = _number(document)
            if incarnation == self._incarnation:
                self._seq = max(self._seq, seq)

    def check(self, document: Numbered, out: list[Output]) -> bool:
        """Look at a document that a peer brought; False when the key is seen to be used twice.

        What an earlier incarnation has signed is this node's own past.
        """
        if document.author != self._peer_id:
            return True
        incarnation, number = _number(document)
        known = self._view.steps_of(self._me) if isinstance(document, SignedClaim) else self._seq
        if (incarnation, number) <= (self._incarnation, known):
            return True
        if not self.found:
            out.append(Report("identity-in-use", {"incarnation": incarnation}))
        self.found = True
        return False


def _number(document: Numbered) -> tuple[int, int]:
    """(incarnation, what counts up with everything that is signed): steps of a claim, else seq."""
    if isinstance(document, SignedClaim):
        return document.claim.incarnation, document.claim.steps
    signed = document.record if isinstance(document, SignedRecord) else document.manifest
    return signed.incarnation, signed.seq
