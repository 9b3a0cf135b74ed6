"""A crash at any effect: what a node does to the world is counted, and any can be its last."""

from collections.abc import Callable
from typing import NoReturn


class Fuse:
    """The ports of one node count their effects here: what they write and what they send.

    `effects` goes on over restarts. An effect either happens wholly or, when the fuse blows, not
    at all, which is what the runtime's ports promise (atomic and durable when they return).
    """

    def __init__(self, blow: Callable[[str], NoReturn]) -> None:
        self.effects = 0
        self._blow = blow
        self._last: int | None = None

    def arm(self, after: int) -> None:
        """Let `after` more effects happen; the node ends instead of the next one."""
        self._last = self.effects + after

    def disarm(self) -> None:
        self._last = None

    def step(self, effect: str) -> None:
        """Called by a port before an effect."""
        if self.effects == self._last:
            self._last = None
            self._blow(effect)
        self.effects += 1
