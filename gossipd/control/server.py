"""Serving the API on the unix socket, for as long as a `with` block lasts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import uvicorn

from gossipd.control import unix_socket
from gossipd.control.api import Api
from gossipd.control.events import EventLog
from gossipd.control.logs import LogRing, get_logger
from gossipd.control.operator import Operator

CONNECTIONS = 128
"""Requests at once; more are answered 503 without being read. Ours: a screenful of long polls."""
HEADER_BYTES = 16 * 1024
STOP_SECONDS = 5.0

log = get_logger("control")


@contextlib.asynccontextmanager
async def serve(
    operator: Operator,
    events: EventLog,
    records: LogRing,
    path: Path,
    *,
    stop_timeout: float = STOP_SECONDS,
) -> AsyncIterator[Api]:
    """Answer on `path` until the block ends.

    Clients can connect once the block is entered. At its end long polls return at once, requests
    under way have `stop_timeout` seconds, and the socket file is gone. The caller holds the lock of
    the state directory. Raises OperatorError "already-running", "not-a-socket".
    """
    listener = unix_socket.listen(path)
    api = Api(operator, events, records)
    server = _Server(
        uvicorn.Config(
            api.app(),
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=unix_socket.BACKLOG,
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=max(1, round(stop_timeout)),
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]), name="control-api")
    try:
        yield api
    finally:
        server.stop()
        events.close()
        path.unlink(missing_ok=True)
        try:
            # uvicorn has its own deadline; this one holds even if it does not keep it.
            await asyncio.wait_for(running, stop_timeout + 2.0)
        except TimeoutError:
            log.warning("api-stop-timeout", seconds=stop_timeout + 2.0)
        finally:
            listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its hands on the signals: the daemon decides what stops it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Upstream wakes up ten times a second to renew a date that is not sent here, and to look
        whether it shall stop: of an idle daemon's work that was most."""
        await self.on_tick(0)
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
