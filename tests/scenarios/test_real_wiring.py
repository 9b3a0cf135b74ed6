"""What the real backend works out before it does anything: who hears of whom, how lines are."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from gossipd_scenarios.backend import NodePlan, Quality
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.fleet import Fleet
from gossipd_scenarios.real.links import Shape
from gossipd_scenarios.real.roster import Roster
from gossipd_scenarios.real.shaping import PERFECT, Conditions
from gossipd_scenarios.real.wiring import Wiring

NAMES = ("ann", "ben", "cem")


@pytest.fixture
def wiring() -> Wiring:
    wiring = Wiring()
    assert wiring.add(NAMES) == []
    return wiring


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    return Roster(Fleet(tmp_path))


def made(shapes: Iterable[Shape]) -> Mapping[tuple[str, str], Conditions]:
    return {pair: shape.conditions for shape in shapes for pair in shape.pairs}


def test_who_does_not_hear_is_told_nothing(wiring: Wiring) -> None:
    changed = made(wiring.partition({"ann": ["ben"]}, reset=False))
    assert changed == {("ben", "ann"): Conditions(state="black-hole")}


def test_a_partition_is_the_whole_truth(wiring: Wiring) -> None:
    wiring.partition({"ann": ["ben"], "ben": ["ann"]}, reset=False)
    changed = made(wiring.partition({"ann": ["ben", "cem"]}, reset=True))
    assert changed == {("ann", "ben"): PERFECT, ("cem", "ann"): Conditions(state="cut")}, (
        "who was silent already stays silent"
    )
    healed = made(wiring.partition({}, reset=True))
    assert healed == {("ben", "ann"): PERFECT, ("cem", "ann"): PERFECT}


def test_later_rules_win_and_partitions_leave_them_alone(wiring: Wiring) -> None:
    wiring.set_quality(NAMES, None, Quality(delay=0.5))
    changed = made(wiring.set_quality(["ann"], ["ben"], Quality(rate=1000.0)))
    assert changed == {("ann", "ben"): Conditions(rate=1000.0)}
    wiring.partition({"ben": ["ann"]}, reset=True)
    assert wiring.conditions(("ann", "ben"))[0] == Conditions(rate=1000.0, state="cut")
    assert made(wiring.partition({}, reset=True)) == {("ann", "ben"): Conditions(rate=1000.0)}


def test_a_rule_s_receivers_share_its_rate_and_those_of_another_do_not(wiring: Wiring) -> None:
    (all_of_it,) = wiring.set_quality(["ann"], None, Quality(rate=1000.0))
    (some_of_it,) = wiring.set_quality(["ann"], ["ben"], Quality(rate=1000.0))
    assert set(all_of_it.pairs) == {("ann", "ben"), ("ann", "cem")}
    assert some_of_it.uplink != all_of_it.uplink


def test_a_rule_for_everybody_holds_for_newcomers(wiring: Wiring) -> None:
    wiring.set_quality(["ann"], None, Quality(loss=0.1))
    assert made(wiring.add(["dia"])) == {("ann", "dia"): Conditions(loss=0.1)}


def test_what_is_said_of_nodes_to_come_is_kept(wiring: Wiring) -> None:
    assert wiring.partition({"ann": ["dia"]}, reset=False) == []
    assert made(wiring.add(["dia"])) == {("dia", "ann"): Conditions(state="black-hole")}


def test_who_may_meet_everybody_is_told_of_all_that_its_contacts_know(roster: Roster) -> None:
    for plan in (
        NodePlan("ann", contacts=("ben",)),
        NodePlan("ben", contacts=("cem",)),
        NodePlan("cem"),
        NodePlan("dia"),
        NodePlan("eve", neighbours=frozenset({"ann", "fay"})),
    ):
        roster.add(plan)
    assert roster.reachable("cem") == {"ann", "ben"}
    assert roster.reachable("dia") == frozenset(), "nobody knows it, it knows nobody"
    assert roster.reachable("eve") == {"ann"}, "fay is not there yet"


def test_an_overlay_names_peers_even_if_there_are_none(roster: Roster) -> None:
    for plan in (
        NodePlan("ann"),
        NodePlan("ben", neighbours=frozenset({"ann"})),
        NodePlan("cem", neighbours=frozenset()),
    ):
        roster.add(plan)
    ids = roster.peer_ids
    assert len(set(ids.values())) == 3
    assert [roster.allowed(name) for name in NAMES] == [[], [ids["ann"]], [ids["cem"]]]


def test_a_name_is_used_once_and_known(roster: Roster) -> None:
    roster.add(NodePlan("ann"))
    with pytest.raises(ScenarioError):
        roster.add(NodePlan("ann"))
    with pytest.raises(ScenarioError):
        roster.members(["ben"])
    with pytest.raises(ScenarioError):
        roster.members(["ann"], running=True)
