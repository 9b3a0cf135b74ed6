"""The reference loop: nodes on a graph train and average in lockstep, by gossipd's own averaging.

Every round each node makes one epoch on its own examples and then takes the average of its model
and those of its neighbours, all as they were before anybody averaged. No network, no clock, no
codec: what is left is the averaging rule and the graph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import networkx as nx
import numpy as np

from benchmarks.workload import Images, Source, learners
from gossipd.averaging.mean import mean
from gossipd.averaging.variance import SELF_WEIGHT, variance_corrected
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.tensors.layout import Layout, Vector

LR = 0.1
BATCH = 32
DEGREE = 4
ATTACHED = 2
"""Links of a new node in a scale-free graph (ours)."""

Rule = Literal["plain", "corrected", "common"]
"""Independent initial weights and the plain average or the corrected one; or the plain average of
models that had common initial weights."""
Topology = Literal["ring", "regular", "scale-free", "server", "alone"]


@dataclass(frozen=True, slots=True)
class Setting:
    """Who holds what, and who hears whom."""

    topology: Topology
    nodes: int = 10
    rounds: int = 30
    hidden_layers: int = 1
    alpha: float | None = None
    """Label skew by Dirichlet; None: IID."""
    push: bool = False
    """Each node sends to one random neighbour instead of all."""
    self_weight: float | None = SELF_WEIGHT
    """None: one's own model counts like any other."""
    judge_every: int = 1
    """Rounds between two evaluations; the last round is always judged."""


@dataclass(frozen=True, slots=True)
class Run:
    """One repetition of a setting: partition, graph, initial weights and batches by `seed`."""

    source: Source
    setting: Setting
    rule: Rule
    seed: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Test accuracy over the nodes after a round's averaging."""

    round: int
    median: float
    worst: float


def run(this: Run) -> list[Judged]:
    """Train as `this` says; the judged rounds in order."""
    setting = this.setting
    nodes = _nodes(this)
    neighbours = _neighbours(setting, this.seed)
    chance = np.random.default_rng(this.seed)
    common = this.rule == "common"
    models = [(nodes[0] if common else node).own_start() for node in nodes]
    judged = []
    for number in range(1, setting.rounds + 1):
        trained = [_epoch(node, model, number) for node, model in zip(nodes, models, strict=True)]
        if setting.topology == "server":
            models = [mean(trained, [node.examples for node in nodes])] * len(nodes)
        else:
            heard = _pushed(neighbours, chance) if setting.push else neighbours
            models = [
                _average(this, nodes[0].layout, own, [trained[other] for other in others])
                for own, others in zip(trained, heard, strict=True)
            ]
        if number % setting.judge_every == 0 or number == setting.rounds:
            judged.append(_judge(number, nodes, models))
    return judged


def _nodes(this: Run) -> list[TorchLearner]:
    setting = this.setting
    scheme: Literal["iid", "dirichlet"] = "iid" if setting.alpha is None else "dirichlet"
    shards = [
        Shard(scheme, node, setting.nodes, alpha=setting.alpha or 1.0, seed=this.seed)
        for node in range(setting.nodes)
    ]
    task = Images(this.source, setting.hidden_layers)
    return learners(task, shards, lr=LR, batch_size=BATCH, seed=this.seed)


def _neighbours(setting: Setting, seed: int) -> list[list[int]]:
    match setting.topology:
        case "ring":
            graph = nx.cycle_graph(setting.nodes)
        case "regular":
            graph = nx.random_regular_graph(DEGREE, setting.nodes, seed=seed)
        case "scale-free":
            graph = nx.barabasi_albert_graph(setting.nodes, ATTACHED, seed=seed)
        case _:
            graph = nx.empty_graph(setting.nodes)
    return [sorted(graph[node]) for node in range(setting.nodes)]


def _pushed(neighbours: Sequence[Sequence[int]], chance: np.random.Generator) -> list[list[int]]:
    """Who hears whom when each node sends to one of its neighbours."""
    heard: list[list[int]] = [[] for _ in neighbours]
    for sender, others in enumerate(neighbours):
        heard[others[int(chance.integers(len(others)))]].append(sender)
    return heard


def _epoch(node: TorchLearner, model: Vector, number: int) -> Vector:
    """As many whole batches as hold all examples once: the last one reaches into the next epoch."""
    steps = math.ceil(node.examples / BATCH)
    return node.train(model, None, steps, (number - 1) * steps).vector


def _average(this: Run, layout: Layout, own: Vector, received: Sequence[Vector]) -> Vector:
    if not received:
        return own
    weight = this.setting.self_weight
    beta = 1 / (len(received) + 1) if weight is None else weight
    if this.rule == "corrected":
        return variance_corrected(layout, own, received, self_weight=beta)
    others = [(1 - beta) / len(received)] * len(received)
    return mean([own, *received], [beta, *others])


def _judge(number: int, nodes: Sequence[TorchLearner], models: Sequence[Vector]) -> Judged:
    # The nodes of a server hold one object: it is judged once.
    different = {id(model): model for model in models}.values()
    accuracies = [nodes[0].test(model).accuracy or 0.0 for model in different]
    return Judged(number, median(accuracies), min(accuracies))
