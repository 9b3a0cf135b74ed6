"""The known peers: by state, counted, and those that may be dialled in the order in which they are
due. A change of state goes through `move`, and one of the next dial through `wait`, so that nobody
ever has to look through the whole table.

Most peers of a large swarm a node only hears of. Of such a *stranger* there is nothing to remember
but where it is, and its record holds that already; it becomes a `Peer` when it is dialled, when it
connects, or when something of it is refused.
"""

import enum
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from random import Random

from gossipd.wire import limits
from gossipd.wire.messages import SignedRecord


class State(enum.Enum):
    KNOWN = "known"
    DIALING = "dialing"
    GREETING = "greeting"
    ADMITTED = "connected"
    CLOSING = "closing"
    BACKING_OFF = "backing-off"

    __hash__ = object.__hash__
    """Every member is one object; Enum's own way costs more than what is looked up by it."""


LOTS = 64
"""Strangers that are drawn at once: a draw looks through all of them. Ours: more than a node dials
in a minute for their own sake."""

CONNECTED = (State.GREETING, State.ADMITTED, State.CLOSING)
WAITING = (State.KNOWN, State.BACKING_OFF)


@dataclass(slots=True, eq=False)
class Peer:
    """What is known about one peer."""

    id: str
    addresses: tuple[str, ...] = ()
    state: State = State.KNOWN
    outbound: bool = False
    admitted: bool = False
    """Whether its Hello was ever good."""
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
    clock: float | None = None
    """By how many seconds its calendar was ahead of this node's when it said Hello, if it told."""
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def connected(self) -> bool:
        return self.state in CONNECTED


class Roster:
    """The table of peers."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.table: dict[str, Peer] = {}
        self.strangers: dict[str, tuple[str, ...]] = {}
        """Id -> addresses, one at least, of those that have no entry in the table."""
        self._lots: list[str] = []
        """Strangers, drawn by chance, to be dialled next; some may be none any more."""
        self._in: dict[State, dict[str, Peer]] = {state: {} for state in State}
        self._due: list[tuple[float, float, str]] = []
        """(next dial, lot, id): a heap that may also hold what is no longer so."""

    def __len__(self) -> int:
        """Everybody who is known."""
        return len(self.table) + len(self.strangers)

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self.table or peer_id in self.strangers

    def __iter__(self) -> Iterator[Peer]:
        """Everybody; what is changed of a stranger is not kept."""
        yield from self.table.values()
        for peer_id, addresses in self.strangers.items():
            yield Peer(peer_id, addresses)

    # --- changes ---------------------------------------------------------------------------------

    def peer(self, peer_id: str) -> Peer | None:
        """The entry of somebody who is known; a stranger gets one."""
        if peer_id in self.strangers:
            return self.add(peer_id)
        return self.table.get(peer_id)

    def add(self, peer_id: str) -> Peer:
        """An entry for a stranger, or for somebody who is not known at all."""
        addresses = self.strangers.pop(peer_id, ())
        peer = self.table[peer_id] = Peer(peer_id, addresses, lot=self._rng.random())
        self._in[peer.state][peer_id] = peer
        self._queue(peer)
        return peer

    def meet_strangers(
        self, records: list[SignedRecord], apart: Set[str]
    ) -> tuple[list[SignedRecord], list[SignedRecord]]:
        """Note down those who are new and not `apart`, as far as there is room: their records, and
        the others. A swarm that forms tells each of its nodes of all others, so nothing else is
        looked at."""
        table, strangers = self.table, self.strangers
        if len(self) + len(records) > limits.KNOWN_PEERS:
            return [], records
        new = {
            signed.author: signed
            for signed in records
            if signed.author not in strangers
            and signed.author not in table
            and signed.author not in apart
            and signed.record.addresses
        }
        strangers.update(
            (author, merged_addresses(s.record.addresses, ())) for author, s in new.items()
        )
        newcomers = list(new.values())
        if len(newcomers) == len(records):
            return newcomers, []
        return newcomers, [signed for signed in records if new.get(signed.author) is not signed]

    def remove(self, peer_id: str) -> bool:
        """Forget somebody; False when nobody of that name is known."""
        if self.strangers.pop(peer_id, None) is not None:
            return True
        peer = self.table.pop(peer_id, None)
        if peer is None:
            return False
        del self._in[peer.state][peer_id]
        return True

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

    def draw(self) -> Peer:
        """Any of the strangers, of whom there must be one."""
        while not self._lots or self._lots[-1] not in self.strangers:
            if self._lots:
                self._lots.pop()
            else:
                count = min(LOTS, len(self.strangers))
                self._lots = self._rng.sample(list(self.strangers), count)
        return self.add(self._lots.pop())

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


def merged_addresses(newer: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses of a peer, the newer ones first."""
    if newer == known or (len(newer) == 1 and not known):
        return newer  # that very tuple: a record holds it anyway, for all that know it
    return tuple(dict.fromkeys((*newer, *known)))[: limits.ADDRESSES_PER_RECORD]
