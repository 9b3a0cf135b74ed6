"""Who may see the page: nobody without the token, no other origin, no other name for this machine.

The printed link carries a token, which is exchanged for a cookie once. Every request is looked at
before anything of the application runs, be it for a page, a picture or a websocket:

- `Host` must be a name that this dashboard goes by, so that a foreign name which somebody points at
  127.0.0.1 (DNS rebinding) gets nothing;
- `Origin`, where a browser sends it, must be this very page's, so that another site's script can
  neither post nor open a websocket here; a websocket without one is no browser's and is refused;
- `Sec-Fetch-Site` must not say that another site asks, unless a person follows a link;
- the cookie must be the one that the token was exchanged for.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ENTRANCE = "/enter"
TOKEN_BYTES = 32
POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

# 'unsafe-inline' and 'unsafe-eval': NiceGUI's own start script, and Vue's templates. What the
# policy is for here: nothing is loaded from, sent to or shown inside another origin.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)

CLOSED = (
    "This page needs its link. In the terminal, `gossipd dashboard` prints it: open that link, "
    "with everything that follows the question mark. It is a new one with each start."
)


class Guard:
    """An ASGI application in front of another."""

    def __init__(self, app: Application, hosts: Sequence[str], port: int) -> None:
        """`hosts`: the names and addresses by which a browser may call this dashboard, without
        port; an IPv6 address in brackets."""
        self.app = app
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        """For the link."""
        self._pass = secrets.token_urlsafe(TOKEN_BYTES)
        """For the cookie: whoever reads one of them over a shoulder has not got the other."""
        # Cookies know no ports: two dashboards on one machine keep theirs apart by name.
        self.cookie = f"gossipd-dashboard-{port}"
        self._hosts = frozenset(f"{host.lower()}:{port}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        refused = self._foreign(scope, headers)
        if refused is not None:
            await _refuse(scope, receive, send, HTTPStatus.FORBIDDEN, refused)
        elif scope["type"] == "http" and scope["path"] == ENTRANCE:
            await self._enter(scope, receive, send)
        elif not self._knows(headers):
            await _refuse(scope, receive, send, HTTPStatus.UNAUTHORIZED, CLOSED)
        else:
            await self.app(scope, receive, _with_headers(send))

    def _foreign(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        """Why this does not come from this page; None: nothing is against it."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return "This dashboard goes by another name: see --name in `gossipd dashboard --help`."
        origin = headers.get(b"origin")
        if origin is None and scope["type"] == "websocket":
            return "A websocket without an origin is refused."
        if origin is not None and origin.decode("latin-1").lower() != f"http://{host}":
            return "Another site has asked for this: refused."
        followed = headers.get(b"sec-fetch-mode") == b"navigate" and scope.get("method") == "GET"
        asked_by = headers.get(b"sec-fetch-site", b"none")
        if asked_by not in (b"none", b"same-origin") and not followed:
            return "Another site has asked for this: refused."
        return None

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        shown = cookies.get(self.cookie)
        return shown is not None and _same(shown.value, self._pass)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token for a cookie, and on to the page.

        Not by a redirection: a link that is followed from elsewhere would go through it without the
        new cookie, since that is `SameSite=Strict`.
        """
        asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=4)
        if not _same(asked.get("token", [""])[0], self.token):
            await _refuse(scope, receive, send, HTTPStatus.UNAUTHORIZED, CLOSED)
            return
        cookie = f"{self.cookie}={self._pass}; Path=/; HttpOnly; SameSite=Strict"
        content = '<meta http-equiv="refresh" content="0;url=/"><title>gossipd</title>'
        await _answer(send, HTTPStatus.OK, content, [(b"set-cookie", cookie.encode())])


def _same(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode(), expected.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, status: HTTPStatus, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    else:
        page = f'<meta name="viewport" content="width=device-width"><title>gossipd</title><p>{why}'
        await _answer(send, status, page, [])


async def _answer(
    send: Send, status: HTTPStatus, content: str, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    body = f"<!doctype html><html lang=en><meta charset=utf-8>{content}</html>".encode()
    await send(
        {
            "type": "http.response.start",
            "status": int(status),
            "headers": [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                *headers,
                *HEADERS,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
