"""Follows one daemon: asks its control API, keeps what it said, and goes on when it is gone.

The event stream is a long poll; whatever it brings is a reason to look at the status again. A page
that wants more (peers, models) says so as long as it is open, and nothing is asked for nobody.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from gossipd.control.client import Client
from gossipd.errors import OperatorError
from gossipd_dashboard.history import KEPT, Curves, Events

T = TypeVar("T")
Document = dict[str, Any]

WAIT_SECONDS = 25.0
"""A long poll's: below the 30 s after which some networks forget a connection; ours."""
RETRY_SECONDS = 1.0
"""Between two tries to reach a daemon that is gone: a person watches for its return."""
LOOK_SECONDS = 0.5
EVENT_SECONDS = 0.25
"""The least time between two looks, and between two polls, with a page open on one daemon. Ours: an
event is on the page within a second of its happening, which benchmarks/dashboard.py measures."""
QUIET_SECONDS = 5.0
"""Between two looks when nothing happens, or nobody watches."""
QUESTIONS: Mapping[str, Callable[[Client], Any]] = {
    "peers": Client.peers,
    "members": Client.members,
    "models": Client.models,
    "peer_ranks": lambda client: client.rank("peers", limit=1000),
}
"""What a page can want besides the status."""
WANTED_SECONDS = 4.0
"""A page renews its wishes more often than that."""


class Feed:
    """One daemon as it is seen from here."""

    def __init__(self, name: str, client: Client, *, share: int = 1) -> None:
        """`share`: of how many daemons this is one; with more, less is asked and kept of each."""
        self.name = name
        self.client = client
        self.status: Document | None = None
        """The last that it said; stays when it is gone."""
        self.problem: OperatorError | None = None
        """Why it does not answer; None: it does."""
        self.answers: dict[str, Any] = {}
        """What pages have asked for, as in `QUESTIONS`."""
        self.events = Events(max(KEPT // share, 1))
        self.curves = Curves(max(KEPT // share, 1))
        self.version = 0
        """Changes whenever anything here does."""
        self.seen_at = 0.0
        """When the last status came, in Unix seconds."""
        self._watched_until = 0.0
        self._wishes: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        # 20 daemons and two polls a second would be a daemon's one percent: slower with more.
        self._look_seconds = max(LOOK_SECONDS, 0.1 * share)
        self._event_seconds = max(EVENT_SECONDS, 0.025 * share)
        self._threads = ThreadPoolExecutor(3, thread_name_prefix=f"feed-{name}")

    @property
    def live(self) -> bool:
        """Whether the daemon answers."""
        return self.status is not None and self.problem is None

    async def run(self) -> None:
        """Follow it until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._look())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def want(self, *questions: str) -> None:
        """A page is open; and it shows these of `QUESTIONS`."""
        now = time.monotonic()
        if any(self._wishes.get(question, 0.0) < now for question in questions):
            self._wake.set()
        self._opened.set()
        self._watched_until = now + WANTED_SECONDS
        self._wishes.update(dict.fromkeys(questions, now + WANTED_SECONDS))

    async def ask(self, question: Callable[[Client], T]) -> T:
        """Have the daemon do or tell something now. Raises what the client does."""
        answer = await self._call(lambda: question(self.client))
        self._wake.set()
        return answer

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # --- events ----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        since, run = 0, ""
        while True:
            try:
                batch = await self._call(
                    lambda since=since, run=run: self.client.events(  # type: ignore[misc]
                        since, run=run, wait=WAIT_SECONDS if run else 0.0
                    )
                )
            except OperatorError as problem:
                self._gone(problem)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if run == batch["run"]:
                self.events.missed += batch["missed"]
            since, run = batch["next"], batch["run"]
            if batch["events"]:
                self.events.add(batch["events"])
                self.version += 1
                self._wake.set()
            await asyncio.sleep(self._event_seconds)
            await self._unwatched()

    # --- everything else -------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            self._wake.clear()
            try:
                status = await self._call(self.client.status)
                for question in self._wished():
                    self.answers[question] = await self._call(
                        partial(QUESTIONS[question], self.client)
                    )
            except OperatorError as problem:
                self._gone(problem)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.status, self.problem, self.seen_at = status, None, time.time()
            self.curves.add(self.seen_at, status)
            self.version += 1
            await asyncio.sleep(self._look_seconds)
            await self._unwatched()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), QUIET_SECONDS)

    async def _unwatched(self) -> None:
        """A longer pause while no page is open: until one is, at most."""
        if time.monotonic() >= self._watched_until:
            self._opened.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), QUIET_SECONDS)

    def _wished(self) -> list[str]:
        now = time.monotonic()
        return [question for question, until in self._wishes.items() if until > now]

    def _gone(self, problem: OperatorError) -> None:
        if self.problem is None or self.problem.code != problem.code:
            self.problem = problem
            self.version += 1
