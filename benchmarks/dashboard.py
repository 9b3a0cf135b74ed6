"""What the dashboard takes: of a person's time, of memory, and of the daemons that it shows.

A headless Chromium opens the page of a daemon that trains; a dashboard is filled with eight hours
of made-up history; and a page is open on a fleet of daemons on their own clock, which are compared
with themselves while the dashboard is stopped (SIGSTOP), turn by turn. CPU time is counted there,
not wall time, so what else the machine does falls on neither.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.errors import OperatorError
from gossipd_cli.output import table
from gossipd_scenarios.fleet import LOOPBACK, Fleet, Member

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

NODES, QUICK_NODES = 20, 2
TURNS, QUICK_TURNS = 5, 1
TURN_SECONDS, QUICK_SECONDS = 12.0, 2.0
CYCLE_SECONDS = 2.0
"""Between a daemon's training cycles: some events a second each, and no core is full."""
PAINTS, QUICK_PAINTS = 7, 1
UPDATES, QUICK_UPDATES = 10, 2
WAIT_MILLISECONDS = 60_000
END_SECONDS = 10.0
HISTORY = 28_800
"""Events, and points of each curve: eight hours at one per second."""
BROWSER_ERROR = ("no-browser", "no Chromium to open the page with", "apt-get install chromium")

TURNED = """paused => new Promise(found => {
  const chip = document.querySelector('.chip');
  const look = () => chip.textContent.includes('paused') === paused && found(Date.now() / 1000);
  new MutationObserver(look).observe(chip, {subtree: true, childList: true, characterData: true});
  look();
})"""
"""When the state at the page's head has come to be this one, in Unix seconds."""


def measure(options: Options) -> Report:
    """One run."""
    return asyncio.run(_measure(quick=options.quick))


async def _measure(*, quick: bool) -> Report:
    with tempfile.TemporaryDirectory(prefix="gossipd-dash-", dir="/tmp") as directory:
        async with _browser() as browser, Fleet(Path(directory), temporary=True) as fleet:
            one = await fleet.start("alone", LOOPBACK)
            paints, updates = await _person(browser, one, quick=quick)
            memory, search = await _history(browser, one, quick=quick)
            await one.stop()
            costs = await _costs(browser, fleet, quick=quick)
    rows: list[dict[str, Any]] = [
        {"what": "first meaningful paint, s", "values": paints},
        {"what": "an event on the page after, s", "values": updates},
        {"what": "memory with eight hours of history, MB", "values": [memory]},
        {"what": "words found in eight hours of events after, s", "values": [search]},
        {"what": "of a core, per daemon of the fleet, %", "values": [100 * c for c in costs]},
    ]
    return Report(
        dataset="digits",
        text=table(
            ("", ">least", ">median", ">most"),
            [
                (
                    row["what"],
                    f"{min(row['values']):.2f}",
                    f"{median(row['values']):.2f}",
                    f"{max(row['values']):.2f}",
                )
                for row in rows
            ],
        ),
        data={"rows": rows},
        measured={
            "first meaningful paint: seconds": median(paints),
            "an event on the page: seconds after": max(updates),
            "memory with eight hours of history: MB": memory,
            "cost of a page to each daemon of a fleet: share of a core": median(costs),
        },
        figures={"costs": _figure(costs, updates)},
    )


@contextlib.asynccontextmanager
async def _browser() -> "AsyncIterator[Browser]":
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise OperatorError(*BROWSER_ERROR)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@contextlib.contextmanager
def _dashboard(source: Path, *, run: bool = False, history: int = 0) -> Iterator[tuple[str, int]]:
    """(link, pid) of a dashboard of a socket, or of a run's folder."""
    context = multiprocessing.get_context("spawn")
    links: SimpleQueue[str] = context.SimpleQueue()
    process = context.Process(target=_serve, args=(source, run, history, links))
    process.start()
    try:
        assert process.pid is not None
        yield links.get(), process.pid
    finally:
        process.terminate()
        process.join(END_SECONDS)
        process.kill()
        process.join()


def _serve(source: Path, run: bool, history: int, links: "SimpleQueue[str]") -> None:
    from gossipd_dashboard.fleet import Fleet as Followed
    from gossipd_dashboard.serve import Listen, serve

    followed = Followed.of_run(source) if run else Followed({"daemon": source})
    feed = next(iter(followed.feeds.values()))
    now = time.time()
    for second in range(history):
        feed.events.add([_event(now - history + second, second)])
        feed.curves.add(now - history + second, _status(second / history))
    serve(followed, Listen(), links.put)


def _event(at: float, number: int) -> dict[str, Any]:
    """As a daemon's in rounds: numbers, and a hash of its own in each."""
    return {
        "seq": number,
        "time": at,
        "kind": "trained",
        "steps": 18 * number,
        "round": number,
        "codec": "q2+deflate",
        "reference": f"{number:064x}",
        "bytes": 500 + number,
        "saved": 9000 + number,
    }


def _status(share: float) -> dict[str, Any]:
    model = {"held_out_accuracy": share, "held_out_loss": 1 - share, "held_out": {}}
    return {
        "training": {"loss": share},
        "network": {"bytes_in": share, "bytes_out": share, "connected": 3},
        "models": {"base": model, "head": model, "serving": model},
    }


async def _open(browser: "Browser", link: str) -> "Page":
    context = await browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = await context.new_page()
    await page.goto(link, wait_until="commit")
    await page.locator(".view h2").first.wait_for()
    return page


async def _person(
    browser: "Browser", member: Member, *, quick: bool
) -> tuple[list[float], list[float]]:
    """Seconds until the numbers stand on a page that is opened; and until an event does."""
    paints, updates = [], []
    with _dashboard(member.home / "api.sock") as (link, _):
        await asyncio.sleep(0 if quick else 5)
        for _ in range(QUICK_PAINTS if quick else PAINTS):
            began = time.monotonic()
            page = await _open(browser, link)
            await page.wait_for_function(
                "document.querySelector('.figure-value')?.textContent.length > 1"
            )
            paints.append(time.monotonic() - began)
            await page.context.close()
        page = await _open(browser, link)
        for number in range(QUICK_UPDATES if quick else UPDATES):
            paused = number % 2 == 0
            seen = asyncio.create_task(page.evaluate(TURNED, paused))
            await asyncio.sleep(0.7)  # and not always at the same place of the page's ticks
            asked = time.time()
            await asyncio.to_thread(_turn, member, paused)
            updates.append(await asyncio.wait_for(seen, WAIT_MILLISECONDS / 1000) - asked)
        await page.context.close()
    return paints, updates


def _turn(member: Member, paused: bool) -> None:
    from gossipd.config import paths_of
    from gossipd.control.client import Client

    client = Client(paths_of(member.home).socket)
    if paused:
        client.pause()
    else:
        client.resume()


async def _history(browser: "Browser", member: Member, *, quick: bool) -> tuple[float, float]:
    """MB of a dashboard that has seen eight hours, with a page open; seconds of a search there."""
    history = HISTORY // (20 if quick else 1)
    with _dashboard(member.home / "api.sock", history=history) as (link, pid):
        page = await _open(browser, link)
        await page.get_by_role("button", name="8 h").click()
        await asyncio.sleep(1 if quick else 5)
        await page.get_by_role("link", name="Events", exact=True).click()
        text = page.get_by_placeholder("Words in an event")
        await text.wait_for()
        began = time.monotonic()
        await text.fill(f"{history // 2:064x}")  # the only one of them all
        await page.get_by_text(f"round {history // 2} ").first.wait_for()
        searched = time.monotonic() - began
        memory = psutil.Process(pid).memory_info().rss / 1e6
        await page.context.close()
    return memory, searched


async def _costs(browser: "Browser", fleet: Fleet, *, quick: bool) -> list[float]:
    """Of each daemon, the share of a core that a page on all of them takes."""
    count = QUICK_NODES if quick else NODES
    settings = {**LOOPBACK, "mode": "gossip", "gossip.cycle_seconds": CYCLE_SECONDS}
    first = await fleet.start("n00", settings)
    members = [first]
    for number in range(1, count):
        told = {**settings, "network.peers": first.addresses}
        members.append(await fleet.start(f"n{number:02}", told))
    nodes = {
        m.name: {"socket": str(m.home / "api.sock"), "running": True, "island": 0} for m in members
    }
    told_run = {"title": "A fleet", "seconds": 60.0, "at": 0.0, "ended": False, "steps": []}
    folder = fleet.directory
    (folder / "live.json").write_text(
        json.dumps({**told_run, "phases": [], "checks": [], "nodes": nodes})
    )
    turns, seconds = (QUICK_TURNS, QUICK_SECONDS) if quick else (TURNS, TURN_SECONDS)
    with_page: list[list[float]] = []
    without: list[list[float]] = []
    with _dashboard(folder, run=True) as (link, pid):
        page = await _open(browser, link)
        await page.get_by_role("link", name="Scenario", exact=True).click()
        await page.get_by_text("runs").first.wait_for()
        for _ in range(turns):
            with_page.append(await _used(members, seconds))
            os.kill(pid, signal.SIGSTOP)
            without.append(await _used(members, seconds))
            os.kill(pid, signal.SIGCONT)
        await page.context.close()
    return [
        median(row[place] for row in with_page) - median(row[place] for row in without)
        for place in range(count)
    ]


async def _used(members: Sequence[Member], seconds: float) -> list[float]:
    """The share of a core that each uses in so many seconds, half a second from now on."""
    await asyncio.sleep(0.5)
    pids = [(await member.status())["pid"] for member in members]
    before, began = [_cpu(pid) for pid in pids], time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    return [(_cpu(pid) - spent) / took for pid, spent in zip(pids, before, strict=True)]


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _figure(costs: Sequence[float], updates: Sequence[float]) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(range(len(costs)), [100 * cost for cost in costs], color=COLOURS[1])
    left.set_xlabel("daemon")
    left.set_ylabel("of a core, %")
    right.plot(updates, "o", color=COLOURS[0])
    right.set_ylim(0)
    right.set_xlabel("event")
    right.set_ylabel("on the page after, s")
    return figure


if __name__ == "__main__":
    sys.exit(main("dashboard", "What the dashboard takes of time, memory and daemons.", measure))
