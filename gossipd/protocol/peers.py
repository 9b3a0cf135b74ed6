"""Who is out there and how to reach them: remember, dial, redial for ever, greet, hold off.

Every known peer is in one of five states:

    KNOWN -> DIALING -> GREETING -> ADMITTED        (connected both ways: a Hello was exchanged)
      ^         |           |           |
      +---- BACKING_OFF <---+-----------+           (a jittered, doubling pause, then again)

A peer of another swarm, task or version is told so in words and held off; a peer that keeps on
sending what must not be is dropped and held off. Nobody is ever forgotten but by the operator or
when `limits.KNOWN_PEERS` overflows.
"""

import enum
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from gossipd.protocol.events import Dial, Disconnect, Forget, Output, Remember, Report, SetTimer
from gossipd.wire import limits

FIRST_PAUSE = 1.0
"""Seconds before the first redial: ours, a guess that spares a peer that merely restarts."""
LONGEST_PAUSE = 60.0
"""Seconds: ours; a peer that comes back is met within about a minute without its own doing."""
GREETING_SECONDS = 10.0
"""How long a connection may stand without a Hello."""
DIALS_AT_ONCE = 8
REASONS = 64
"""Different reasons counted by name; peers may word theirs, so the rest is counted as "other"."""
DIAL_TIMER = "peers.dial"


class State(enum.Enum):
    KNOWN = "known"
    DIALING = "dialing"
    GREETING = "greeting"
    ADMITTED = "connected"
    BACKING_OFF = "backing-off"


@dataclass(slots=True)
class Peer:
    """What is known about one peer."""

    id: str
    addresses: tuple[str, ...] = ()
    state: State = State.KNOWN
    outbound: bool = False
    met: bool = False
    """Whether it is known to have admitted this node too, so that it may be asked."""
    failures: int = 0
    next_dial: float = 0.0
    deadline: float | None = None
    violations: int = 0
    last_error: str | None = None
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def connected(self) -> bool:
        return self.state in (State.GREETING, State.ADMITTED)


class Peers:
    """The peer table and its dialling."""

    def __init__(self, me: str, rng: Random, max_connections: int) -> None:
        self._me = me
        self._rng = rng
        self._max_connections = max_connections
        self.table: dict[str, Peer] = {}
        self.refused: Counter[str] = Counter()
        """Refusals by reason, all peers and strangers together."""

    # --- learning of peers -----------------------------------------------------------------------

    def learn(
        self,
        peer_id: str,
        addresses: tuple[str, ...],
        now: float,
        out: list[Output],
        *,
        record: bytes | None = None,
    ) -> None:
        """Remember where a peer may be. New addresses are tried first and at once."""
        if peer_id == self._me:
            return
        peer = self.table.get(peer_id)
        if peer is None:
            if len(self.table) >= limits.KNOWN_PEERS and not self._make_room(out):
                return
            peer = self.table[peer_id] = Peer(peer_id)
        merged = tuple(dict.fromkeys((*addresses, *peer.addresses)))
        merged = merged[: limits.ADDRESSES_PER_RECORD]
        if merged != peer.addresses or record is not None:
            if set(merged) - set(peer.addresses) and peer.violations < limits.VIOLATIONS:
                peer.next_dial = min(peer.next_dial, now)
            peer.addresses = merged
            out.append(Remember(peer_id, merged, record))
        self._schedule(now, out)

    def forget(self, peer_id: str, now: float, out: list[Output]) -> None:
        if self.table.pop(peer_id, None) is not None:
            out += [Disconnect(peer_id, "removed by the operator"), Forget(peer_id)]
            self._schedule(now, out)

    def _make_room(self, out: list[Output]) -> bool:
        """Drop the idle peer that has failed most often; False when all are in use."""
        idle = [p for p in self.table.values() if p.state in (State.KNOWN, State.BACKING_OFF)]
        worst = max(idle, key=lambda p: (p.failures, p.id), default=None)
        if worst is None:
            return False
        del self.table[worst.id]
        out.append(Forget(worst.id))
        return True

    # --- dialling --------------------------------------------------------------------------------

    def dial_due(self, now: float, out: list[Output]) -> None:
        """Dial who is due, few at a time, and close what never said Hello."""
        for peer in self.table.values():
            if peer.state is State.GREETING and peer.deadline is not None and peer.deadline <= now:
                peer.deadline = None
                peer.last_error = "no hello"
                self.refuse(peer.id, "no-hello", now, out)
                out.append(Disconnect(peer.id, "no hello"))
        due = [p for p in self.table.values() if self._dialable(p) and p.next_dial <= now]
        due.sort(key=lambda p: (p.next_dial, p.id))
        for peer in due[: self._room()]:
            peer.state = State.DIALING
            out.append(Dial(peer.id, peer.addresses))
        self._schedule(now, out)

    @staticmethod
    def _dialable(peer: Peer) -> bool:
        return bool(peer.addresses) and peer.state in (State.KNOWN, State.BACKING_OFF)

    def _room(self) -> int:
        """How many more may be dialled now."""
        busy = sum(p.state is State.DIALING for p in self.table.values())
        connected = sum(p.connected for p in self.table.values())
        return max(min(DIALS_AT_ONCE - busy, self._max_connections - connected - busy), 0)

    def _schedule(self, now: float, out: list[Output]) -> None:
        waits: list[float] = []
        if self._room():
            # Without room nobody waits for the clock: whoever makes room comes by here.
            waits += [p.next_dial for p in self.table.values() if self._dialable(p)]
        waits += [p.deadline for p in self.table.values() if p.deadline is not None]
        if waits:
            # Never at once: many things learnt in one message make one round of dialling.
            out.append(SetTimer(DIAL_TIMER, max(min(waits), now + 0.01)))

    # --- connections -----------------------------------------------------------------------------

    def on_connected(
        self, peer_id: str, outbound: bool, now: float, out: list[Output]
    ) -> Peer | None:
        """A connection stands; None when this peer is not to be talked to."""
        peer = self.table.get(peer_id)
        if peer is None:
            if len(self.table) >= limits.KNOWN_PEERS and not self._make_room(out):
                out.append(Disconnect(peer_id, "peer table full"))
                return None
            peer = self.table[peer_id] = Peer(peer_id)
        if peer.violations >= limits.VIOLATIONS:
            if peer.next_dial > now:
                self.refuse(peer_id, "held-off", now, out)
                out.append(Disconnect(peer_id, "held off after too many violations"))
                return None
            peer.violations = 0
        peer.state = State.GREETING
        peer.met = False
        peer.outbound = outbound
        peer.deadline = now + GREETING_SECONDS
        self._schedule(now, out)
        return peer

    def admit(self, peer_id: str) -> bool:
        """The peer's Hello was good; True when that is new."""
        peer = self.table.get(peer_id)
        if peer is None or peer.state is not State.GREETING:
            return False
        peer.state = State.ADMITTED
        peer.deadline = None
        peer.failures = 0
        peer.last_error = None
        return True

    def meet(self, peer_id: str) -> bool:
        """The peer is known to have admitted this node; True when that is new."""
        peer = self.table.get(peer_id)
        if peer is None or peer.state is not State.ADMITTED or peer.met:
            return False
        peer.met = True
        return True

    def on_dial_failed(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """Nobody there; a dial that failed because the peer dialled first changes nothing."""
        peer = self.table.get(peer_id)
        if peer is not None and peer.state is State.DIALING:
            self.on_lost(peer_id, reason, now, out)

    def on_lost(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """A dial failed or a connection ended: pause, then again, for ever."""
        peer = self.table.get(peer_id)
        if peer is None:
            return
        if peer.state is State.ADMITTED:
            peer.failures = 0
        else:
            peer.failures += 1
        peer.last_error = reason
        peer.state = State.BACKING_OFF
        peer.deadline = None
        pause = min(FIRST_PAUSE * 2 ** min(peer.failures, 16), LONGEST_PAUSE)
        # Full jitter over half of the pause, so that a thousand peers do not redial in step.
        peer.next_dial = max(peer.next_dial, now + pause * self._rng.uniform(0.5, 1.0))
        self._schedule(now, out)

    def hold_off(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """Disconnect a peer that does not belong here and let it be for a while."""
        peer = self.table.get(peer_id)
        if peer is not None:
            peer.next_dial = now + limits.HOLD_OFF_SECONDS
            peer.last_error = reason
        out.append(Disconnect(peer_id, reason))

    # --- misbehaviour ----------------------------------------------------------------------------

    def refuse(
        self, peer_id: str, reason: str, now: float, out: list[Output], *, hostile: bool = False
    ) -> None:
        """Count a refusal; a peer that goes on with hostile ones is dropped and held off."""
        if reason not in self.refused and len(self.refused) >= REASONS:
            reason = "other"
        self.refused[reason] += 1
        peer = self.table.get(peer_id)
        if peer is None:
            return
        peer.refused[reason] += 1
        if not hostile:
            return
        peer.violations += 1
        if peer.violations == limits.VIOLATIONS:
            out.append(Report("peer-dropped", {"peer": peer_id, "reason": reason}))
            self.hold_off(peer_id, f"too many violations, the last one: {reason}", now, out)

    # --- asking ----------------------------------------------------------------------------------

    def is_admitted(self, peer_id: str) -> bool:
        peer = self.table.get(peer_id)
        return peer is not None and peer.state is State.ADMITTED

    def is_met(self, peer_id: str) -> bool:
        """Whether a peer can be asked now."""
        peer = self.table.get(peer_id)
        return peer is not None and peer.state is State.ADMITTED and peer.met

    def reach(self, peer_id: str, now: float, out: list[Output]) -> bool:
        """See to it that a peer can be asked soon; False when there is no way, or it failed."""
        peer = self.table.get(peer_id)
        if peer is None or peer.violations >= limits.VIOLATIONS:
            return False
        if self._dialable(peer):
            if peer.failures or not self._room():
                return False
            peer.next_dial = min(peer.next_dial, now)
            self._schedule(now, out)
            return True
        return peer.state in (State.DIALING, State.GREETING, State.ADMITTED)

    def admitted(self) -> list[str]:
        """The peers that can be asked, in a stable order."""
        return sorted(p.id for p in self.table.values() if p.state is State.ADMITTED and p.met)
