"""What lies between the simulated nodes: who can reach whom, how long it takes, what gets lost.

Silence and resets are different things, and a swarm must live with both. A partition is data: who
may not hear whom. What is sent into it is lost, nothing is closed, and the ends of a connection
find out when their heartbeat's patience ends. With `reset` both ends hear of it at once.

The heartbeat itself sends nothing here: as long as both ends hear each other it changes nothing, so
only its patience is simulated, from the moment when a silence begins.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING

from gossipd.network.interface import PortInUse
from gossipd.simulation.connection import End, Link, Way
from gossipd.simulation.loop import VirtualLoop
from gossipd.simulation.traffic import Observer
from gossipd.wire.identifiers import digest

if TYPE_CHECKING:
    from gossipd.simulation.transport import SimTransport


def apart(*groups: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """A partition: nobody hears anybody of another group."""
    sides = [tuple(group) for group in groups]
    return {
        node: tuple(n for other in sides if other is not side for n in other)
        for side in sides
        for node in side
    }


class SimNetwork:
    """All its transports live on one `VirtualLoop`. Nodes are peer ids here."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        link: Link | None = None,
        observe: Observer | None = None,
    ) -> None:
        self.loop = loop
        self.rng = Random(f"{seed}/network")
        self.lost = 0
        """Messages that did not arrive."""
        self._seed = seed
        self._link = link or Link()
        self._links: dict[tuple[str, str], Link] = {}
        self._observe = observe
        self._deaf: dict[str, frozenset[str]] = {}
        self._listening: dict[str, SimTransport] = {}
        self._ends: dict[End, None] = {}
        """Of all connections, in the order in which they were made."""

    # --- links -----------------------------------------------------------------------------------

    def set_link(self, a: str, b: str, link: Link, *, both_ways: bool = True) -> None:
        """What lies between a and b from now on."""
        self._links[a, b] = link
        if both_ways:
            self._links[b, a] = link
        for end in self._ends:
            end.way = self.way(end.owner.peer_id, end.remote.peer_id)

    def set_links(self, pairs: Iterable[tuple[str, str]], link: Link) -> None:
        """As `set_link` for many (sender, receiver) at once, one way each."""
        self._links.update(dict.fromkeys(pairs, link))
        for end in self._ends:
            end.way = self.way(end.owner.peer_id, end.remote.peer_id)

    def set_default_link(self, link: Link) -> None:
        """What lies between all that have no link of their own, from now on."""
        self._link = link
        for end in self._ends:
            end.way = self.way(end.owner.peer_id, end.remote.peer_id)

    def way(self, sender: str, receiver: str) -> Way:
        """The link of a pair; the same for the same seed, whoever met first."""
        link = self._links.get((sender, receiver), self._link)
        least, most = link.latency
        if least <= 0 or least == most:
            return Way(most, link)
        pair = "/".join(sorted((sender, receiver)))
        chance = int.from_bytes(digest(f"{self._seed}/latency/{pair}".encode())[:8], "big") / 2**64
        return Way(least * (most / least) ** chance, link)

    # --- who hears whom --------------------------------------------------------------------------

    def partition(self, deaf: Mapping[str, Iterable[str]], *, reset: bool = False) -> None:
        """Node -> whom it does not hear from now on, beside whom it does not hear already."""
        for node, others in deaf.items():
            self._deaf[node] = self._deaf.get(node, frozenset()) | frozenset(others)
        if reset:
            for end in tuple(self._ends):
                if not self._talk(end.owner.peer_id, end.remote.peer_id):
                    end.owner.forget(end, "reset")
        self._listen_for_silence()

    def heal(self) -> None:
        """Everybody hears everybody."""
        self._deaf.clear()
        self._listen_for_silence()

    def hears(self, receiver: str, sender: str) -> bool:
        return sender not in self._deaf.get(receiver, ())

    def _talk(self, a: str, b: str) -> bool:
        return self.hears(a, b) and self.hears(b, a)

    def answers(self, asker: "SimTransport", other: "SimTransport") -> bool:
        """Whether a word goes there and back."""
        there = not (other.silent or other.frozen)
        return there and self._talk(asker.peer_id, other.peer_id)

    # --- who listens -----------------------------------------------------------------------------

    def listen(self, transport: "SimTransport", address: str) -> None:
        """Raises PortInUse."""
        holder = self._listening.get(address)
        if holder is not None and not holder.silent:
            raise PortInUse("port-in-use", address)
        self._listening[address] = transport
        for end in self._ends:
            if end.remote.peer_id == transport.peer_id and end.remote.silent:
                # Its host is up again and knows nothing of this connection: the next beat says so.
                beat = self.rng.uniform(0.0, end.owner.heartbeat_interval)
                self._forget_later(end, beat, "reset")

    def freeze(self, transport: "SimTransport", frozen: bool) -> None:
        """Its process stands still from now on, or goes on."""
        transport.frozen = frozen
        self._listen_for_silence()

    def unlisten(self, address: str) -> None:
        self._listening.pop(address, None)

    def at(self, address: str) -> "SimTransport | None":
        return self._listening.get(address)

    # --- connections -----------------------------------------------------------------------------

    def join(self, dialler: "SimTransport", listener: "SimTransport") -> None:
        """A connection stands."""
        ours, theirs = End(dialler, listener, True), End(listener, dialler, False)
        ours.twin, theirs.twin = theirs, ours
        self._ends[ours] = self._ends[theirs] = None
        dialler.join(ours)
        listener.join(theirs)
        self._listen_for_silence((ours, theirs))

    def leave(self, end: End) -> None:
        """An end is closed: forget it."""
        self._ends.pop(end, None)

    def tell_closed(self, end: End, reason: str) -> None:
        """Let the other end know, after what was sent before; silence will tell it otherwise."""
        arrival = max(self.loop.now + end.way.delay(self.rng), end.last_arrival)
        self.loop.call_when(
            arrival, self._hear_closed, end, reason, context=end.remote.process.context
        )

    def _hear_closed(self, end: End, reason: str) -> None:
        if self.hears(end.remote.peer_id, end.owner.peer_id):
            end.remote.forget(end.twin, reason)
        else:
            self.go_silent(end)

    def go_silent(self, end: End) -> None:
        """An end is gone and the other one is not told."""
        end.unheard = True
        self._listen_for_silence((end.twin,))

    # --- silence ---------------------------------------------------------------------------------

    def _listen_for_silence(self, ends: Iterable[End] | None = None) -> None:
        """Where the line has fallen silent the heartbeat's patience begins; elsewhere it ends."""
        for end in self._ends if ends is None else ends:
            silent = end.twin.unheard or not self.answers(end.owner, end.remote)
            if silent and end.silence is None and not end.closed:
                # The last beat was heard somewhere in the interval before; only at a beat is there
                # a look at the time.
                interval = end.owner.heartbeat_interval
                beats = math.ceil(end.owner.heartbeat_timeout / interval)
                patience = beats * interval - self.rng.uniform(0.0, interval)
                end.silence = self._forget_later(end, patience, "heartbeat")
            elif not silent and end.silence is not None:
                end.silence.cancel()
                end.silence = None

    def _forget_later(self, end: End, seconds: float, reason: str) -> asyncio.TimerHandle:
        moment, context = self.loop.now + seconds, end.owner.process.context
        return self.loop.call_when(moment, end.owner.forget, end, reason, context=context)

    # --- sending ---------------------------------------------------------------------------------

    def send(self, end: End, size: int, kind: str, deliver: Callable[[], None]) -> float | None:
        """Bring `size` bytes to the other end and call `deliver` there.

        Returns the moment at which the last byte has left the sender; None when it is lost.
        """
        owner = end.owner
        owner.traffic.messages[kind] += 1
        owner.traffic.sent[kind] += size
        end.bytes_out += size
        if self._observe is not None:
            self._observe(kind, owner.peer_id, end.remote.peer_id, size)
        leaves = owner.upload(size)
        link = end.way.link
        if link.resets and self.rng.random() < link.resets:
            self.lost += 1
            self._forget_later(end, 0.0, "reset")
            self.tell_closed(end, "reset")
            return None
        if link.loss and self.rng.random() < link.loss:
            self.lost += 1
            return None
        end.last_arrival = max(leaves + end.way.delay(self.rng), end.last_arrival)
        self.loop.call_when(
            end.last_arrival,
            self._arrive,
            end,
            size,
            kind,
            deliver,
            context=end.remote.process.context,
        )
        return leaves

    def _arrive(self, end: End, size: int, kind: str, deliver: Callable[[], None]) -> None:
        remote = end.remote
        if end.twin.closed or not self.hears(remote.peer_id, end.owner.peer_id):
            self.lost += 1
            return
        end.twin.bytes_in += size
        remote.traffic.received[kind] += size
        deliver()
