"""Who belongs to a closed swarm: memberships and revocations, both signed by its founder.

    may a peer stay?      its Hello carries a membership of its own, neither revoked nor expired
    may it be heard of?   its record carries a membership, whatever became of it since: what models
                          have learnt from it stays in them, and its claims must go on to prove that

An open swarm has no founder, and everybody belongs to it. Whether a swarm is closed is not asked of
peers: it is closed for who holds a membership of it.

The ids of a closed swarm are those that its founder has signed. That is the only defence here
against ids that were ground until they come first in some round's order; what a member does is not
the better for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gossipd.wire import limits
from gossipd.wire.envelope import open_membership
from gossipd.wire.errors import WireError
from gossipd.wire.messages import (
    Hello,
    Refused,
    Revocations,
    RevocationSync,
    SignedMembership,
    SignedRecord,
    SignedRevocation,
)

OUTSIDER = Refused(code="not-a-member", reason="this swarm is closed")
"""All that an outsider is told, whatever was wrong with what it showed."""
REVOKED = Refused(code="membership-revoked", reason="the founder has revoked this membership")
EXPIRED = Refused(code="membership-expired", reason="this membership has ended: ask for a new one")
"""What only somebody is told whom the founder has once let in."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why somebody is turned away: what is counted here, and what it is told."""

    reason: str
    told: Refused
    hostile: bool = False


class Members:
    """What this node knows of its swarm's members.

    A state-based CRDT like the view: of each member the membership and the revocation with the
    highest serial stay.
    """

    def __init__(
        self,
        swarm: bytes = b"",
        own: SignedMembership | None = None,
        revocations: Iterable[SignedRevocation] = (),
    ) -> None:
        self._swarm = swarm
        self.own = own
        self._known: dict[str, SignedMembership] = {}
        self._revoked: dict[str, SignedRevocation] = {}
        self.ahead = 0.0
        """Unix seconds less seconds of the core's clock."""
        self._is_set = False
        if own is not None:
            self.learn(own)
        for revocation in revocations:
            self.revoke(revocation)

    @property
    def closed(self) -> bool:
        return self.own is not None

    @property
    def envelope(self) -> bytes:
        """What this node shows; empty in an open swarm."""
        return b"" if self.own is None else self.own.envelope

    def set_clock(self, wall: float, now: float) -> None:
        """`wall` is what the machine's calendar says at `now`."""
        self.ahead = wall - now
        self._is_set = True

    def wall(self, now: float) -> float | None:
        """What the calendar says at `now`; None until it was read."""
        return now + self.ahead if self._is_set else None

    # --- learning --------------------------------------------------------------------------------

    def learn(self, signed: SignedMembership) -> None:
        """Take a membership of this swarm, checked already; an older one changes nothing."""
        member = signed.membership.member
        known = self._known.get(member)
        if known is None and len(self._known) >= limits.KNOWN_PEERS:
            return
        if known is None or known.membership.serial < signed.membership.serial:
            self._known[member] = signed

    def renew(self, own: SignedMembership) -> None:
        """This node's own membership has been replaced by a newer one."""
        self.own = own
        self.learn(own)

    def revoke(self, signed: SignedRevocation) -> bool:
        """Take a revocation, checked already; True when it is news."""
        if not self.closed:
            return False
        member = signed.revocation.member
        known = self._revoked.get(member)
        if known is None and len(self._revoked) >= limits.REVOCATIONS:
            return False
        if known is not None and known.revocation.serial >= signed.revocation.serial:
            return False
        self._revoked[member] = signed
        return True

    # --- asking ----------------------------------------------------------------------------------

    def vouches(self, peer: str) -> bool:
        """Whether the founder has ever let `peer` in: nobody else's documents count."""
        return not self.closed or peer in self._known

    def admits_record(self, signed: SignedRecord) -> bool:
        """Whether a record may go into the view: in a closed swarm it shows a membership."""
        return not self.closed or signed.membership is not None

    def is_revoked(self, peer: str) -> bool:
        """Whether nothing that `peer` may show is good any more, as far as it is known here."""
        known = self._known.get(peer)
        if known is None:
            return peer in self._revoked
        return self._is_void(known)

    def ends(self, peer: str) -> float | None:
        """When the membership of `peer` ends, by the core's clock."""
        known = self._known.get(peer)
        return None if known is None else self._end_of(known)

    def known(self) -> list[SignedMembership]:
        return list(self._known.values())

    def revocations(self) -> list[SignedRevocation]:
        return list(self._revoked.values())

    def _is_void(self, signed: SignedMembership) -> bool:
        revoked = self._revoked.get(signed.membership.member)
        return revoked is not None and signed.membership.serial <= revoked.revocation.serial

    def _end_of(self, signed: SignedMembership) -> float | None:
        not_after = signed.membership.not_after
        return None if not_after is None else not_after - self.ahead

    # --- the door --------------------------------------------------------------------------------

    def admit(self, peer: str, hello: Hello, now: float) -> SignedMembership | Denial:
        """What `peer`, whose key its connection has proven, shows; or why it is turned away.

        Only in a closed swarm, and before anything else of the Hello is looked at.
        """
        if hello.swarm != self._swarm:
            return Denial("foreign-swarm", OUTSIDER)
        if not hello.membership:
            return Denial("no-membership", OUTSIDER)
        known = self._known.get(peer)
        if known is not None and known.envelope == hello.membership:
            signed = known
        else:
            try:
                signed = open_membership(hello.membership, self._swarm)
            except WireError:
                return Denial("forged-membership", OUTSIDER, hostile=True)
        if signed.membership.member != peer:
            return Denial("stolen-membership", OUTSIDER, hostile=True)
        if known is not None and known.membership.serial > signed.membership.serial:
            signed = known  # what the founder said last counts, whatever is shown
        if self._is_void(signed):
            return Denial(REVOKED.code, REVOKED)
        end = self._end_of(signed)
        if end is not None and end <= now:
            return Denial(EXPIRED.code, EXPIRED)
        return signed

    # --- spreading -------------------------------------------------------------------------------

    def question(self) -> RevocationSync:
        return RevocationSync(
            known={member: r.revocation.serial for member, r in self._revoked.items()}
        )

    def answer(self, question: RevocationSync) -> Revocations:
        """What the asker does not know, the newest first, at most one message full."""
        news = [
            signed
            for member, signed in self._revoked.items()
            if signed.revocation.serial > question.known.get(member, -1)
        ]
        news.sort(key=lambda signed: signed.revocation.serial, reverse=True)
        envelopes = (signed.envelope for signed in news[: limits.REVOCATIONS_PER_MESSAGE])
        return Revocations(revocations=tuple(envelopes))
