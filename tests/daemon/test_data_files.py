"""A daemon's data files: rows come where there were none, break, and come back, while it runs."""

from typing import Any

import pytest

from gossipd.config import paths_of
from gossipd.founding import Wishes, plan_for
from gossipd.storage.atomic import make_private_directory
from gossipd_scenarios.fleet import Fleet
from support.own_data import flowers

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60.0  # two looks, 5 s apart


def codes(status: dict[str, Any]) -> list[str]:
    return [row["code"] for row in status["health"]]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_it_trains_once_rows_come_then_on_the_last_good_then_on_new_ones(
    fleet: Fleet,
) -> None:
    data = flowers(fleet.directory / "flowers.csv", rows=90)
    plan = plan_for(data, Wishes(target="flower"))
    header = data.read_text().partition("\n")[0]
    data.write_text(header + "\n")
    clerk = fleet.add("clerk")
    make_private_directory(clerk.home)
    plan.write(paths_of(clerk.home))
    await fleet.start("clerk", {**plan.settings, "swarm.id": "ab" * 32})
    idle = await clerk.status()
    assert idle["training"]["examples"] == idle["training"]["cycles"] == 0
    assert codes(idle) == []

    flowers(data, rows=90)
    good = await clerk.until(lambda s: s["training"]["cycles"] >= 3, SECONDS, "training")
    assert good["task"] == "flowers"
    assert good["models"]["head"]["held_out"].keys() == {"accuracy"}

    data.write_text(data.read_text() + "long,red,200,a\n")
    told = await clerk.until(lambda s: "data-unreadable" in codes(s), SECONDS, "the warning")
    (warning,) = (row for row in told["health"] if row["code"] == "data-unreadable")
    assert "row 92, column 'length': 'long' is no number" in warning["text"]
    assert told["training"]["examples"] == good["training"]["examples"]
    cycles = told["training"]["cycles"]
    await clerk.until(lambda s: s["training"]["cycles"] > cycles, SECONDS, "training to go on")

    flowers(data, rows=180)
    more = await clerk.until(lambda s: "data-unreadable" not in codes(s), SECONDS, "the new rows")
    assert more["training"]["examples"] == 2 * good["training"]["examples"]
    await clerk.stop()
