"""Runs a planned scenario on a backend: time passes, operations happen, everybody is looked at.

    history = backend.drive(Engine(plan, backend, screen).run())

What every run ends with: everything that is still broken is healed, and looked at once more.
"""

import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from gossipd_scenarios import schema
from gossipd_scenarios.backend import Backend
from gossipd_scenarios.history import History, Snapshot
from gossipd_scenarios.plan import Plan
from gossipd_scenarios.stage import Stage

Action = Callable[[], Awaitable[None]]


class Watcher(Protocol):
    """Who wants to see how it goes."""

    def looked(self, history: History, now: float) -> None:
        """Called at the beginning, and after each operation and each look at all nodes."""
        ...


class Engine:
    """One run."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        watcher: Watcher,
        *,
        timeline: Sequence[schema.Operation] | None = None,
    ) -> None:
        """`timeline`: another one than the scenario's."""
        self._plan = plan
        self._scenario = plan.scenario
        self._backend = backend
        self._watcher = watcher
        self._timeline = self._scenario.timeline if timeline is None else timeline
        self._history = History(plan.cast, backend.name)
        self._stage = Stage(plan, backend, self._history, self._schedule)
        self._agenda: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._zero = 0.0
        """When all had started, on the backend's clock."""
        self._fresh = False
        """Nothing has happened and no time has passed since the last look."""

    async def run(self) -> History:
        """The history, complete. Nothing of the backend is left when this returns or raises."""
        async with self._backend:
            await self._begin()
            await self._go_on(self._scenario.seconds)
            if self._stage.broken():
                await self._look()
                self._stage.time = self._now()
                await self._stage.mend()
            await self._go_on(self._scenario.seconds + self._scenario.settle)
            await self._finish()
        return self._history

    async def _begin(self) -> None:
        """What the timeline does to the network at 0 is so from the beginning."""
        await self._backend.add(self._plan.nodes)
        early = (schema.Partition, schema.LinkQuality)
        self._history.marks["start"] = 0.0
        for number, step in enumerate(self._timeline):
            if step.at == 0 and isinstance(step, early):
                await self._do(step, number)
            else:
                self._schedule(step.at, partial(self._marked, step, number))
        self._watcher.looked(self._history, 0.0)
        began = self._backend.now
        await self._stage.begin()
        self._zero = self._backend.now
        self._history.start_seconds = self._zero - began

    async def _go_on(self, end: float) -> None:
        """Let time pass until `end`, doing what is due and looking at all now and then."""
        every = self._scenario.read_every
        next_look = (self._now() // every + 1) * every
        while True:
            due = self._agenda[0][0] if self._agenda else end
            moment = min(due, next_look, end)
            if moment > self._now():
                self._fresh = False
                await self._backend.sleep_until(self._zero + moment)
            if moment == next_look:
                await self._look()
                next_look = (max(self._now(), next_look) // every + 1) * every
            if self._agenda and self._agenda[0][0] <= moment:
                await self._act()
            elif moment >= end:
                return

    async def _act(self) -> None:
        _, _, action = heapq.heappop(self._agenda)
        self._stage.time = self._now()
        await action()
        self._fresh = False
        self._watcher.looked(self._history, self._now())

    async def _marked(self, step: schema.Operation, number: int) -> None:
        """An operation, after a look at how everybody stands before it."""
        if step.mark or isinstance(step, schema.Heal):
            await self._look()
        self._stage.time = self._now()
        await self._do(step, number)

    async def _do(self, step: schema.Operation, number: int) -> None:
        if step.mark:
            self._history.marks[step.mark] = self._stage.time
        await self._stage.do(step, f"timeline/{number}")

    def _schedule(self, when: float, action: Action) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), action))

    def _now(self) -> float:
        return self._backend.now - self._zero

    # --- looking ---------------------------------------------------------------------------------

    async def _look(self) -> None:
        if self._fresh:
            return
        self._fresh = True
        running = self._backend.running()
        names = [name for name in self._plan.cast.names if name in running]
        readings = {
            reading.node: replace(reading, at=reading.at - self._zero)
            for reading in await self._backend.read(names)
        }
        self._history.snapshots.append(Snapshot(self._now(), readings, running))
        await self._hear()
        self._watcher.looked(self._history, self._now())

    async def _hear(self) -> None:
        for event in await self._backend.events():
            self._history.events.append(replace(event, at=event.at - self._zero))

    async def _finish(self) -> None:
        await self._look()
        history = self._history
        history.seconds = self._now()
        history.marks["end"] = history.seconds
        history.marks.setdefault("heal", min(self._scenario.seconds, history.seconds))
        history.holdings = await self._backend.holdings()
        history.faults = [
            replace(fault, at=fault.at - self._zero) for fault in self._backend.faults()
        ]
        history.log_hash = self._backend.log_hash
