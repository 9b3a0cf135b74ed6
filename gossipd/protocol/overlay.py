"""Whom a node talks to at all: everybody, or only the peers that its operator named; and never
those that its operator blocked.

Nodes that each name their neighbours make a topology, over whatever network lies below. Nobody else
is dialled, and what somebody else sends is refused before it is read; of the rest of the swarm a
node still hears through its neighbours.
"""

from collections.abc import Iterable

from gossipd.wire.messages import Refused

NOT_ALLOWED = "not-allowed"
REFUSED = Refused(code=NOT_ALLOWED, reason="this peer talks only to those that its operator named")
"""The answer to every request of somebody else."""


class Overlay:
    """The peers that are talked to."""

    def __init__(self, allowed: Iterable[str] = (), blocked: Iterable[str] = ()) -> None:
        self.allowed = frozenset(allowed)
        """Peer ids; empty: everybody. The node's own id alone: nobody."""
        self.blocked = frozenset(blocked)

    def changed(self, allowed: Iterable[str], blocked: Iterable[str] | None) -> "Overlay":
        """Another one; `blocked` None: those of before."""
        return Overlay(allowed, self.blocked if blocked is None else blocked)

    def admits(self, peer_id: str) -> bool:
        if peer_id in self.blocked:
            return False
        return not self.allowed or peer_id in self.allowed
