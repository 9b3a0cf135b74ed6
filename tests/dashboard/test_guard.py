"""Who may see the page: each way in that there must not be, tried on the guard alone."""

import asyncio
from typing import Any

import pytest

from gossipd_dashboard.guard import ENTRANCE, Guard, Message, Receive, Scope, Send

HOST = "127.0.0.1:8000"


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """What is guarded."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def guard() -> Guard:
    return Guard(behind, ["127.0.0.1", "localhost", "[::1]"], 8000)


def asked(
    at: Guard,
    path: str = "/",
    *,
    kind: str = "http",
    method: str = "GET",
    query: str = "",
    **headers: str,
) -> list[Message]:
    """What is sent back; a header `sec_fetch_site` is Sec-Fetch-Site."""
    headers.setdefault("host", HOST)
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items() if v],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(at(scope, receive, send))
    return sent


def status(sent: list[Message]) -> int:
    return int(sent[0]["status"])


def cookie(at: Guard) -> str:
    """What the link is exchanged for."""
    sent = asked(at, ENTRANCE, query=f"token={at.token}")
    assert status(sent) == 200
    headers = dict(sent[0]["headers"])
    said: str = headers[b"set-cookie"].decode()
    assert "HttpOnly" in said
    assert "SameSite=Strict" in said
    return said.partition(";")[0]


def test_the_link_lets_in_and_the_cookie_goes_on_doing_so() -> None:
    at = guard()
    sent = asked(at, cookie=cookie(at))
    assert sent[1]["body"] == b"the page"
    headers = dict(sent[0]["headers"])
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert headers[b"referrer-policy"] == b"no-referrer"


@pytest.mark.parametrize("path", ["/", "/theme.css", "/_nicegui/static/x.js", "/_nicegui_ws/"])
def test_nothing_is_reachable_without_the_cookie(path: str) -> None:
    sent = asked(guard(), path)
    assert status(sent) == 401
    assert b"gossipd dashboard" in sent[1]["body"], "and what to do is said"


@pytest.mark.parametrize("query", ["", "token=", "token=x", "token=%00", "other=1"])
def test_a_wrong_token_is_refused(query: str) -> None:
    sent = asked(guard(), ENTRANCE, query=query)
    assert status(sent) == 401
    assert b"set-cookie" not in dict(sent[0]["headers"])


def test_the_token_is_no_cookie_and_another_dashboards_cookie_is_none_either() -> None:
    at, other = guard(), guard()
    assert status(asked(at, cookie=f"{at.cookie}={at.token}")) == 401
    assert status(asked(at, cookie=cookie(other))) == 401
    assert status(asked(at, cookie=f"{at.cookie}=")) == 401
    assert status(asked(at, cookie='=;"\x01')) == 401


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8000", "127.0.0.1", f"{HOST}0"])
def test_a_foreign_name_for_this_machine_gets_nothing(host: str) -> None:
    """DNS rebinding: the browser believes that it talks to that name, and says so."""
    at = guard()
    assert status(asked(at, host=host or "-", cookie=cookie(at))) == 403
    assert status(asked(at, ENTRANCE, host=host or "-", query=f"token={at.token}")) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8001"])
def test_another_origin_gets_nothing(origin: str) -> None:
    at = guard()
    held = cookie(at)
    assert status(asked(at, method="POST", origin=origin, cookie=held)) == 403
    refused = asked(at, "/_nicegui_ws/", kind="websocket", origin=origin, cookie=held)
    assert [message["type"] for message in refused] == ["websocket.close"]


def test_a_websocket_needs_an_origin_and_the_cookie() -> None:
    at = guard()
    held = cookie(at)
    here = f"http://{HOST}"
    for headers in ({"cookie": held}, {"origin": here}, {"origin": here, "cookie": "x=1"}):
        refused = asked(at, "/_nicegui_ws/", kind="websocket", **headers)
        assert [message["type"] for message in refused] == ["websocket.close"]
    accepted = asked(at, "/_nicegui_ws/", kind="websocket", origin=here, cookie=held)
    assert [message["type"] for message in accepted] == ["websocket.accept"]


def test_another_site_can_link_here_but_not_load_from_here() -> None:
    at = guard()
    held = cookie(at)
    inside = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "cookie": held}
    assert status(asked(at, **inside)) == 403
    followed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "cookie": held}
    assert status(asked(at, **followed)) == 200
    assert status(asked(at, method="POST", **followed)) == 403
