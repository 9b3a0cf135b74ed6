"""A node's two clocks. Both may be wrong: nothing in a swarm may depend on two of them agreeing."""

from gossipd.simulation.loop import Process, VirtualLoop

EPOCH = 1_700_000_000.0
"""What a right wall clock shows when a simulation begins, in Unix seconds: any date will do."""


class SimClock:
    """Implements `gossipd.runtime.ports.Clock` for one life of a node.

    `now` is its process's monotonic clock, by which its timers run too. `wall` is off by `offset`
    seconds and runs right otherwise.
    """

    def __init__(self, loop: VirtualLoop, process: Process, offset: float = 0.0) -> None:
        self._loop = loop
        self._process = process
        self.offset = offset
        """May be changed at any time, as a clock is set."""

    def now(self) -> float:
        return self._process.time()

    def wall(self) -> float:
        return EPOCH + self._loop.now + self.offset
