"""A scenario as the page shows it: what the run tells, and what is seen of that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gossipd.errors import OperatorError
from gossipd_dashboard import run
from gossipd_dashboard.fleet import Fleet
from gossipd_scenarios import library, telling
from gossipd_scenarios.checks.verdict import Verdict
from gossipd_scenarios.history import History, Phase, Snapshot
from gossipd_scenarios.live import Blank
from gossipd_scenarios.plan import plan
from gossipd_scenarios.telling import Telling
from support.browser import Dashboard, dashboard
from support.operator import ServedOperator

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

HOLDS = Verdict("islands before the heal", True, 0.5, "<= 0.55", "worst n1 0.479")
FAILS = Verdict("nobody ended unasked", False, 1.0, "none", "n3 at 12 s")


def told(folder: Path, homes: Path) -> tuple[Telling, History]:
    """A split as it is told in its middle."""
    planned = plan(library.find("split"), {})
    history = History(planned.cast, "real")
    history.marks["start"] = 0.0
    history.steps.append((0.0, "partition islands"))
    history.phases.append(Phase("partition: islands", 0.0))
    history.snapshots.append(Snapshot(10.0, {}, frozenset(planned.cast.names[:1])))
    teller = Telling(Blank(), folder, planned)
    teller.phase("split", 90.0, str(homes))
    teller.looked(history, 10.0)
    return teller, history


def test_both_sides_mean_the_same_file() -> None:
    assert telling.FILE == run.FILE


def test_a_run_tells_of_its_daemons_and_of_checks_that_are_open(tmp_path: Path) -> None:
    told(tmp_path, tmp_path)
    fleet = Fleet.of_run(tmp_path)
    names = library.find("split").scenario.nodes
    assert len(fleet.feeds) == names
    assert fleet.run is not None
    document = fleet.run.document
    assert document["nodes"][fleet.first]["running"]
    assert document["phases"] == [{"label": "partition: islands", "begin": 0.0, "end": None}]
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert "fails" not in states.values(), "nothing has gone wrong for good"
    assert states["lineage"] == "open", "the end has not come"
    assert states["nobody ended unasked"] == "holds"


def test_a_run_is_told_before_its_daemons_are_up(tmp_path: Path) -> None:
    planned = plan(library.find("split"), {})
    Telling(Blank(), tmp_path, planned).phase("split", 90.0, str(tmp_path))
    fleet = Fleet.of_run(tmp_path)
    assert list(fleet.feeds) == list(planned.cast.names)
    assert fleet.run is not None
    assert not any(node["running"] for node in fleet.run.document["nodes"].values())


def test_in_the_end_each_check_holds_or_fails(tmp_path: Path) -> None:
    teller, _ = told(tmp_path, tmp_path)
    watching = run.Run(tmp_path)
    assert not watching.look()
    teller.judged([HOLDS, FAILS, replace(HOLDS, holds=None)])
    assert watching.look()
    assert watching.document["ended"]
    assert [check["state"] for check in watching.document["checks"]] == ["holds", "fails"]


def test_a_folder_without_a_run_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BEGIN_SECONDS", 0.0)
    with pytest.raises(OperatorError) as refused:
        Fleet.of_run(tmp_path)
    assert refused.value.code == "no-run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    return folder / plan(library.find("split"), {}).cast.names[0]


@pytest.fixture(scope="module")
def board(folder: Path, browser: "Browser") -> Iterator[Dashboard]:
    told(folder, folder)
    with dashboard("--run", str(folder)) as started:
        yield started


@pytest.mark.asyncio(loop_scope="module")
async def test_checks_turn_green_and_red(
    page: "Page", board: Dashboard, daemon: ServedOperator, folder: Path
) -> None:
    await page.goto(board.link)
    await page.get_by_text("○ open").first.wait_for()
    await page.get_by_text("partition: islands, from 0 s, still so").wait_for()
    await page.get_by_text("93.8 %").wait_for()
    await page.get_by_text("■ down").first.wait_for()
    teller, _ = told(folder, folder)
    teller.judged([HOLDS, FAILS])
    await page.get_by_text("● holds").first.wait_for()
    await page.get_by_text("■ fails").wait_for()
    assert await page.locator(".is-bad", has_text="fails").count() == 1
    await page.get_by_text("has ended").wait_for()
