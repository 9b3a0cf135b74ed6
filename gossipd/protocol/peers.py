"""Who is out there and how to reach them: remember, dial, redial for ever, greet, hold off.

Every known peer is in one of six states:

    KNOWN -> DIALING -> GREETING -> ADMITTED        (connected both ways: a Hello was exchanged)
      ^         |           |           |
      |         |           +--CLOSING--+           (its place is needed for another one)
      |         |                 |
      +---- BACKING_OFF <---------+                 (a jittered, doubling pause, then again)

A peer of another swarm, task or version is told so in words and held off; a peer that keeps on
sending what must not be is dropped and held off. Nobody is ever forgotten but by the operator or
when `limits.KNOWN_PEERS` overflows. Of those who are only heard of (strangers, see `roster`) chance
says who is dialled; how many are connected is for `slots` to say.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random

from gossipd.protocol.events import (
    Dial,
    Disconnect,
    Forget,
    Output,
    Remember,
    RememberAll,
    Report,
    SetTimer,
)
from gossipd.protocol.overlay import NOT_ALLOWED, Overlay
from gossipd.protocol.roster import CONNECTED, WAITING, Peer, Roster, State, merged_addresses
from gossipd.protocol.slots import Slots
from gossipd.wire import limits
from gossipd.wire.messages import SignedRecord

FIRST_PAUSE = 1.0
"""Seconds before the first redial: ours, a guess that spares a peer that merely restarts."""
LONGEST_PAUSE = 60.0
"""Seconds: ours; a peer that comes back is met within about a minute without its own doing."""
GREETING_SECONDS = 10.0
"""How long a connection may stand without a Hello."""
DIALS_AT_ONCE = 8
"""For their own sake."""
REACHES_AT_ONCE = 64
"""Dials under way, those that somebody waits for included: a sample's window when most are dead."""
REACH_SECONDS = 2.0
"""How long such a dial may wait for its turn; nobody waits for it longer."""
TRIM_SECONDS = 0.5
"""How soon after it the next look for a connection to give up, while there are too many."""
NEVER = -1.0
"""Earlier than any use."""
PASSERS_BY = 256
"""Who connected, was never admitted, and cannot be dialled: so many are remembered with what was
refused of them, the latest ones. Ours: anybody can come with as many keys as it likes."""
REASONS = 64
"""Different reasons counted by name; peers may word theirs, so the rest is counted as "other"."""
DIAL_TIMER = "peers.dial"


class Peers:
    """The peer table and its dialling."""

    def __init__(
        self,
        me: str,
        rng: Random,
        max_connections: int,
        needed: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._me = me
        self._rng = rng
        self._slots = Slots(max_connections)
        self._needed = needed
        """Whom this node works with or waits for: their connections are not given up."""
        self._roster = Roster(rng)
        self._passers: OrderedDict[str, None] = OrderedDict()
        """Ids, the one that was lost first at the front."""
        self._reaches: deque[tuple[float, str]] = deque()
        """Who shall be dialled as soon as there is room, and until when."""
        self._dials: deque[tuple[float, Peer]] = deque()
        """The latest dials and their times."""
        self._alarm: float | None = None
        """When the timer goes off next."""
        self._askable: tuple[str, ...] | None = None
        self.overlay = Overlay()
        self.refused: Counter[str] = Counter()
        """Refusals by reason, all peers and strangers together."""

    @property
    def table(self) -> Mapping[str, Peer]:
        """By id the peers that there is more to say of than where they are."""
        return self._roster.table

    def __len__(self) -> int:
        """All known peers."""
        return len(self._roster)

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._roster

    def __iter__(self) -> Iterator[Peer]:
        """All known peers, to be looked at."""
        return iter(self._roster)

    # --- learning of peers -----------------------------------------------------------------------

    def learn(
        self, peer_id: str, addresses: tuple[str, ...], now: float, out: list[Output]
    ) -> None:
        """Remember where a peer may be. New addresses are tried first and at once."""
        known = self._note(peer_id, addresses, now, None, out)
        if known is not None:
            out.append(known)
        self.wake(now, out)

    def note(self, records: Iterable[SignedRecord], now: float, out: list[Output]) -> None:
        """As `learn`, of many by their records; `wake` comes when all of them are noted."""
        news = list[Remember]()
        newcomers, others = list[SignedRecord](), list(records)
        if not self.overlay.allowed:
            # Who is blocked is never drawn by chance, nor is this node.
            apart = self.overlay.blocked | {self._me}
            newcomers, others = self._roster.meet_strangers(others, apart)
        for signed in others:
            peer_id, addresses = signed.author, signed.record.addresses
            noted = self._note(peer_id, addresses, now, signed.envelope, out)
            if noted is not None:
                news.append(noted)
        if news or newcomers:
            out.append(RememberAll(tuple(news), tuple(newcomers)))

    def _note(
        self,
        peer_id: str,
        addresses: tuple[str, ...],
        now: float,
        record: bytes | None,
        out: list[Output],
    ) -> Remember | None:
        """What is to be written down of it, if anything."""
        roster = self._roster
        if peer_id in roster.table:
            return self._note_met(roster.table[peer_id], addresses, now, record)
        if peer_id == self._me:
            return None
        known = roster.strangers.get(peer_id)
        if known is None:
            if len(roster) >= limits.KNOWN_PEERS and not self._make_room(out):
                return None
            if not addresses or self.overlay.allowed or peer_id in self.overlay.blocked:
                roster.add(peer_id)  # who cannot be drawn by chance
                return self._note_met(roster.table[peer_id], addresses, now, record)
        merged = merged_addresses(addresses, known or ())
        if merged == known and record is None:
            return None
        roster.strangers[peer_id] = merged
        return Remember(peer_id, merged, record)

    def _note_met(
        self, peer: Peer, addresses: tuple[str, ...], now: float, record: bytes | None
    ) -> Remember | None:
        merged = merged_addresses(addresses, peer.addresses)
        if merged == peer.addresses and record is None:
            return None
        fresh = set(merged) - set(peer.addresses) and peer.violations < limits.VIOLATIONS
        peer.addresses = merged
        self._roster.wait(peer, min(peer.next_dial, now) if fresh else peer.next_dial)
        return Remember(peer.id, merged, record)

    def wake(self, now: float, out: list[Output]) -> None:
        """See to it that who has been noted is dialled in time."""
        self._schedule(now, out)

    def forget(
        self, peer_id: str, now: float, out: list[Output], reason: str = "removed by the operator"
    ) -> None:
        if self._roster.remove(peer_id):
            self._askable = None
            out += [Disconnect(peer_id, reason), Forget(peer_id)]
            self._schedule(now, out)

    def _make_room(self, out: list[Output]) -> bool:
        """Drop the idle peer that has failed most often, else a stranger; False when all are in
        use."""
        worst = max(self._roster.of(*WAITING), key=lambda p: (p.failures, p.id), default=None)
        dropped = None if worst is None else worst.id
        if worst is None or not worst.failures:
            dropped = next(iter(self._roster.strangers), dropped)
        if dropped is None:
            return False
        self._roster.remove(dropped)
        out.append(Forget(dropped))
        return True

    # --- dialling --------------------------------------------------------------------------------

    def dial_due(self, now: float, out: list[Output]) -> None:
        """Dial who is due, few at a time; close what never said Hello, and what is too much."""
        if self._alarm is not None and self._alarm <= now:
            self._alarm = None
        for peer in self._roster.of(State.GREETING):
            if peer.deadline is not None and peer.deadline <= now:
                peer.deadline = None
                peer.last_error = "no hello"
                self.refuse(peer.id, "no-hello", now, out)
                out.append(Disconnect(peer.id, "no hello"))
        self._trim(now, out)
        self._dial_reaches(now, out)
        while self._room():
            if self._may_draw:
                self._dial(self._roster.draw(), now, out)
                continue
            due = self._roster.next_due(self._dialable)
            if due is None or due.next_dial > now:
                break
            self._dial(due, now, out)
        self._schedule(now, out)

    def _dial(self, peer: Peer, now: float, out: list[Output]) -> None:
        self._move(peer, State.DIALING)
        self._dials.append((now, peer))
        out.append(Dial(peer.id, peer.addresses))

    def _dialable(self, peer: Peer) -> bool:
        return peer.state in WAITING and bool(peer.addresses) and self.overlay.admits(peer.id)

    @property
    def _may_draw(self) -> bool:
        """Whether there are strangers to dial: they come before who has been dialled before."""
        return bool(self._roster.strangers) and not self.overlay.allowed

    def _room(self) -> bool:
        """Whether one more may be dialled for its own sake."""
        dialling = self._roster.count(State.DIALING)
        taken = dialling + self._roster.count(*CONNECTED)
        return dialling < DIALS_AT_ONCE and taken < self._slots.wanted(len(self))

    def _schedule(self, now: float, out: list[Output]) -> None:
        waits = [p.deadline for p in self._roster.of(State.GREETING) if p.deadline is not None]
        # Without room nobody waits for the clock: whoever makes room comes by here.
        if self._room():
            due = None if self._may_draw else self._roster.next_due(self._dialable)
            if due is not None or self._may_draw:
                waits.append(now if due is None else due.next_dial)
        if self._reaches and self._may_reach(now):
            waits.append(now)
        if self._surplus > 0:
            waits.append(now + TRIM_SECONDS)
        if waits:
            # Never at once: many things learnt in one message make one round of dialling.
            alarm = max(min(waits), now + 0.01)
            if self._alarm is None or alarm < self._alarm or self._alarm <= now:
                self._alarm = alarm
                out.append(SetTimer(DIAL_TIMER, alarm))

    def _move(self, peer: Peer, state: State) -> None:
        self._askable = None
        self._roster.move(peer, state)

    # --- making room -----------------------------------------------------------------------------

    @property
    def _surplus(self) -> int:
        """Connections that stand beyond those that leave room for others."""
        return self._roster.count(State.GREETING, State.ADMITTED) - self._slots.full

    def _trim(self, now: float, out: list[Output]) -> None:
        while self._surplus > 0 and self._give_up_one(now, out, own=False):
            pass

    def _give_up_one(self, now: float, out: list[Output], *, own: bool) -> bool:
        connected = self._roster.of(State.GREETING, State.ADMITTED)
        peer = self._slots.victim(connected, self._needed(), now, own=own)
        if peer is None:
            return False
        self._move(peer, State.CLOSING)
        out.append(Disconnect(peer.id, "room for others"))
        return True

    # --- connections -----------------------------------------------------------------------------

    def on_connected(
        self, peer_id: str, outbound: bool, now: float, out: list[Output]
    ) -> Peer | None:
        """A connection stands; None when this peer is not to be talked to."""
        peer = self._roster.peer(peer_id)
        if peer is None:
            if len(self) >= limits.KNOWN_PEERS and not self._make_room(out):
                out.append(Disconnect(peer_id, "peer table full"))
                return None
            peer = self._roster.add(peer_id)
        if peer.violations >= limits.VIOLATIONS:
            if peer.next_dial > now:
                self.refuse(peer_id, "held-off", now, out)
                out.append(Disconnect(peer_id, "held off after too many violations"))
                return None
            peer.violations = 0
        if not self.overlay.admits(peer_id):
            self.refuse(peer_id, NOT_ALLOWED, now, out)
            if outbound:
                out.append(Disconnect(peer_id, NOT_ALLOWED))
                return None
            # Whoever dialled is told so when it asks for anything, and else has a greeting's time.
        self._move(peer, State.GREETING)
        peer.met = False
        peer.outbound = outbound
        peer.since = now
        peer.deadline = now + GREETING_SECONDS
        self._trim(now, out)
        self._schedule(now, out)
        return peer

    def restrict(self, to: Overlay, now: float, out: list[Output]) -> None:
        """From now on talk to these only: let go of the others, and dial who is new among them."""
        before, self.overlay = self.overlay, to
        for peer_id in sorted(to.allowed | to.blocked):
            self._roster.peer(peer_id)  # a choice of strangers is no matter of chance
        for peer in self.table.values():
            if not self.overlay.admits(peer.id):
                if peer.connected:
                    out.append(Disconnect(peer.id, NOT_ALLOWED))
            elif not before.admits(peer.id) and peer.violations < limits.VIOLATIONS:
                self._roster.wait(peer, min(peer.next_dial, now))
        self._schedule(now, out)

    def admit(self, peer_id: str) -> bool:
        """The peer's Hello was good; True when that is new."""
        peer = self.table.get(peer_id)
        if peer is None or peer.state is not State.GREETING:
            return False
        self._move(peer, State.ADMITTED)
        peer.admitted = True
        self._passers.pop(peer_id, None)
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
        self._askable = None
        return True

    def on_dial_failed(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """Nobody there; a dial that failed because the peer dialled first changes nothing."""
        peer = self.table.get(peer_id)
        if peer is None or peer.state is not State.DIALING:
            return
        if reason.startswith("full"):
            # No place here: nothing is known of the peer.
            self._roster.wait(peer, now + FIRST_PAUSE)
            self._move(peer, State.KNOWN)
            self._schedule(now, out)
        else:
            self.on_lost(peer_id, reason, now, out)

    def on_lost(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """A dial failed or a connection ended: pause, then again, for ever."""
        peer = self.table.get(peer_id)
        if peer is None:
            return
        if peer.state in (State.ADMITTED, State.CLOSING):
            peer.failures = 0
        else:
            peer.failures += 1
        peer.last_error = reason
        peer.deadline = None
        pause = min(FIRST_PAUSE * 2 ** min(peer.failures, 16), LONGEST_PAUSE)
        # Full jitter over half of the pause, so that a thousand peers do not redial in step.
        peer.next_dial = max(peer.next_dial, now + pause * self._rng.uniform(0.5, 1.0))
        self._move(peer, State.BACKING_OFF)
        if not (peer.admitted or peer.addresses):
            self._passed(peer_id)
        self._schedule(now, out)

    def _passed(self, peer_id: str) -> None:
        """Somebody has gone who was never admitted; the oldest such one is forgotten."""
        self._passers[peer_id] = None
        self._passers.move_to_end(peer_id)
        while len(self._passers) > PASSERS_BY:
            oldest, _ = self._passers.popitem(last=False)
            peer = self.table.get(oldest)
            if peer is not None and peer.state in WAITING and not peer.addresses:
                self._roster.remove(oldest)

    def hold_off(self, peer_id: str, reason: str, now: float, out: list[Output]) -> None:
        """Disconnect a peer that does not belong here and let it be for a while."""
        peer = self._roster.peer(peer_id)
        if peer is not None:
            self._roster.wait(peer, now + limits.HOLD_OFF_SECONDS)
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
        peer = self._roster.peer(peer_id)
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

    def is_dialling(self, peer_id: str) -> bool:
        peer = self.table.get(peer_id)
        return peer is not None and peer.state is State.DIALING

    def is_admitted(self, peer_id: str) -> bool:
        peer = self.table.get(peer_id)
        return peer is not None and peer.state is State.ADMITTED

    def is_met(self, peer_id: str) -> bool:
        """Whether a peer can be asked now."""
        peer = self.table.get(peer_id)
        return peer is not None and peer.state is State.ADMITTED and peer.met

    def used(self, peer_id: str, now: float) -> None:
        """A peer was of use: its connection is worth more than those of others."""
        peer = self.table.get(peer_id)
        if peer is not None:
            peer.useful = now

    def doubt(self, peer_id: str) -> None:
        """A peer does not answer: its connection is the first to go."""
        peer = self.table.get(peer_id)
        if peer is not None:
            peer.useful = NEVER

    def reach(self, peer_id: str, now: float, out: list[Output]) -> bool:
        """See to it that a peer can be asked soon; False when there is no way, or it failed."""
        peer = self._roster.peer(peer_id)
        if peer is None or peer.violations >= limits.VIOLATIONS:
            return False
        if not self.overlay.admits(peer_id):
            return False
        if not self._dialable(peer):
            return peer.state in (State.DIALING, State.GREETING, State.ADMITTED)
        if peer.failures and peer.next_dial > now:
            return False
        if self._is_full(now) and not self._give_up_one(now, out, own=True):
            return False
        self._reaches.append((now + REACH_SECONDS, peer_id))
        self._dial_reaches(now, out)
        self._schedule(now, out)
        return True

    def _may_reach(self, now: float) -> bool:
        """Whether somebody may be dialled who is waited for."""
        return self._roster.count(State.DIALING) < REACHES_AT_ONCE and not self._is_full(now)

    def _is_full(self, now: float) -> bool:
        """Whether all places are taken, or about to be: whom a dial does not find soon it most
        likely does not find at all."""
        while self._dials and self._dials[0][0] + REACH_SECONDS <= now:
            self._dials.popleft()
        coming = sum(peer.state is State.DIALING for _, peer in self._dials)
        return self._roster.count(*CONNECTED) + coming >= self._slots.limit

    def _dial_reaches(self, now: float, out: list[Output]) -> None:
        while self._reaches and (self._reaches[0][0] <= now or self._may_reach(now)):
            until, peer_id = self._reaches.popleft()
            peer = self.table.get(peer_id)
            if until > now and peer is not None and self._dialable(peer):
                self._dial(peer, now, out)

    def connected(self) -> list[str]:
        """The peers that have been let in, whether they are known to have done the same or not."""
        return sorted(p.id for p in self._roster.of(State.ADMITTED))

    def admitted(self) -> list[str]:
        """The peers that can be asked, in a stable order."""
        if self._askable is None:
            self._askable = tuple(sorted(p.id for p in self._roster.of(State.ADMITTED) if p.met))
        return list(self._askable)
