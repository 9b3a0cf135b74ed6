"""One life of the network: a thread, the trio run in it, and the host in that."""

import asyncio
import logging
import threading

import trio

from gossipd.network.assembly import Settings
from gossipd.network.bridge import Bridge
from gossipd.network.host import Host
from gossipd.network.interface import Handlers, NetworkError

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""For the thread to end after it was told to; its sockets are closed in the first. Ours."""


class Life:
    """Begins once, ends once; a failure is followed by another life."""

    def __init__(self, settings: Settings, handlers: Handlers) -> None:
        loop = asyncio.get_running_loop()
        self.bridge = Bridge(loop)
        self.host = Host(settings, self.bridge, handlers)
        self._listening: asyncio.Future[int] = loop.create_future()
        self._ended: asyncio.Future[str] = loop.create_future()
        self._thread = threading.Thread(target=self._main, name="gossipd-network", daemon=True)

    async def begin(self) -> int:
        """Start the thread; the port it listens on. Raises what prevented it."""
        self._thread.start()
        await asyncio.wait([self._listening])
        return self._listening.result()

    async def ended(self) -> str:
        """Wait for the thread's end: why it ended."""
        return await asyncio.shield(self._ended)

    async def end(self) -> None:
        """Stop the host and its thread."""
        await asyncio.wait([self._listening], timeout=STOP_SECONDS)
        self.bridge.tell(self.host.stop, missing_ok=True)
        await asyncio.wait([self._ended], timeout=STOP_SECONDS)
        self.bridge.down()
        if self._ended.done():
            self._thread.join()
        else:
            log.error("the network thread does not stop, it is left behind")

    def _main(self) -> None:
        failure: BaseException | None = None
        try:
            trio.run(self.bridge.run, self._host_main)
        except BaseException as error:  # noqa: BLE001 - the thread's outer door
            failure = error
        self.bridge.post(self._finish, failure)

    async def _host_main(self) -> None:
        await self.host.run(lambda port: self.bridge.post(self._listening.set_result, port))

    def _finish(self, failure: BaseException | None) -> None:
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if failure is not None and not isinstance(failure, NetworkError):
            log.error("the network thread failed", exc_info=failure)
        if not self._listening.done():
            known = isinstance(failure, NetworkError)
            self._listening.set_exception(
                failure if known and failure else NetworkError("cannot-start", repr(failure))
            )
        self.bridge.down()
        self._ended.set_result(repr(failure) if failure else "it stopped by itself")
