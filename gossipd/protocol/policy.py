"""Which peer next? One interface for whoever wants a peer: gossip, anti-entropy."""

from collections.abc import Sequence
from random import Random
from typing import Literal, Protocol

from gossipd.protocol.clicks import Clicks
from gossipd.wire.clicks import item_of_peer

PolicyName = Literal["rank", "uniform", "round-robin"]
EXPLORE = 0.2
"""Share of choices that the ranking has no say in: who is low, or new, must be found. Ours, a guess
(the paper swaps two places of half of its rankings)."""


class PeerPolicy(Protocol):
    def choose(self, peers: Sequence[str], count: int) -> list[str]:
        """At most `count` different peers of `peers`."""
        ...


class Uniform:
    """Everybody with the same chance."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def choose(self, peers: Sequence[str], count: int) -> list[str]:
        return self._rng.sample(peers, min(count, len(peers)))


class RoundRobin:
    """One after the other, in the order of their ids."""

    def __init__(self) -> None:
        self._last = ""

    def choose(self, peers: Sequence[str], count: int) -> list[str]:
        later = sorted(peer for peer in peers if peer > self._last)
        chosen = (later + sorted(peer for peer in peers if peer <= self._last))[:count]
        if chosen:
            self._last = chosen[-1]
        return chosen


class ByRank:
    """Who has helped nodes with such data: the ranking's answer to one of the own labels.

    The chance of a place falls as 1 to its number. Ours: with the first place alone, all of one
    group would ask the same node.
    """

    def __init__(self, clicks: Clicks, rng: Random) -> None:
        self._clicks = clicks
        self._rng = rng

    def choose(self, peers: Sequence[str], count: int) -> list[str]:
        ranked = self._clicks.ranking.rank(self._clicks.question())
        places = {one.item: place for place, one in enumerate(ranked, 1)}
        left = {peer: 1 / places.get(item_of_peer(peer), len(places) + 1) for peer in peers}
        chosen: list[str] = []
        while left and len(chosen) < count:
            weights = None if self._rng.random() < EXPLORE else list(left.values())
            (peer,) = self._rng.choices(list(left), weights)
            del left[peer]
            chosen.append(peer)
        return chosen


def policy_of(name: PolicyName, clicks: Clicks, rng: Random) -> PeerPolicy:
    if name == "rank":
        return ByRank(clicks, rng)
    return RoundRobin() if name == "round-robin" else Uniform(rng)
