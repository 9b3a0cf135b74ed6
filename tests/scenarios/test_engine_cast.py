"""Who is meant, who is linked to whom, who may not hear whom."""

from pathlib import Path

import networkx as nx
import pytest

from gossipd_scenarios import partitions
from gossipd_scenarios.cast import Cast
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.plan import plan
from gossipd_scenarios.schema import Partition, Selector, Topology
from gossipd_scenarios.topology import connected_among, graph_of, islands_of
from support.histories import document

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
STAR = nx.relabel_nodes(nx.star_graph(5), dict(enumerate(("n4", "n1", "n2", "n3", "n5", "n6"))))


def cast(seed: int = 1, graph: object = STAR) -> Cast:
    return Cast(
        NAMES,
        (("n1", "n2", "n3"), ("n4", "n5", "n6")),
        graph,
        frozenset({"n1", "n6"}),
        {"odd": frozenset({"n1", "n3", "n5"})},
        seed,
    )


# --- selectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (Selector(), "n1 n2 n3 n4 n5 n6"),
        (Selector(names=("n[12]", "n6")), "n1 n2 n6"),
        (Selector(group="odd"), "n1 n3 n5"),
        (Selector(outside="odd"), "n2 n4 n6"),
        (Selector(island=1), "n4 n5 n6"),
        (Selector(island=1, outside="odd"), "n4 n6"),
        (Selector(data=True), "n1 n6"),
        (Selector(data=False, island=0), "n2 n3"),
        (Selector(by="name", count=2), "n1 n2"),
        (Selector(by="degree", count=1), "n4"),
        (Selector(by="betweenness", percent=17), "n4"),
        (Selector(percent=0), ""),
    ],
)
def test_a_selector_picks_who_meets_its_conditions(selector: Selector, names: str) -> None:
    assert cast().pick(selector, NAMES, "here") == tuple(names.split())


def test_only_candidates_are_picked() -> None:
    assert cast().pick(Selector(group="odd"), {"n1", "n2"}, "here") == ("n1",)


def test_lots_depend_on_the_seed_and_the_place_alone() -> None:
    half = Selector(percent=50)
    first = cast().pick(half, NAMES, "here")
    assert len(first) == 3
    assert cast().pick(half, NAMES[::-1], "here") == first
    others = {cast(seed).pick(half, NAMES, f"{seed}") for seed in range(10)}
    assert len(others) > 3


# --- topologies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "links"),
    [
        (Topology(kind="ring"), 10),
        (Topology(kind="star"), 9),
        (Topology(kind="regular", degree=4), 20),
        (Topology(kind="barabasi-albert", attach=2), 16),
        (Topology(kind="erdos-renyi", probability=1.0), 45),
        (Topology(kind="small-world", degree=4, probability=0.3), 20),
        (Topology(kind="islands", islands=(1, 1), bridges=2), 22),
    ],
)
def test_a_topology_has_the_links_of_its_kind(topology: Topology, links: int) -> None:
    names = tuple(f"n{number}" for number in range(10))
    graph = graph_of(topology, names, 1, Path())
    assert set(graph.nodes) == set(names)
    assert graph.number_of_edges() == links
    again = graph_of(topology, names, 1, Path())
    assert set(again.edges) == set(graph.edges)


def test_a_topology_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("# my village\nn1 n2\n1 2  # by number\n\n")
    graph = graph_of(Topology(kind="file", file="links"), NAMES, 1, tmp_path)
    assert set(map(frozenset, graph.edges)) == {frozenset({"n1", "n2"}), frozenset({"n2", "n3"})}
    (tmp_path / "links").write_text("n1 n99\n")
    with pytest.raises(ScenarioError, match="line 1: 'n1 n99' is no link"):
        graph_of(Topology(kind="file", file="links"), NAMES, 1, tmp_path)


def test_the_overlay_is_what_a_node_may_talk_to() -> None:
    planned = plan(document('[topology]\nkind = "ring"'))
    assert planned.nodes[0].neighbours == frozenset({"n2", "n4"})
    assert set(planned.nodes[0].contacts) == {"n2", "n4"}
    assert plan(document()).nodes[0].neighbours is None


def test_islands_are_dealt_in_proportion_and_nobody_is_left_without() -> None:
    names = [str(number) for number in range(10)]
    assert [len(island) for island in islands_of(names, (8, 2))] == [8, 2]
    assert [len(island) for island in islands_of(names, (100, 1, 1))] == [8, 1, 1]
    assert islands_of(names, ()) == [tuple(names)]


def test_survivors_are_connected_as_long_as_a_link_leads_to_another() -> None:
    assert connected_among(STAR, ["n4", "n1", "n2"]) == {"n4", "n1", "n2"}
    assert connected_among(STAR, ["n1", "n2"]) == frozenset()
    assert connected_among(None, ["n1", "n2"]) == {"n1", "n2"}


# --- data -----------------------------------------------------------------------------------------


def shares(text: str) -> list[tuple[object, ...]]:
    keys = ("task.partition", "task.nodes", "task.node", "task.parts", "task.labels")
    return [tuple(n.settings.get(key) for key in keys) for n in plan(document(text)).nodes]


def test_nodes_without_data_leave_theirs_to_the_others() -> None:
    found = shares('[data]\nempty = { names = ["n2"] }')
    assert found[1] == (None, None, None, 0, None)
    assert [row[:4] for row in (found[0], *found[2:])] == [("iid", 3, n, 1) for n in range(3)]


def test_heavy_nodes_hold_several_parts() -> None:
    found = shares('[data]\nheavy = { names = ["n1"] }\ntimes = 5')
    assert [row[1:4] for row in found] == [(8, 0, 5), (8, 5, 1), (8, 6, 1), (8, 7, 1)]


def test_islands_have_classes_of_their_own_and_nodes_equal_parts() -> None:
    found = shares('[topology]\nislands = [3, 1]\n[data]\nsplit = "islands"')
    assert [row[1:3] for row in found] == [(3, 0), (3, 1), (3, 2), (3, 0)]
    assert [row[4] for row in found] == [[0, 1, 2, 3, 4]] * 3 + [[5, 6, 7, 8, 9]]


# --- partitions -----------------------------------------------------------------------------------


def deaf(step: Partition) -> dict[str, str]:
    made = partitions.made(step, cast(), NAMES, "here")
    return {name: " ".join(sorted(others)) for name, others in sorted(made.items())}


def test_halves_do_not_hear_each_other() -> None:
    found = deaf(Partition(at=0, maker="halves"))
    assert (found["n1"], found["n6"]) == ("n4 n5 n6", "n1 n2 n3")


def test_the_bridge_hears_both_halves() -> None:
    found = deaf(Partition(at=0, maker="bridge"))
    assert (found["n1"], found["n6"], "n4" in found) == ("n5 n6", "n1 n2 n3", False)


def test_an_isolated_node_hears_nobody_and_the_others_do_not_hear_it() -> None:
    found = deaf(Partition(at=0, maker="isolate", who=Selector(names=("n2",))))
    assert found.pop("n2") == "n1 n3 n4 n5 n6"
    assert set(found.values()) == {"n2"}


def test_the_most_central_are_cut_off() -> None:
    found = deaf(Partition(at=0, maker="most-central", percent=17))
    assert found.pop("n4") == "n1 n2 n3 n5 n6"
    assert set(found.values()) == {"n4"}


def test_those_who_are_away_hear_each_other() -> None:
    found = deaf(Partition(at=0, maker="away", who=Selector(group="odd")))
    assert (found["n1"], found["n2"]) == ("n2 n4 n6", "n1 n3 n5")


def test_who_is_on_no_island_hears_all() -> None:
    found = deaf(Partition(at=0, maker="islands", who=Selector(names=("n[1245]",))))
    assert found == {"n1": "n4 n5", "n2": "n4 n5", "n4": "n1 n2", "n5": "n1 n2"}


def test_only_the_chosen_are_heard() -> None:
    step = Partition(
        at=0, maker="only", who=Selector(names=("n1",)), hears=Selector(names=("n2", "n3"))
    )
    assert deaf(step) == {"n1": "n4 n5 n6", "n4": "n1", "n5": "n1", "n6": "n1"}


def test_pairs_are_deaf_one_way() -> None:
    assert deaf(Partition(at=0, maker="pairs", deaf={"n1": ("n2",)})) == {"n1": "n2"}


def test_partitions_hold_side_by_side() -> None:
    one, other = partitions.apart("ab", "c"), partitions.alone("a", "abc")
    both = partitions.together([one, other])
    assert both == {"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}}
