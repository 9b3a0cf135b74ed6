"""A closed swarm lets members go: whom its founder shuts out, and whose time is over.

A revocation spreads like an alarm: whoever hears of it writes it down, disconnects the member and
tells all its peers, once. Who was away asks for what it has missed when it meets a peer. Until it
has heard, a node deals with the member as before; what others have learnt of the member by then
stays in their models.
"""

from collections.abc import Sequence

from gossipd.protocol.events import (
    ClockRead,
    KeepRevocations,
    MemberRevoked,
    Output,
    Report,
    SetTimer,
    SignedDocument,
)
from gossipd.protocol.membership import EXPIRED, Members
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.wire.messages import Response, Revocations, SignedRevocation

TIMER = "members.end"


class Expulsion:
    """Does what revocations and the calendar say."""

    def __init__(self, members: Members, peers: Peers, questions: Questions) -> None:
        self._members = members
        self._peers = peers
        self._questions = questions

    def on_met(self, peer: str, now: float, out: list[Output]) -> None:
        """A peer can be asked: whom has the founder shut out meanwhile?"""
        if not self._members.closed:
            return
        self._watch(now, out)

        def reply(
            answer: Response | None,
            documents: Sequence[SignedDocument],
            now: float,
            outputs: list[Output],
        ) -> None:
            if isinstance(answer, Revocations):
                self.take(peer, documents, now, outputs)

        self._questions.ask(peer, self._members.question(), Then(reply), out)

    def on_revoked(self, event: MemberRevoked, now: float, out: list[Output]) -> None:
        self.take(None, (event.revocation,), now, out)

    def on_clock(self, event: ClockRead, now: float, out: list[Output]) -> None:
        self._members.set_clock(event.wall, now)
        self.on_timer(now, out)

    def on_timer(self, now: float, out: list[Output]) -> None:
        """Send away whose membership has ended."""
        for peer in self._peers.connected():
            end = self._members.ends(peer)
            if end is not None and end <= now:
                self._peers.refuse(peer, EXPIRED.code, now, out)
                self._peers.hold_off(peer, EXPIRED.code, now, out)
                out.append(Report("peer-refused", {"peer": peer, "code": EXPIRED.code}))
        self._watch(now, out)

    def _watch(self, now: float, out: list[Output]) -> None:
        """Be there when the next membership ends; the calendar may be set before that."""
        ends = (self._members.ends(peer) for peer in self._peers.connected())
        to_come = [end for end in ends if end is not None and end > now]
        if to_come:
            out.append(SetTimer(TIMER, min(to_come)))

    def take(
        self,
        source: str | None,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        """Shut out whom the founder has, and tell everybody but `source` what is news."""
        revocations = [d for d in documents if isinstance(d, SignedRevocation)]
        news = [signed for signed in revocations if self._members.revoke(signed)]
        if not news:
            return
        out.append(KeepRevocations(tuple(r.envelope for r in self._members.revocations())))
        for signed in news:
            member = signed.revocation.member
            if self._members.is_revoked(member):
                self._peers.forget(member, now, out, "membership-revoked")
                out.append(Report("member-revoked", {"peer": member, "told_by": source}))
        told = Revocations(revocations=tuple(signed.envelope for signed in news))
        for peer in self._peers.admitted():
            if peer != source:
                self._questions.ask(peer, told, Then(_heard), out)


def _heard(
    answer: Response | None, documents: Sequence[SignedDocument], now: float, out: list[Output]
) -> None:
    """Nothing hangs on it: who has not heard asks when it meets somebody next."""
