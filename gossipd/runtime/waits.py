"""Whom is this daemon waiting for? Every wait on somebody else has a deadline and stands here."""

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from gossipd.runtime.ports import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wait:
    what: str
    whom: str
    since: float
    deadline: float


class Waits:
    """The waits that are open now; `expired` counts those that ran into their deadline."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = itertools.count()
        self._open: dict[int, Wait] = {}
        self.expired: dict[str, int] = {}

    async def until(self, what: str, whom: str, seconds: float, work: Awaitable[T]) -> T:
        """`work`'s result; TimeoutError after `seconds`."""
        now = self._clock.now()
        number = next(self._ids)
        self._open[number] = Wait(what, whom, now, now + seconds)
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            self.expired[what] = self.expired.get(what, 0) + 1
            raise
        finally:
            del self._open[number]

    def open(self) -> list[Wait]:
        return list(self._open.values())
