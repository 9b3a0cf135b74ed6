"""Getting a body that is needed, from whoever has it: one source after the other.

What a body is a delta against comes first, where a short way of bases leads to it (see `trail`).

A source that does not answer a ping any more is left at once: the transport's patience is made for
slow links, and a round does not wait that long for the dead.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from gossipd.protocol.events import Arrived, Fetch, FetchFailed, Output, SetTimer
from gossipd.protocol.pace import Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.trail import Trail
from gossipd.wire.messages import Update

TIMER = "rounds.fetch"
LOOK_PINGS = 2.0
"""Ping time-outs between two looks at whether a source still lives, and
"""
LOOK_SECONDS = 0.5
"""at least so long: ours, a guess."""
HELD = 256
"""Arrived updates that are remembered; one that is fetched again costs a look at the disk."""
OTHERS = 8
"""Peers that may have a body, too: more than are asked at once, since some will be gone. Ours."""
SOURCES = 3
"""Peers that are asked for one body before it is given up."""

Then = Callable[[bool, float, list[Output]], None]


Find = Callable[[str, Callable[[bool, float, list[Output]], None], float, list[Output]], None]
"""Asks a peer for a sign of life."""


@dataclass(slots=True, eq=False)
class _Fetching:
    update: Update
    sources: list[str]
    thens: list[Then]
    source: str = ""
    """Who is asked just now."""
    look_at: float = 0.0


class Fetcher:
    """Every fetch ends: the runtime answers each with one event, within its own deadlines."""

    def __init__(
        self, peers: Peers, pace: Pace, find: Find, genesis: bytes, parameters: int
    ) -> None:
        self._peers = peers
        self._pace = pace
        self._find = find
        self.trail = Trail(genesis, parameters, lambda update_id: update_id in self._held)
        self._open: dict[bytes, _Fetching] = {}
        self._held: OrderedDict[bytes, None] = OrderedDict()
        self.fetched = 0

    def own(self, update: Update) -> None:
        """An update that this node has made, or stands on."""
        self.trail.learn(update)
        self._held[update.id] = None
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def holds(self, update_id: bytes) -> bool:
        return update_id in self._held or update_id in self._open

    def get(
        self, update: Update, sources: Iterable[str], then: Then, now: float, out: list[Output]
    ) -> None:
        """`then(True)` once the body is here, at once if it is; `then(False)` if nobody has it."""
        self.trail.learn(update)
        if update.id in self._held:
            then(True, now, out)
            return
        sources = tuple(sources)
        before = self.trail.before(update)
        if not before:
            self._begin(update, sources, then, now, out)
            return

        def next_one(here: bool, later: float, outputs: list[Output]) -> None:
            # Without it, the reference itself is asked for.
            go_on = self.get if here else self._begin
            go_on(update, sources, then, later, outputs)

        self._begin(before[0], (*sources, before[0].author), next_one, now, out)

    def _begin(
        self, update: Update, sources: Iterable[str], then: Then, now: float, out: list[Output]
    ) -> None:
        fetching = self._open.get(update.id)
        if fetching is not None:
            fetching.thens.append(then)
            return
        reachable = [peer for peer in dict.fromkeys(sources) if self._peers.is_admitted(peer)]
        self._open[update.id] = _Fetching(update, reachable[:SOURCES], [then])
        self._next(update.id, now, out)

    def _next(self, update_id: bytes, now: float, out: list[Output]) -> None:
        fetching = self._open[update_id]
        if fetching.sources:
            fetching.source = fetching.sources.pop(0)
            fetching.look_at = now + self._patience
            out.append(Fetch(fetching.source, fetching.update, self._others(fetching)))
            self._schedule(now, out)
        else:
            self._settle(update_id, False, now, out)

    def _others(self, fetching: _Fetching) -> tuple[str, ...]:
        """Who else was named, and who stands on the model or on what it is a delta against."""
        manifest = fetching.update.manifest
        known = self.trail.standing((manifest.model, manifest.reference), OTHERS)
        likely = dict.fromkeys((*fetching.sources, *known))
        return tuple(p for p in likely if p != fetching.source and self._peers.is_admitted(p))

    @property
    def _patience(self) -> float:
        return max(LOOK_PINGS * self._pace.ping_seconds, LOOK_SECONDS)

    def _schedule(self, now: float, out: list[Output]) -> None:
        if self._open:
            out.append(SetTimer(TIMER, max(min(f.look_at for f in self._open.values()), now)))

    def on_timer(self, now: float, out: list[Output]) -> None:
        """Do those live of whom something is awaited?"""
        for fetching in [f for f in self._open.values() if f.look_at <= now]:
            fetching.look_at = now + self._patience
            source = fetching.source
            self._find(source, partial(self._found, fetching, source), now, out)
        self._schedule(now, out)

    def _found(
        self, fetching: _Fetching, source: str, alive: bool, now: float, out: list[Output]
    ) -> None:
        current = self._open.get(fetching.update.id) is fetching and fetching.source == source
        if current and not alive:
            self._next(fetching.update.id, now, out)

    def _settle(self, update_id: bytes, here: bool, now: float, out: list[Output]) -> None:
        for then in self._open.pop(update_id).thens:
            then(here, now, out)

    def on_arrived(self, event: Arrived, now: float, out: list[Output]) -> None:
        self.fetched += 1
        self._peers.used(event.peer, now)
        self.own(event.update)
        if event.update.id in self._open:
            self._settle(event.update.id, True, now, out)

    def on_failed(self, event: FetchFailed, now: float, out: list[Output]) -> None:
        hostile = event.blame != "nobody"
        self._peers.refuse(event.peer, event.reason, now, out, hostile=hostile)
        if event.blame == "author" and event.update.author != event.peer:
            self._peers.refuse(event.update.author, event.reason, now, out, hostile=True)
        fetching = self._open.get(event.update.id)
        if fetching is not None and fetching.source == event.peer:
            self._next(event.update.id, now, out)
