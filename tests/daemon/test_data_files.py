"""A daemon's data files break and come back with more rows while it trains."""

from typing import Any

import pytest

from gossipd.config import paths_of
from gossipd.founding import Wishes, plan_for
from gossipd.storage.atomic import make_private_directory
from gossipd_scenarios.fleet import Fleet
from support.own_data import flowers

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 90.0  # two looks, 15 s apart


def codes(status: dict[str, Any]) -> list[str]:
    return [row["code"] for row in status["health"]]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_it_trains_on_with_the_last_good_rows_and_takes_the_new_ones(fleet: Fleet) -> None:
    data = flowers(fleet.directory / "flowers.csv", rows=90)
    plan = plan_for(data, Wishes(target="flower"))
    clerk = fleet.add("clerk")
    make_private_directory(clerk.home)
    plan.write(paths_of(clerk.home))
    await fleet.start("clerk", {**plan.settings, "swarm.id": "ab" * 32})
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
