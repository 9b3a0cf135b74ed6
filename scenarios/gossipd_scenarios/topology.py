"""Who may talk to whom: a scenario's topology as a graph of names, made by networkx.

Everybody with everybody is no graph (None): a thousand nodes would have half a million links, and
nothing in such a swarm is more central than anything else.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gossipd.errors import OperatorError
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.schema import Topology

Graph = Any
"""networkx.Graph: nodes are names."""

SAMPLED_FROM = 300
"""Nodes from which on betweenness is estimated from as many sources: exactly it takes V * E."""


def _networkx() -> Any:
    try:
        import networkx
    except ImportError:
        raise OperatorError(
            "no-networkx", "topologies need networkx", "pip install gossipd[lab]"
        ) from None
    return networkx


def islands_of(names: Sequence[str], shares: Sequence[float]) -> list[tuple[str, ...]]:
    """Names dealt out in their order, in proportion to the shares; nobody goes without."""
    shares = shares or (1.0,)
    total = sum(shares)
    ends = [0]
    for number in range(len(shares)):
        wanted = round(len(names) * sum(shares[: number + 1]) / total)
        left = len(shares) - number - 1
        ends.append(min(max(wanted, ends[-1] + 1), len(names) - left))
    return [tuple(names[a:b]) for a, b in pairwise(ends)]


def graph_of(topology: Topology, names: Sequence[str], seed: int, folder: Path) -> Graph:
    """The links of the overlay over these names; None: everybody may talk to everybody."""
    if topology.kind == "full":
        return None
    if topology.kind == "islands":
        return _islands(topology, names, seed)
    if topology.kind == "file":
        return _from_file(folder / topology.file, names)
    graph = _drawn(topology, len(names), seed)
    return _networkx().relabel_nodes(graph, dict(enumerate(names)))


def _drawn(topology: Topology, nodes: int, seed: int) -> Graph:
    nx, degree = _networkx(), topology.degree
    match topology.kind:
        case "ring":
            return nx.cycle_graph(nodes)
        case "star":
            return nx.star_graph(nodes - 1)
        case "regular":
            if degree >= nodes or nodes * degree % 2:
                raise ScenarioError(
                    f"topology.degree = {degree}: {nodes} nodes cannot have so many links each",
                    f"give less than {nodes}, and nodes * degree must be even",
                )
            return nx.random_regular_graph(degree, nodes, seed=seed)
        case "barabasi-albert":
            if topology.attach >= nodes:
                raise ScenarioError(
                    f"topology.attach = {topology.attach}: there are {nodes} nodes", "give less"
                )
            return nx.barabasi_albert_graph(nodes, topology.attach, seed=seed)
        case "erdos-renyi":
            return nx.gnp_random_graph(nodes, topology.probability, seed=seed)
        case _:
            if not 2 <= degree < nodes:
                raise ScenarioError(
                    f"topology.degree = {degree}: a small world of {nodes} cannot be so",
                    f"give 2 to {nodes - 1}",
                )
            return nx.watts_strogatz_graph(nodes, degree, topology.probability, seed=seed)


def _islands(topology: Topology, names: Sequence[str], seed: int) -> Graph:
    """Complete islands, and bridges from each to the next."""
    islands = islands_of(names, topology.islands)
    graph = _networkx().Graph()
    graph.add_nodes_from(names)
    for island in islands:
        graph.add_edges_from((a, b) for i, a in enumerate(island) for b in island[i + 1 :])
    for here, there in pairwise(islands):
        for number in range(min(topology.bridges, len(here), len(there))):
            graph.add_edge(here[-1 - number], there[number])
    return graph


def _from_file(path: Path, names: Sequence[str]) -> Graph:
    graph = _networkx().Graph()
    graph.add_nodes_from(names)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ScenarioError(f"topology.file: {path}: {error.strerror}", "check the path") from None
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        ends = [names[int(w)] if w.isdigit() and int(w) < len(names) else w for w in words]
        if len(ends) != 2 or any(end not in graph for end in ends):
            raise ScenarioError(
                f"{path}, line {number}: {line.strip()!r} is no link",
                f"give two of {names[0]} ... {names[-1]}, or of 0 ... {len(names) - 1}",
            )
        graph.add_edge(*ends)
    return graph


def centrality(graph: Graph, kind: str, seed: int) -> dict[str, float]:
    """Degree or betweenness by name; empty where all are alike."""
    if graph is None:
        return {}
    if kind == "degree":
        return dict(graph.degree())
    nodes = graph.number_of_nodes()
    sources = None if nodes < SAMPLED_FROM else math.isqrt(nodes) * 10
    k = sources and min(sources, nodes)
    return dict(_networkx().betweenness_centrality(graph, k=k, seed=seed))


def connected_among(graph: Graph, alive: Sequence[str]) -> frozenset[str]:
    """Those of `alive` whom the overlay links to at least one other of them."""
    if graph is None:
        return frozenset(alive if len(alive) > 1 else ())
    left = graph.subgraph(alive)
    return frozenset(name for name, degree in left.degree() if degree)
