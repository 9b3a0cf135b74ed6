"""The page in a browser, over a daemon that answers as it is told to."""

from typing import TYPE_CHECKING, Any

import pytest

from support.browser import Dashboard
from support.operator import OTHER, ServedOperator
from support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWS = ("", "topology", "peers", "models", "events", "health")


async def see(page: "Page", text: str) -> None:
    """Wait until somebody would see it."""
    await page.get_by_text(text).first.wait_for(state="visible")


async def press(page: "Page", word: str) -> None:
    await page.get_by_role("button", name=word, exact=True).click()


async def opened(page: "Page", board: Dashboard, view: str = "") -> None:
    if page.url == "about:blank":
        await page.goto(board.link)
        await see(page, "How good the models are")
    if view:
        await page.get_by_role("link", name=view.capitalize(), exact=True).click()


async def test_it_opens_and_shows_the_numbers_with_their_units(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board)
    await see(page, "93.8 %")
    await see(page, "1.23 MB in, 89 B out")
    await see(page, "84.4 % of 385 kB of models")
    assert "token" not in page.url


@pytest.mark.parametrize("path", ["/", "/peers", "/enter?token=wrong", "/theme.css"])
async def test_without_the_token_there_is_nothing_but_what_to_do(
    browser: "Browser", board: Dashboard, daemon: ServedOperator, path: str
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    answer = await page.goto(board.base + path)
    assert answer is not None
    assert answer.status == 401
    assert "gossipd dashboard" in await page.inner_text("body")
    await context.close()


async def test_an_event_is_there_soon_after_it_happened(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board)
    daemon.append("aggregator-lost", round=4711, peer=OTHER)
    await see(page, "round 4711")
    await page.get_by_role("link", name="All events").click()
    await press(page, "Peers")
    await see(page, "No event is like that")
    await press(page, "Trouble")
    await see(page, "▲ Aggregator lost")


async def test_training_is_paused_and_resumed(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board)
    await press(page, "Pause training")
    await see(page, "○ paused")
    assert daemon.operator.status()["training"]["paused"]
    await press(page, "Resume training")
    await see(page, "● learning")
    assert not daemon.operator.status()["training"]["paused"]


async def test_a_peer_is_blocked_after_a_question_and_let_in_again(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board, "peers")
    await page.get_by_role("button", name="Details").click()
    await press(page, "Block")
    assert ("block_peer", OTHER) not in daemon.operator.asked, "it is asked first"
    await page.get_by_text("Block this peer?").wait_for()
    await page.locator(".dialog").last.get_by_role("button", name="Block", exact=True).click()
    await see(page, "■ blocked")
    assert ("block_peer", OTHER) in daemon.operator.asked
    await page.get_by_role("button", name="Details").click()
    await press(page, "Unblock")
    await page.locator(".dialog").last.get_by_role("button", name="Unblock", exact=True).click()
    await see(page, "▲ suspect")


async def test_a_model_is_searched_used_pinned_and_taken_back(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board, "models")
    await page.get_by_label("Words to search models for").fill("seals")
    await page.keyboard.press("Enter")
    await see(page, "For “seals”")
    asked = daemon.operator.asked
    await page.get_by_role("button", name="Details").first.click()
    await see(page, "Who taught it")
    await see(page, "this device")
    await press(page, "Use")
    await see(page, "chosen by hand")
    await page.get_by_role("button", name="Details").first.click()
    await press(page, "Pin")
    until(lambda: ("pin_model", "ab" * 32) in asked, 20, "the model to be pinned")
    await press(page, "Follow the serving average")
    until(lambda: ("use_model", "None") in asked, 20, "the average to answer")
    await press(page, "Roll back")
    until(lambda: ("roll_back",) in asked, 20, "the one before to answer")


async def test_a_device_is_invited_by_a_picture(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board)
    await press(page, "Invite a device")
    await see(page, "gossipd join gossipd-lAEB")
    picture = page.get_by_alt_text("The line below as a QR code")
    assert (await picture.get_attribute("src") or "").startswith("data:image/svg+xml")


async def test_the_daemon_dies_and_comes_back_while_the_page_is_open(
    page: "Page", board: Dashboard, daemon: ServedOperator, home: Any
) -> None:
    from support.operator import served

    await opened(page, board)
    await see(page, "● learning")
    daemon.stop()
    await see(page, "■ not running")
    await see(page, "This page goes on by itself.")
    await see(page, "93.8 %")
    with served(home):
        await see(page, "● learning")
        await page.get_by_text("This page goes on by itself.").wait_for(state="hidden")


HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    "{{constructor.constructor('window.hacked=1')()}}",
    '`${window.hacked=1}`" onmouseover="window.hacked=1" x=\'\u202e<svg/onload=window.hacked=1>',
)
OWN = {"peer_id", "hash", "model", "role", "state", "severity", "number", "sample", "mode"}
"""What the daemon itself says, or has checked."""


def hostile(value: Any, text: str) -> Any:
    """An answer with whatever a stranger may have written replaced, keys too."""
    if isinstance(value, dict):
        if "bad-signature" in value:
            return dict.fromkeys([text], 2)
        return {k: v if k in OWN else hostile(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(item, text) for item in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "quotes"])
async def test_texts_of_strangers_are_shown_as_texts(
    page: "Page",
    board: Dashboard,
    daemon: ServedOperator,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    operator = daemon.operator
    operator.warnings = [{"code": text, "severity": "warning", "text": text, "fix": text}]
    for name in ("status", "peers", "members", "models", "show_model", "search_models"):
        answer = getattr(operator, name)
        monkeypatch.setattr(operator, name, lambda *a, answer=answer: hostile(answer(*a), text))
    daemon.append("peer-refused", peer=OTHER, code=text, reason=text)
    await opened(page, board)
    for view in VIEWS:
        # From scratch: then it all stands in the document's own script.
        await page.goto(f"{board.base}/{view}")
        await page.locator(".view h2").first.wait_for()
        if view == "models":
            await page.get_by_label("Words to search models for").fill("seals")
            await press(page, "Search")
            await page.get_by_text("For “").wait_for()
        if view in ("models", "peers"):
            await page.get_by_role("button", name="Details").first.click()
            await press(page, "Close")
        if view in ("peers", "health"):
            await see(page, text[:40])
        assert await page.evaluate("window.hacked") is None, view


async def test_every_view_fits_on_a_phone_in_the_dark(
    browser: "Browser", board: Dashboard, daemon: ServedOperator
) -> None:
    context = await browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True
    )
    page = await context.new_page()
    await opened(page, board)
    for view in VIEWS:
        if view:
            await opened(page, board, view)
            await page.locator(f'.nav [href="/{view}"].here').wait_for()
        await page.locator(".view h2").first.wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, view
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(15, 20, 25)"
    await context.close()


async def test_the_keyboard_alone_is_enough(
    page: "Page", board: Dashboard, daemon: ServedOperator
) -> None:
    await opened(page, board)
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent") == "Peers":
            break
    await page.keyboard.press("Enter")
    details = page.get_by_role("button", name="Details")
    await details.wait_for()
    await details.focus()
    await page.keyboard.press("Enter")
    await see(page, OTHER)
    await page.keyboard.press("Escape")
    await page.locator(".dialog").wait_for(state="detached")
