"""MoDeST's activity record and the order that it yields (arXiv 2302.13837, sections 3.2 and 3.3).

    ORDER(k) = { p : (event(p) != LEAVE and last_round(p) >= k - window) or p = me }
               sorted by H(swarm || p || k), ascending

The record is a CRDT: of each peer the highest round in which anybody heard from it. The registry,
(counter, event) of each peer, is part of the signed records of the view.

Departure from the paper: H is BLAKE2b over the swarm's id too (the authors: MD5 of peer and round).
Any public hash can be ground by who may choose keys freely; only a closed swarm's membership
defends against that. Departure: a peer that failed a ping goes last until it is heard from.
"""

from collections.abc import Mapping
from functools import lru_cache

from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.identifiers import digest


@lru_cache(maxsize=4 * limits.AUTHORS)
def rank(swarm: bytes, peer: str, round_: int) -> bytes:
    """Where a peer stands in a round's order: ascending. One order is asked for several times."""
    return digest(swarm, peer.encode(), b"-%d" % round_)


class Activity:
    """Who was heard from, and when: in rounds, not in seconds."""

    def __init__(self, me: str, swarm: bytes, view: SwarmView, window: int) -> None:
        self._me = me
        self._swarm = swarm
        self._view = view
        self._window = window
        """Delta k: rounds without activity after which a peer is no candidate any more."""
        self._last: dict[str, int] = {}
        self._suspects: dict[str, int] = {}
        self._pending: set[str] = set()
        self._told: dict[str, dict[bytes, int]] = {}
        self.alone = False
        """Whether this node shall work with nobody."""

    # --- merging ---------------------------------------------------------------------------------

    def last_round(self, peer: str) -> int:
        return self._last.get(peer, 0)

    def heard(self, peer: str, round_: int) -> None:
        """An authenticated message came from `peer` itself while the swarm stood at `round_`."""
        self._suspects.pop(peer, None)
        self._raise(peer, round_)

    def merge(self, entries: Mapping[bytes, int], at_most: int) -> None:
        """Take what somebody else says. Nobody was heard from in a round that is yet to come."""
        for author, round_ in entries.items():
            peer = self._view.peer_of(author)
            if peer is None:
                continue
            round_ = min(round_, at_most)
            if round_ > self._suspects.get(peer, round_):
                # Others have heard from it after it was silent here.
                del self._suspects[peer]
            self._raise(peer, round_)

    def _raise(self, peer: str, round_: int) -> None:
        if round_ > self._last.get(peer, 0) and (
            peer in self._last or len(self._last) < limits.AUTHORS
        ):
            self._last[peer] = round_

    # --- suspects and newcomers ------------------------------------------------------------------

    def suspect(self, peer: str, round_: int) -> None:
        """It did not answer: last in every order until it is heard from again."""
        if peer != self._me:
            self._suspects[peer] = round_

    def is_suspect(self, peer: str) -> bool:
        return peer in self._suspects

    def hold(self, peer: str) -> None:
        """A newcomer is no candidate before the next model has been sent: until then the view that
        is on its way and the sample that was drawn from it agree (paper: `pending`)."""
        self._pending.add(peer)

    def release(self) -> None:
        self._pending.clear()

    # --- order -----------------------------------------------------------------------------------

    def order(self, round_: int) -> list[str]:
        """ORDER(round), suspects last."""
        if self.alone:
            return [self._me]
        oldest = round_ - self._window
        last, pending, me = self._last, self._pending, self._me
        revoked = self._view.members.is_revoked
        peers = [
            peer
            for peer in (s.author for s in self._view.records() if s.record.event != "leave")
            if last.get(peer, 0) >= oldest
            and peer not in pending
            and peer != me
            and not revoked(peer)
        ]
        return self.sort([*peers, self._me], round_)

    def sort(self, peers: list[str] | tuple[str, ...], round_: int) -> list[str]:
        """These peers as ORDER(round) has them."""
        swarm, suspects = self._swarm, self._suspects
        order = sorted(peers, key=lambda peer: rank(swarm, peer, round_))
        if suspects.keys().isdisjoint(peers):
            return order
        return sorted(order, key=suspects.__contains__)

    def place(self, round_: int, peer: str | None = None) -> int:
        """About how many come before a peer, else this node, in ORDER(round): by its rank alone,
        since ranks are spread evenly. To rank everybody takes a thousand times as long in a swarm
        of some thousand."""
        share = int.from_bytes(rank(self._swarm, peer or self._me, round_)[:8], "big") / 2**64
        return 0 if self.alone else int(share * self._view.size)

    # --- differences -----------------------------------------------------------------------------

    def news_for(self, peer: str) -> dict[bytes, int]:
        """What `peer` is not known to know, to ride on a model message. It counts as told: what
        gets lost on the way comes again with the next activity."""
        told = self._told.setdefault(peer, {})
        news: dict[bytes, int] = {}
        for other, round_ in self._last.items():
            author = self._view.author_of(other)
            if author is not None and round_ > told.get(author, 0):
                news[author] = told[author] = round_
        return news

    def told_by(self, peer: str, entries: Mapping[bytes, int]) -> None:
        """`peer` said this, so it need not be told."""
        told = self._told.setdefault(peer, {})
        for author, round_ in entries.items():
            if self._view.peer_of(author) is not None:
                told[author] = max(round_, told.get(author, 0))

    def disconnected(self, peer: str) -> None:
        self._told.pop(peer, None)
