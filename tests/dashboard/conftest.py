"""A headless browser for the tests of the page; they are skipped, with the reason, without one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.browser import CHROMIUM, MILLISECONDS, Dashboard, dashboard, missing
from support.operator import ServedOperator, served

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> "AsyncIterator[Browser]":
    if reason := missing():
        pytest.skip(reason)
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        # As root, as in a container, Chromium has no sandbox.
        started = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h")


@pytest.fixture
def daemon(home: Path) -> Iterator[ServedOperator]:
    """A fake daemon; a fresh one for each test, all at the same place."""
    with served(home) as operator:
        yield operator


@pytest.fixture(scope="module")
def board(home: Path, browser: "Browser") -> Iterator[Dashboard]:
    """One dashboard for a module's tests, which goes on while daemons come and go."""
    with dashboard("--home", str(home)) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: "Browser", board: Dashboard) -> "AsyncIterator[Page]":
    """A fresh browser that has not been anywhere; complaints of the page fail the test."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(MILLISECONDS)
    opened = await context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    await context.close()
    assert complaints == []
    elsewhere = [url for url in asked if not url.startswith((board.base, "data:", "ws://127"))]
    assert elsewhere == [], "a page of ours loads nothing from anywhere else"
