"""The operator as HTTP: routes, validation of what comes in, one form for every answer.

Every answer but /metrics is {schema_version, status: "ok", data} or {schema_version, status:
"error", error: {code, message, hint, exit_code}}, the latter with the HTTP status that belongs to
its exit code.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gossipd.control.events import EventLog
from gossipd.control.logs import LogRing, get_logger, levels, set_level
from gossipd.control.metrics import Metrics
from gossipd.control.operator import Operator
from gossipd.control.requests import (
    Accept,
    AddPeer,
    Choice,
    EventQuery,
    Export,
    ExportBundle,
    ImportBundle,
    Invite,
    Issue,
    LogLevel,
    LogQuery,
    OneModel,
    Overlay,
    RankQuery,
    Search,
    Use,
)
from gossipd.errors import ExitCode, OperatorError

SCHEMA_VERSION = 1
BODY_BYTES = 64 * 1024
"""Longest request body: an address, a path, or the peer ids of an overlay."""
BODY_SECONDS = 10.0

HTTP_STATUS = {
    ExitCode.FAILURE: 422,
    ExitCode.USAGE: 400,
    ExitCode.NOT_RUNNING: 503,
    ExitCode.DEGRADED: 503,
    ExitCode.CONFIG: 400,
    ExitCode.IDENTITY: 403,
    ExitCode.ALREADY_RUNNING: 409,
    ExitCode.TIMEOUT: 504,
    ExitCode.TEMPORARY: 503,
}

log = get_logger("control")

Endpoint = Callable[[Request], Awaitable[Any]]
T = TypeVar("T", bound=msgspec.Struct)


class Api:
    """The endpoints of one daemon. Each method answers one route with plain JSON data."""

    def __init__(self, operator: Operator, events: EventLog, records: LogRing) -> None:
        self._operator = operator
        self._events = events
        self._records = records
        self._metrics = Metrics(operator)

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """(method, path, endpoint) of every route. docs/api.json is written from here: an endpoint
        says what it does, or the operator's method that it calls, or both; a query or a body is the
        struct that it reads."""
        return [
            ("GET", "/v1/status", self.status),
            ("GET", "/v1/inside", self.inside),
            ("GET", "/v1/peers", self.peers),
            ("POST", "/v1/peers", self.add_peer),
            ("DELETE", "/v1/peers/{peer}", self.remove_peer),
            ("POST", "/v1/peers/{peer}/block", self.block_peer),
            ("DELETE", "/v1/peers/{peer}/block", self.unblock_peer),
            ("PUT", "/v1/overlay", self.restrict),
            ("GET", "/v1/members", self.members),
            ("POST", "/v1/members", self.issue),
            ("DELETE", "/v1/members/{peer}", self.revoke),
            ("POST", "/v1/membership", self.accept),
            ("GET", "/v1/rank", self.rank),
            ("POST", "/v1/rank", self.choose),
            ("GET", "/v1/invitations", self.invitations),
            ("POST", "/v1/invitations", self.invite),
            ("DELETE", "/v1/invitations/{invitation}", self.withdraw),
            ("GET", "/v1/models", self.models),
            ("GET", "/v1/models/show", self.show_model),
            ("GET", "/v1/models/search", self.search_models),
            ("POST", "/v1/models/use", self.use_model),
            ("POST", "/v1/models/rollback", self.roll_back),
            ("POST", "/v1/models/pins", self.pin_model),
            ("DELETE", "/v1/models/pins", self.unpin_model),
            ("POST", "/v1/models/export", self.export),
            ("POST", "/v1/bundle/export", self.export_bundle),
            ("POST", "/v1/bundle/import", self.import_bundle),
            ("POST", "/v1/eval", self.evaluate),
            ("GET", "/v1/id", self.identity),
            ("POST", "/v1/train/pause", self.pause),
            ("POST", "/v1/train/resume", self.resume),
            ("POST", "/v1/stop", self.stop),
            ("POST", "/v1/reload", self.reload),
            ("GET", "/v1/logs", self.logs),
            ("GET", "/v1/logs/levels", self.log_levels),
            ("PUT", "/v1/logs/levels", self.set_log_level),
            ("GET", "/events", self.events),
            ("GET", "/health", self.health),
            ("GET", "/metrics", self.metrics),
        ]

    def app(self) -> Starlette:
        """The ASGI application."""
        table = self.table()
        # One route per path: two would answer each other's method with 404 instead of 405.
        by_path: dict[str, dict[str, Endpoint]] = {}
        for method, path, endpoint in table:
            by_path.setdefault(path, {})[method] = endpoint
        routes = [
            Route(path, self._door(endpoints), methods=list(endpoints))
            for path, endpoints in by_path.items()
        ]
        known = " · ".join(f"{method} {path}" for method, path, _ in table)
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: partial(_no_such_route, known)},
        )

    async def status(self, request: Request) -> Any:
        return self._operator.status()

    async def inside(self, request: Request) -> Any:
        return self._operator.inside()

    async def peers(self, request: Request) -> Any:
        return self._operator.peers()

    async def add_peer(self, request: Request) -> Any:
        asked = await _body(request, AddPeer)
        return await self._operator.add_peer(asked.address)

    async def remove_peer(self, request: Request) -> Any:
        return await self._operator.remove_peer(request.path_params["peer"])

    async def block_peer(self, request: Request) -> Any:
        return self._operator.block_peer(request.path_params["peer"])

    async def unblock_peer(self, request: Request) -> Any:
        return self._operator.unblock_peer(request.path_params["peer"])

    async def restrict(self, request: Request) -> Any:
        asked = await _body(request, Overlay)
        return self._operator.restrict(asked.allow)

    async def members(self, request: Request) -> Any:
        return self._operator.members()

    async def issue(self, request: Request) -> Any:
        asked = await _body(request, Issue)
        return self._operator.issue_membership(asked.peer, asked.name, asked.days)

    async def revoke(self, request: Request) -> Any:
        return self._operator.revoke_member(request.path_params["peer"])

    async def invitations(self, request: Request) -> Any:
        return self._operator.invitations()

    async def invite(self, request: Request) -> Any:
        asked = await _body(request, Invite)
        return self._operator.invite(asked.name, asked.days, asked.uses)

    async def withdraw(self, request: Request) -> Any:
        return self._operator.withdraw_invitation(request.path_params["invitation"])

    async def accept(self, request: Request) -> Any:
        asked = await _body(request, Accept)
        return self._operator.accept_membership(asked.membership)

    async def rank(self, request: Request) -> Any:
        asked = _query(request, RankQuery)
        return self._operator.rank(asked.kind, asked.query, asked.limit)

    async def choose(self, request: Request) -> Any:
        choice = await _body(request, Choice)
        return self._operator.choose(choice.model, choice.query)

    async def models(self, request: Request) -> Any:
        """The models kept here."""
        return self._operator.models()

    async def show_model(self, request: Request) -> Any:
        return self._operator.show_model(_query(request, OneModel).model)

    async def search_models(self, request: Request) -> Any:
        asked = _query(request, Search)
        return self._operator.search_models(asked.query, asked.limit)

    async def use_model(self, request: Request) -> Any:
        return await self._operator.use_model((await _body(request, Use)).model)

    async def roll_back(self, request: Request) -> Any:
        return await self._operator.roll_back()

    async def pin_model(self, request: Request) -> Any:
        return await self._operator.pin_model((await _body(request, OneModel)).model)

    async def unpin_model(self, request: Request) -> Any:
        return self._operator.unpin_model(_query(request, OneModel).model)

    async def export(self, request: Request) -> Any:
        asked = await _body(request, Export)
        return await self._operator.export(asked.model, asked.path)

    async def export_bundle(self, request: Request) -> Any:
        asked = await _body(request, ExportBundle)
        return await self._operator.export_bundle(asked.path, asked.everything, asked.force)

    async def import_bundle(self, request: Request) -> Any:
        asked = await _body(request, ImportBundle)
        return await self._operator.import_bundle(asked.path)

    async def evaluate(self, request: Request) -> Any:
        return await self._operator.evaluate()

    async def identity(self, request: Request) -> Any:
        return self._operator.identity()

    async def pause(self, request: Request) -> Any:
        return self._operator.pause()

    async def resume(self, request: Request) -> Any:
        return self._operator.resume()

    async def stop(self, request: Request) -> Any:
        return self._operator.stop()

    async def reload(self, request: Request) -> Any:
        return self._operator.reload()

    async def log_levels(self, request: Request) -> Any:
        """From which level on each room's records are kept: {room: level}."""
        return levels()

    async def set_log_level(self, request: Request) -> Any:
        """Keep a room's records from another level on, until the next start. Answers {room: level}
        of all."""
        asked = await _body(request, LogLevel)
        if asked.room == "all" and asked.level == "default":
            raise OperatorError(
                "bad-request",
                "all has no default to go back to",
                "give debug, info, warning or error",
                ExitCode.USAGE,
            )
        set_level(asked.room, asked.level)
        return levels()

    async def logs(self, request: Request) -> Any:
        """Records of the log: {run, records: [{seq, time, level, room, event, fields}], next,
        missed}. `next` is the `since` of the next question, `missed` how many are gone already."""
        asked = _query(request, LogQuery)
        since = asked.since if asked.run in ("", self._records.run) else 0
        batch = self._records.since(
            since, asked.limit, level=asked.level, newest=asked.newest, room=asked.room
        )
        return {
            "run": self._records.run,
            "records": batch.rows,
            "next": batch.next,
            "missed": batch.missed,
        }

    async def events(self, request: Request) -> Any:
        """What happened after `since`, waiting up to `wait` seconds for something: {run, events:
        [{seq, time, kind, ...}], next, missed}. docs/events.md has the kinds; `run` changes with
        each start, and a cursor of another run begins anew."""
        asked = _query(request, EventQuery)
        since = asked.since if asked.run in ("", self._events.run) else 0
        if asked.wait:
            await self._events.wait(since, asked.wait)
        batch = self._events.since(since, asked.limit, newest=asked.newest)
        return {
            "run": self._events.run,
            "events": batch.rows,
            "next": batch.next,
            "missed": batch.missed,
        }

    async def health(self, request: Request) -> Any:
        """Current warnings: {healthy, health: [{code, severity, text, fix}]}. Answers 503 while one
        of them is more than `info`. docs/warnings.md has the codes."""
        warnings = self._operator.health()
        healthy = all(row["severity"] == "info" for row in warnings)
        data = {"healthy": healthy, "health": warnings}
        return _ok(data, status=200 if healthy else 503)

    async def metrics(self, request: Request) -> Any:
        """All metrics in the Prometheus text format. docs/metrics.md has their names."""
        return Response(
            self._metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    def _door(self, endpoints: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
        """The outer door: whatever happens inside becomes an answer in the one form."""

        async def answer(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            try:
                data = await endpoints[method](request)
                return data if isinstance(data, Response) else _ok(data)
            except OperatorError as error:
                return _failed(error)
            except Exception as error:
                self._metrics.unexpected_errors.inc()
                log.exception("request-failed", method=method, path=request.url.path)
                return _failed(
                    OperatorError(
                        "internal",
                        f"{type(error).__name__}: {error}",
                        "`gossipd logs` shows where; please report it",
                        ExitCode.FAILURE,
                    ),
                    status=500,
                )

        return answer


def _ok(data: Any, status: int = 200) -> Response:
    return _json({"schema_version": SCHEMA_VERSION, "status": "ok", "data": data}, status)


def _failed(error: OperatorError, status: int | None = None) -> Response:
    document = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    response = _json(
        {"schema_version": SCHEMA_VERSION, "status": "error", "error": document},
        status or HTTP_STATUS.get(error.exit_code, 500),
    )
    # A body that was refused may still be under way; nobody waits for the rest of it.
    response.headers["Connection"] = "close"
    return response


def _json(document: dict[str, Any], status: int) -> Response:
    # msgspec writes a NaN as null, which is what a reader of JSON can take.
    return Response(msgspec.json.encode(document), status, media_type="application/json")


async def _no_such_route(known: str, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    problem = OperatorError("no-such-route", f"there is no {asked}", known, ExitCode.USAGE)
    response = _failed(problem, status=error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _body(request: Request, kind: type[T]) -> T:
    """The request's body, read no further than BODY_BYTES, as a validated struct."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise OperatorError(
                        "body-too-large",
                        f"a body has at most {BODY_BYTES} bytes",
                        _takes(kind),
                        ExitCode.USAGE,
                    )
    except TimeoutError:
        raise OperatorError(
            "timeout", "the request's body did not arrive", "send it at once", ExitCode.TIMEOUT
        ) from None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise _misfit("body", kind, error) from None


def _query(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _misfit("query", kind, error) from None


def _misfit(what: str, kind: type[msgspec.Struct], error: Exception) -> OperatorError:
    message = f"the {what} does not fit: {error}"
    return OperatorError("bad-request", message, _takes(kind), ExitCode.USAGE)


def _takes(kind: type[msgspec.Struct]) -> str:
    return f"{kind.__doc__} takes {', '.join(kind.__struct_fields__)}"
