"""Do enough others know that this node is there? MoDeST's JOIN of a node that returns.

Who has not been heard from for Delta k rounds is a candidate no more. Half of that time after a
node last took part in a round, `ENOUGH` peers shall have heard from it since: it tells those that
are missing. From them it spreads with the view.

Departure from the paper, where a node that returns always tells about s to 10 s peers. Every direct
message of a peer counts as hearing from it, so a node that goes on asking others has told them
already: in a swarm of a thousand, where a node is in a sample once in a hundred rounds, half of all
pings said what their receivers knew.
"""

from collections.abc import Collection

ENOUGH = 10
"""Peers that hear from a node in half a window (paper: about s to 10 s are told of a JOIN)."""


class Presence:
    """In which rounds this node took part, and who has heard from it when."""

    def __init__(self, window: int) -> None:
        self._half = window // 2
        self._active = 0
        """The last round in which this node took part or saw to it that it is known."""
        self._heard: dict[str, int] = {}

    def took_part(self, round_: int) -> None:
        self._active = max(self._active, round_)

    def heard_by(self, peer: str, round_: int) -> None:
        """A peer has answered a question, while this node stood at `round_`."""
        self._heard[peer] = round_

    def lost(self, peer: str) -> None:
        """It is not connected any more; what it has heard it may have taken with it."""
        self._heard.pop(peer, None)

    def to_tell(self, proven: int) -> tuple[int, Collection[str]]:
        """How many others must hear from this node now, and who need not. Counts as done."""
        if proven - self._active <= self._half:
            return 0, ()
        self._active = proven
        self._heard = {p: r for p, r in self._heard.items() if r >= proven - self._half}
        return max(ENOUGH - len(self._heard), 0), self._heard.keys()
