"""Which peer next? One interface for whoever wants a peer: gossip, anti-entropy."""

from collections.abc import Sequence
from random import Random
from typing import Protocol


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
