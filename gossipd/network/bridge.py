"""Calls between the asyncio loop and the trio thread, both ways, each with a way to be cancelled.

libp2p runs on trio, the daemon on asyncio. Nothing else of this package touches both.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import trio

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

CANCEL_SECONDS = 2.0
"""How long a cancelled caller waits for the trio side to let go of its arguments. Ours."""


class BridgeDown(Exception):
    """The trio side is not running (any more)."""


class Bridge:
    """One trio run and the asyncio loop that started it.

    `call`, `tell` and `down` belong to the asyncio thread; `run`, `post` and `ask` to the trio one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._waiting: set[asyncio.Future[Any]] = set()

    # --- asyncio -> trio ------------------------------------------------------------------------

    async def call(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a trio coroutine function; BridgeDown when the trio run ends first.

        Cancelling the caller cancels the trio task and waits for it, so that a buffer lent to it
        is free again.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        scope = trio.CancelScope()

        async def task() -> None:
            with scope:
                try:
                    result = await function(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - handed to the caller
                    self.post(_settle_error, future, error)
                else:
                    self.post(_settle, future, result)
                return
            self.post(future.cancel)

        def spawn() -> None:
            if self._nursery is None:
                self.post(_settle_error, future, BridgeDown())
            else:
                self._nursery.start_soon(task, name=function)

        self._waiting.add(future)
        try:
            self.tell(spawn)
            await asyncio.wait([future])
        except asyncio.CancelledError:
            future.add_done_callback(_look_away)
            self.tell(scope.cancel, missing_ok=True)
            await asyncio.wait([future], timeout=CANCEL_SECONDS)
            raise
        finally:
            self._waiting.discard(future)
        return future.result()

    def tell(self, function: Callable[[], object], *, missing_ok: bool = False) -> None:
        """Run a plain function in the trio thread, soon."""
        try:
            if self._token is None:
                raise BridgeDown
            self._token.run_sync_soon(function)
        except (trio.RunFinishedError, BridgeDown):
            if not missing_ok:
                raise BridgeDown from None

    def down(self) -> None:
        """The trio run has ended: nobody waits for it any longer."""
        for future in tuple(self._waiting):
            _settle_error(future, BridgeDown())

    # --- trio -> asyncio ------------------------------------------------------------------------

    async def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Serve calls while `main` runs."""
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as self._nursery:
                await main()
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Call a plain function on the loop, soon, in the order of the posts."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            log.debug("the loop is closed, %r is not called", function)

    async def ask(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await an asyncio coroutine function; cancelling cancels its task."""
        done = trio.Event()
        outcome: list[asyncio.Task[T]] = []
        token = trio.lowlevel.current_trio_token()

        async def body() -> T:
            return await function(*args)

        def finish(task: asyncio.Task[T]) -> None:
            try:
                token.run_sync_soon(done.set)
            except trio.RunFinishedError:
                if not task.cancelled():
                    task.exception()  # seen: nobody will fetch it

        def start() -> None:
            task = self._loop.create_task(body())
            outcome.append(task)
            task.add_done_callback(finish)

        def cancel() -> None:
            for task in outcome:
                task.cancel()

        self.post(start)
        try:
            await done.wait()
        except trio.Cancelled:
            self.post(cancel)
            raise
        if outcome[0].cancelled():
            raise BridgeDown
        return outcome[0].result()


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _settle_error(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _look_away(future: asyncio.Future[Any]) -> None:
    """Nobody is left to be told of its exception."""
    if not future.cancelled():
        future.exception()
