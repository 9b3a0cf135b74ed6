"""The page over real daemons that train together."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from gossipd_scenarios.fleet import Fleet, Member
from support.browser import Dashboard, dashboard
from support.fleet import running_fleet

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SECONDS = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(browser: "Browser") -> AsyncIterator[Fleet]:
    async with running_fleet() as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(fleet: Fleet) -> tuple[Member, Member]:
    ann = await fleet.start("ann")
    ben = await fleet.start("ben", {"network.peers": ann.addresses})
    await ann.until(lambda now: now["network"]["connected"] == 1, SECONDS, "ben")
    return ann, ben


@pytest.fixture(scope="module")
def home(pair: tuple[Member, Member]) -> Path:
    return pair[0].home


@pytest.fixture(scope="module")
def board(home: Path, browser: "Browser") -> Iterator[Dashboard]:
    with dashboard("--home", str(home)) as started:
        yield started


async def figure(page: "Page", name: str) -> str:
    """The number with this name on the first view."""
    box = page.locator(".figure", has_text=name)
    return await box.locator(".figure-value").inner_text()


async def test_numbers_change_while_it_trains_and_stand_while_it_is_paused(
    page: "Page", board: Dashboard, pair: tuple[Member, Member]
) -> None:
    ann, _ = pair
    await page.goto(board.link)
    await page.locator(".figure-value").first.wait_for()
    before = await figure(page, "Trained here")
    await page.wait_for_function(
        "before => document.querySelectorAll('.figure-value')[3].textContent !== before", arg=before
    )
    await page.locator('.chart svg path[stroke="#009E73"]').first.wait_for(state="attached")
    await page.get_by_role("button", name="Pause training").click()
    await page.get_by_text("○ paused").wait_for()
    assert (await ann.status())["training"]["paused"]
    await page.get_by_role("button", name="Resume training").click()
    await page.get_by_text("● learning").wait_for()


async def test_a_blocked_peer_is_let_go_of(
    page: "Page", board: Dashboard, pair: tuple[Member, Member]
) -> None:
    ann, ben = pair
    await page.goto(board.link)
    await page.get_by_role("link", name="Peers", exact=True).click()
    await page.get_by_role("button", name="Details").click()
    await page.get_by_role("button", name="Block", exact=True).click()
    await page.locator(".dialog").last.get_by_role("button", name="Block", exact=True).click()
    await page.get_by_text("■ blocked").wait_for()
    await ben.until(lambda now: now["network"]["connected"] == 0, SECONDS, "to be let go of")
    assert (await ann.status())["network"]["block"] == [ben.peer_id]


async def test_the_page_outlives_its_daemon_and_the_daemon_its_page(
    page: "Page", board: Dashboard, fleet: Fleet, pair: tuple[Member, Member]
) -> None:
    ann, _ = pair
    await page.goto(board.link)
    await page.get_by_text("● learning").wait_for()
    await ann.kill()
    await page.get_by_text("■ not running").wait_for()
    await fleet.restart(ann)
    await page.get_by_text("● learning").wait_for()
    with dashboard("--home", str(ann.home)):
        pass
    assert (await ann.status())["network"]["healthy"]
