"""What is under way in the runtime: every ticket ends in exactly one event, or is forgotten."""

from collections.abc import Callable

from gossipd.protocol.events import Output
from gossipd.protocol.round_events import (
    Adopted,
    Blended,
    RoundAggregated,
    RoundOutput,
    RoundTrained,
    RoundWorkFailed,
    SampleSealed,
)

Ended = Adopted | Blended | RoundAggregated | RoundTrained | RoundWorkFailed | SampleSealed
Then = Callable[[Ended, float, list[Output]], None]


class Work:
    """Issues tickets and remembers who waits for each."""

    def __init__(self) -> None:
        self._next = 1
        self._open: dict[int, Then] = {}

    def start(self, make: Callable[[int], RoundOutput], then: Then, out: list[Output]) -> None:
        ticket = self._next
        self._next += 1
        self._open[ticket] = then
        out.append(make(ticket))

    def ended(self, event: Ended, now: float, out: list[Output]) -> None:
        then = self._open.pop(event.ticket, None)
        if then is not None:
            then(event, now, out)
