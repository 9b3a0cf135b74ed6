"""Serving the page, from the command's start to Ctrl-C.

    serve(Fleet({"this": socket}), Listen(), opened=print)

On loopback unless another address is given, over plain HTTP: from another machine the link is as
secret as the network in between.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from nicegui import ui

from gossipd.errors import ExitCode, OperatorError
from gossipd_dashboard.fleet import Fleet
from gossipd_dashboard.frame import build
from gossipd_dashboard.guard import ENTRANCE, Application, Guard, Message, Receive, Scope, Send

THEME = Path(__file__).with_name("theme.css")
STOP_SECONDS = 2
"""Open pages are not waited for longer: they show by themselves that the dashboard is gone."""
RECONNECT_SECONDS = 30.0
"""As long a tab that slept may take to come back to its page without loading it again."""
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the page is, and by which names it may be called."""

    host: str = "127.0.0.1"
    """An address of this machine."""
    port: int = 0
    """0: one that is free."""
    names: Sequence[str] = ()
    """Names and addresses besides, without port."""


def serve(fleet: Fleet, listen: Listen, opened: Callable[[str], None]) -> None:
    """Serve until interrupted; `opened` is told the link once the page can be opened.

    Raises OperatorError "port-in-use", "bad-host".
    """
    listener = _listen(listen)
    port: int = listener.getsockname()[1]
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    # With an address for all of the machine's, the names must be said one by one.
    hosts = [*LOCAL_NAMES, *([] if _is_any(listen.host) else [host]), *listen.names]
    guard = Guard(_forgiving(_application(fleet)), hosts, port)
    shown = listen.names[0] if listen.names else ("127.0.0.1" if _is_any(listen.host) else host)
    server = _Server(
        uvicorn.Config(
            guard,
            http="h11",
            log_config=None,
            access_log=False,  # its lines would have the token in them
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="on",
        ),
        lambda: opened(f"http://{shown}:{port}{ENTRANCE}?token={guard.token}"),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Says when it can be reached."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _application(fleet: Fleet) -> FastAPI:
    @contextlib.asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(fleet.follow(), name="feeds")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    app = FastAPI(openapi_url=None, lifespan=following)

    @app.get("/theme.css")
    def theme() -> FileResponse:
        return FileResponse(THEME, media_type="text/css", headers={"cache-control": "no-cache"})

    ui.run_with(
        app,
        root=partial(build, fleet),
        title="gossipd",
        favicon=Path(__file__).with_name("icon.svg"),
        dark=None,
        tailwind=False,
        language="en-US",
        reconnect_timeout=RECONNECT_SECONDS,
        gzip_middleware_factory=None,  # over loopback it costs more than it saves
        show_welcome_message=False,
    )
    return app


def _forgiving(app: Application) -> Application:
    """A browser that leaves in the midst of an answer is no fault: NiceGUI's middleware (it is
    Starlette's BaseHTTPMiddleware) raises then, and uvicorn would print all of it."""

    async def forgiving(scope: Scope, receive: Receive, send: Send) -> None:
        gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await app(scope, receiving, send)
        except RuntimeError:
            if not gone:
                raise

    return forgiving


def _listen(listen: Listen) -> socket.socket:
    try:
        address = ipaddress.ip_address(listen.host)
    except ValueError:
        raise OperatorError(
            "bad-host",
            f"{listen.host} is no address",
            "give an address of this machine, as 192.168.1.5; a name goes with --name",
            ExitCode.USAGE,
        ) from None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen.host, listen.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OperatorError(
            "port-in-use",
            f"cannot listen on {listen.host} port {listen.port}: {error.strerror}",
            "choose another --port, or 0 for one that is free; --host must be this machine's",
        ) from None
    return listener


def _is_any(host: str) -> bool:
    return ipaddress.ip_address(host).is_unspecified
