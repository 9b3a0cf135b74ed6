"""From a scenario to nodes: names, islands, overlay, who holds which data, what each is told.

All of it follows from the scenario and its seed; nothing here has run yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gossipd.config import load
from gossipd.errors import OperatorError
from gossipd_scenarios.backend import NodePlan, Part, Setting
from gossipd_scenarios.cast import Cast
from gossipd_scenarios.document import Document
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.schema import SIDES, Join, Scenario
from gossipd_scenarios.topology import graph_of, islands_of

CLASSES = 10
"""Of both built-in tasks: what the split "islands" deals out."""
CONTACTS = 6
"""Peers that a node is told of where it may talk to everybody; others it finds through them. As
many as the mesh that a swarm should make (ours)."""
RESERVED = ("network.listen", "network.port", "network.peers", "network.allow", "network.mdns")
"""What a scenario says in other ways, or has no say in."""
NOWHERE = Path("/nonexistent")
"""A state directory without a configuration file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it begins."""

    document: Document
    cast: Cast
    nodes: tuple[NodePlan, ...]
    first: tuple[str, ...]
    """Those that are there from the beginning; the others join."""

    @property
    def scenario(self) -> Scenario:
        return self.document.scenario


def plan(document: Document, settings: Mapping[str, Setting] | None = None) -> Plan:
    """Plan a run. `settings` are given to every daemon, above the scenario's. ScenarioError."""
    scenario = document.scenario
    joining = sum(step.count for step in scenario.timeline if isinstance(step, Join))
    names = _names(scenario.nodes + joining)
    first, late = names[: scenario.nodes], names[scenario.nodes :]
    islands = islands_of(first, scenario.topology.islands)
    # Newcomers come to the last island.
    islands[-1] = (*islands[-1], *late)
    graph = graph_of(scenario.topology, names, scenario.seed, document.folder)
    cast = _cast(scenario, names, tuple(islands), graph)
    common = _common(scenario, settings or {})
    holdings = _holdings(scenario, cast)
    nodes = []
    for name in names:
        mine = {**common, **holdings[name]}
        allowed = None if graph is None else frozenset(graph[name])
        contacts = _contacts(cast, name) if allowed is None else tuple(sorted(allowed))
        nodes.append(NodePlan(name, mine, allowed, contacts, _part(scenario, cast, name)))
    _try_settings(nodes[0].settings)
    return Plan(document, cast, tuple(nodes), first)


def _names(count: int) -> tuple[str, ...]:
    width = len(str(count))
    return tuple(f"n{number:0{width}}" for number in range(1, count + 1))


def _cast(
    scenario: Scenario, names: tuple[str, ...], islands: tuple[tuple[str, ...], ...], graph: Any
) -> Cast:
    bare = Cast(names, islands, graph, frozenset(names), {}, scenario.seed)
    groups = {
        name: frozenset(bare.pick(selector, names, f"groups/{name}"))
        for name, selector in scenario.groups.items()
    }
    if scenario.hostile is not None:
        liars = bare.pick(scenario.hostile.who, names, "hostile")
        groups |= zip(SIDES, (frozenset(liars), frozenset(names).difference(liars)), strict=True)
    with_groups = Cast(names, islands, graph, frozenset(names), groups, scenario.seed)
    empty = scenario.data.empty
    without = () if empty is None else with_groups.pick(empty, names, "data/empty")
    if len(without) == len(names):
        raise ScenarioError("data.empty: all nodes", "leave data to some")
    with_data = frozenset(names) - frozenset(without)
    return Cast(names, islands, graph, with_data, groups, scenario.seed)


def _part(scenario: Scenario, cast: Cast, name: str) -> Part:
    if scenario.hostile is None:
        return Part()
    liars = cast.groups[SIDES[0]]
    return Part(min(liars) if name in liars else "", scenario.hostile.defended)


# --- what each is told ----------------------------------------------------------------------------


def _common(scenario: Scenario, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """What all are told: the scenario's settings with dotted names."""
    common: dict[str, Setting] = {"task.seed": scenario.seed}
    for key, value in scenario.settings.items():
        if isinstance(value, dict):
            common |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            common[key] = value
    common |= settings
    for key in RESERVED:
        if key in common:
            raise ScenarioError(
                f"settings.{key}: not a scenario's to set",
                "topology says who may talk to whom; ports are found",
            )
    return common


def _try_settings(settings: Mapping[str, Setting]) -> None:
    try:
        load(NOWHERE, settings, {})
    except OperatorError as error:
        message = error.message.replace(" (command line)", "")
        raise ScenarioError(f"settings.{message}", error.hint) from None


def _contacts(cast: Cast, name: str) -> tuple[str, ...]:
    """The next ones of its island, so that each island hangs together, one of each other island,
    so that they can meet, and some by lot."""
    chance = Random(f"{cast.seed}/contacts/{name}")
    here = cast.islands[cast.island_of(name)]
    place = here.index(name)
    near = [here[(place + step) % len(here)] for step in (1, 2)]
    far = [chance.choice(island) for island in cast.islands if island is not here]
    drawn = chance.sample(cast.names, min(CONTACTS, len(cast.names)))
    wanted = [other for other in dict.fromkeys([*near, *far, *drawn]) if other != name]
    return tuple(wanted[: max(CONTACTS, len(near) + len(far))])


# --- who holds what -------------------------------------------------------------------------------


def _holdings(scenario: Scenario, cast: Cast) -> dict[str, dict[str, Setting]]:
    """Each node's [task] settings: its part of the data."""
    data = scenario.data
    holders = [name for name in cast.names if name in cast.with_data]
    nothing: dict[str, Setting] = {"task.parts": 0}
    holdings: dict[str, dict[str, Setting]] = dict.fromkeys(cast.names, nothing)
    if data.split == "islands":
        return holdings | _by_islands(cast)
    heavy = (
        frozenset()
        if data.heavy is None
        else frozenset(cast.pick(data.heavy, holders, "data/heavy"))
    )
    parts = [data.times if name in heavy else 1 for name in holders]
    for number, name in enumerate(holders):
        holdings[name] = {
            "task.partition": data.split,
            "task.alpha": data.alpha,
            "task.classes_per_node": data.classes_per_node,
            "task.nodes": sum(parts),
            "task.node": sum(parts[:number]),
            "task.parts": parts[number],
        }
    return holdings


def _by_islands(cast: Cast) -> dict[str, dict[str, Setting]]:
    """Islands hold as many classes each, nodes as many examples each: a small island has less."""
    islands = [[name for name in island if name in cast.with_data] for island in cast.islands]
    islands = [holders for holders in islands if holders]
    return {
        name: {
            "task.partition": "iid",
            "task.labels": _classes(number, len(islands)),
            "task.nodes": max(map(len, islands)),
            "task.node": place,
        }
        for number, holders in enumerate(islands)
        for place, name in enumerate(holders)
    }


def _classes(island: int, islands: int) -> list[int]:
    return list(range(CLASSES * island // islands, CLASSES * (island + 1) // islands))
