"""What two nodes that meet in rounds need not ask each other, since their Hellos have said it.

Of fourteen messages over a new connection eight are about the round that goes on and the base; in a
swarm that forms all stand where they began, and later the one that is behind has something to ask.
What a Hello says is taken for no more than a reason not to ask: anti-entropy asks all the same.
"""

from collections.abc import Callable

from msgspec import UNSET
from msgspec.structs import replace

from gossipd.wire.messages import Hello, Introduction


class Meeting:
    """Says where this node stands, and remembers what others have said until they are met."""

    def __init__(self, proven: Callable[[], int], base: Callable[[], bytes]) -> None:
        self._proven = proven
        self._base = base
        self._said: dict[str, Introduction] = {}

    def greeting(self, hello: Hello) -> Hello:
        """With where this node stands. Who says nothing of itself yet does not say that either."""
        if not hello.record:
            return hello
        intro = replace(hello.introduction, est=self._proven(), base=self._base())
        return replace(hello, intro=intro)

    def heard(self, peer: str, hello: Hello) -> None:
        """A peer was let in."""
        self._said[peer] = hello.introduction

    def open_questions(self, peer: str) -> tuple[bool, bool]:
        """A peer can be asked: whether it may have another base, and proof of a higher round."""
        said = self._said.pop(peer, None)
        if said is None:
            return True, True
        return said.base != self._base(), said.est is UNSET or said.est > self._proven()

    def disconnected(self, peer: str) -> None:
        self._said.pop(peer, None)
