"""The known peers: by state, counted, and those that may be dialled in the order in which they are
due. A change of state goes through `move`, and one of the next dial through `wait`, so that nobody
ever has to look through the whole table.
"""

import enum
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random


class State(enum.Enum):
    KNOWN = "known"
    DIALING = "dialing"
    GREETING = "greeting"
    ADMITTED = "connected"
    CLOSING = "closing"
    BACKING_OFF = "backing-off"

    __hash__ = object.__hash__
    """Every member is one object; Enum's own way costs more than what is looked up by it."""


CONNECTED = (State.GREETING, State.ADMITTED, State.CLOSING)
WAITING = (State.KNOWN, State.BACKING_OFF)


@dataclass(slots=True, eq=False)
class Peer:
    """What is known about one peer."""

    id: str
    addresses: tuple[str, ...] = ()
    state: State = State.KNOWN
    outbound: bool = False
    met: bool = False
    """Whether it is known to have admitted this node too, so that it may be asked."""
    since: float = 0.0
    """When it was last connected."""
    useful: float = 0.0
    """When it was last of use to this node."""
    failures: int = 0
    next_dial: float = 0.0
    deadline: float | None = None
    lot: float = 0.0
    """Who is due at the same time is dialled in this order: every node has another one."""
    violations: int = 0
    last_error: str | None = None
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def connected(self) -> bool:
        return self.state in CONNECTED


class Roster:
    """The table of peers."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.table: dict[str, Peer] = {}
        self._in: dict[State, dict[str, Peer]] = {state: {} for state in State}
        self._due: list[tuple[float, float, str]] = []
        """(next dial, lot, id): a heap that may also hold what is no longer so."""

    # --- changes ---------------------------------------------------------------------------------

    def add(self, peer_id: str) -> Peer:
        peer = self.table[peer_id] = Peer(peer_id, lot=self._rng.random())
        self._in[peer.state][peer_id] = peer
        return peer

    def remove(self, peer_id: str) -> Peer | None:
        peer = self.table.pop(peer_id, None)
        if peer is not None:
            del self._in[peer.state][peer_id]
        return peer

    def move(self, peer: Peer, state: State) -> None:
        del self._in[peer.state][peer.id]
        peer.state = state
        self._in[state][peer.id] = peer
        if state in WAITING:
            self._queue(peer)

    def wait(self, peer: Peer, until: float) -> None:
        """Not to be dialled before."""
        peer.next_dial = until
        self._queue(peer)

    def _queue(self, peer: Peer) -> None:
        if len(self._due) > 64 + 2 * len(self.table):
            self._due = [(p.next_dial, p.lot, p.id) for p in self.table.values()]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (peer.next_dial, peer.lot, peer.id))

    # --- looking ---------------------------------------------------------------------------------

    def of(self, *states: State) -> list[Peer]:
        return [peer for state in states for peer in self._in[state].values()]

    def count(self, *states: State) -> int:
        return sum(len(self._in[state]) for state in states)

    def next_due(self, dialable: Callable[[Peer], bool]) -> Peer | None:
        """Whose turn it is among those; what is found not to be dialable is looked at again only
        after a `move` or `wait`."""
        while self._due:
            when, _, peer_id = self._due[0]
            peer = self.table.get(peer_id)
            if peer is not None and peer.next_dial == when and dialable(peer):
                return peer
            heapq.heappop(self._due)
        return None
