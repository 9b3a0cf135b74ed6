"""How many connections a node keeps, and which one goes when another is needed more.

    0 .......... steady .......................... full ............... limit
    as long as no more than `full` peers are known, a node connects with all of them; otherwise it
    dials for their own sake only until `steady` stand: an overlay through which everything spreads.
    What a round needs comes on top. Above `full` the idle one goes that was of use least recently,
    so that who dials in next finds a place below `limit`, where the transport refuses.

A peer cannot push others out by dialling in: few go on account of others in any time, never one
that this node waits for or works with, and never the steady ones that it dialled itself and that
were of use last. Ours, as are the numbers; the outbound half of it after Bitcoin's peer eviction.
"""

from collections.abc import Iterable

from gossipd.protocol.roster import Peer, State

STEADY = 4
"""At least, where the limit allows: a random graph of this degree hangs together. A guess."""
GRACE_SECONDS = 1.0
"""How long a new connection has to be of use, or to come to its Hello: a guess, several round
trips."""
EVICTIONS_PER_SECOND = 4.0
"""On account of those who dial in. Ours: a node of 100 in a swarm with five rounds a second meets
one or two."""


class Slots:
    """A node's places for connections."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Above it the transport refuses."""
        self.full = limit - limit // 4
        self.steady = min(max(limit // 4, STEADY), self.full)
        self._allowance = self._most = max(float(limit - self.full), 1.0)
        self._counted = 0.0

    def wanted(self, known: int) -> int:
        """Up to how many connections peers are dialled for their own sake."""
        return self.full if known <= self.full else self.steady

    def victim(
        self, connected: Iterable[Peer], needed: Iterable[str], now: float, *, own: bool
    ) -> Peer | None:
        """Whose connection is given up; `own`: for one that this node asks for."""
        if not own and not self._may_evict(now):
            return None
        spared = set(needed)
        peers = [p for p in connected if p.state is not State.CLOSING]
        if not own:
            chosen = sorted((p for p in peers if p.outbound), key=lambda p: -p.useful)
            spared.update(p.id for p in chosen[: self.steady])
        idle = [p for p in peers if p.id not in spared and now - p.since >= GRACE_SECONDS]
        found = min(idle, key=lambda p: (p.state is State.ADMITTED, p.useful, p.id), default=None)
        if found is not None and not own:
            self._allowance -= 1.0
        return found

    def _may_evict(self, now: float) -> bool:
        earned = (now - self._counted) * EVICTIONS_PER_SECOND
        self._allowance = min(self._allowance + earned, self._most)
        self._counted = now
        return self._allowance >= 1.0
