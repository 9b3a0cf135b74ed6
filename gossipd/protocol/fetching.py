"""Getting a body that is needed, from whoever has it: one source after the other."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gossipd.protocol.events import Arrived, Fetch, FetchFailed, Output
from gossipd.protocol.peers import Peers
from gossipd.wire.messages import Update

HELD = 256
"""Arrived updates that are remembered; one that is fetched again costs a look at the disk."""
SOURCES = 3
"""Peers that are asked for one body before it is given up."""

Then = Callable[[bool, float, list[Output]], None]


@dataclass(slots=True)
class _Fetching:
    update: Update
    sources: list[str]
    thens: list[Then]


class Fetcher:
    """Every fetch ends: the runtime answers each with one event, within its own deadlines."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._open: dict[bytes, _Fetching] = {}
        self._held: OrderedDict[bytes, None] = OrderedDict()
        self.fetched = 0

    def own(self, update: Update) -> None:
        """An update that this node has made."""
        self._held[update.id] = None
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def holds(self, update_id: bytes) -> bool:
        return update_id in self._held or update_id in self._open

    def get(
        self, update: Update, sources: Iterable[str], then: Then, now: float, out: list[Output]
    ) -> None:
        """`then(True)` once the body is here, at once if it is; `then(False)` if nobody has it."""
        if update.id in self._held:
            then(True, now, out)
            return
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
            out.append(Fetch(fetching.sources.pop(0), fetching.update))
        else:
            self._settle(update_id, False, now, out)

    def _settle(self, update_id: bytes, here: bool, now: float, out: list[Output]) -> None:
        for then in self._open.pop(update_id).thens:
            then(here, now, out)

    def on_arrived(self, event: Arrived, now: float, out: list[Output]) -> None:
        self.fetched += 1
        self.own(event.update)
        if event.update.id in self._open:
            self._settle(event.update.id, True, now, out)

    def on_failed(self, event: FetchFailed, now: float, out: list[Output]) -> None:
        hostile = event.blame != "nobody"
        self._peers.refuse(event.peer, event.reason, now, out, hostile=hostile)
        if event.blame == "author" and event.update.author != event.peer:
            self._peers.refuse(event.update.author, event.reason, now, out, hostile=True)
        if event.update.id in self._open:
            self._next(event.update.id, now, out)
