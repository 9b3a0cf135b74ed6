"""What sampled rounds are compared with: three known ways to learn together, as plain loops.

    FedAvg       a server draws s nodes, they train on its model, it averages by examples
                 (McMahan et al., arXiv 1602.05629)
    D-PSGD       every node trains and averages with its neighbours on a random regular graph, all
                 with equal weights (Lian et al., arXiv 1705.09056)
    age gossip   every node sends its model to one random other, who merges by age and trains on:
                 (a1 w1 + a2 w2) / (a1 + a2), age = max (Ormándi et al., arXiv 1109.1396); here in
                 cycles, so that nobody is faster than others

They are loops written for this comparison, not the projects of those names. Where there was a
choice it was made in their favour: nothing gets lost, nobody waits for a handshake, nothing is said
beside the models. Counted are bodies in the same codec and MANIFEST bytes for what any protocol has
to say of a model. Time is that of the same machines and links; the server's uplink is fifty times a
node's.

Tracks: "model" is the server's, "average" its moving average (the rounds' own decay); "nodes" are
the nodes' models after averaging. A moving average of these was tried and is four rounds later.
"""

from collections.abc import Callable, Iterable, Sequence

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from benchmarks import sampled
from benchmarks.course import (
    COSTS,
    DECAY,
    LINK,
    STEPS,
    UPLINK,
    Course,
    Judge,
    Point,
    Swarm,
    is_over,
    nodes_of,
    spread,
    task_of,
)
from gossipd.averaging.mean import mean
from gossipd.learning.ensemble import Ensemble, Job
from gossipd.simulation.world import Simulation
from gossipd.tensors import codecs
from gossipd.tensors.layout import Vector

DEGREE = 10
MANIFEST = 640
"""Bytes: what a signed manifest of ours takes without a lineage (tests/benchmarks measures it)."""
SERVER_UPLINK = 50 * UPLINK

Floats = NDArray[np.float64]
Loop = Callable[[Swarm, str, int], Course]
"""(swarm, codec, seed)."""


class World:
    """Nodes, their machines and their links, and the course that a loop takes through it."""

    def __init__(self, swarm: Swarm, codec: str, seed: int) -> None:
        self.swarm = swarm
        self.chance = np.random.default_rng([seed, swarm.nodes])
        self.learners = nodes_of(swarm, seed)
        self.judge = Judge(self.learners[0])
        self.genesis = self.learners[0].genesis()
        self.course: list[Point] = []
        self._ensemble = Ensemble(task_of(swarm))
        self._layout = self.learners[0].layout
        self._codec = codec
        self._trained = [0] * swarm.nodes
        self._encoded = 0
        self.bytes = 0
        """Sent until now, by all."""
        message = codecs.body_sizes(codec, self._layout).most + MANIFEST
        self.upload = message / UPLINK
        """Seconds until a model has left a node."""
        each = COSTS.job + COSTS.megabyte * self._layout.parameters * 4e-6
        self.work = each + STEPS * COSTS.step + COSTS.evaluation
        """Seconds of a training; what is judged on held-out examples included, as in the rounds."""
        self.merge = each
        self.latency = self._latencies(swarm.nodes + 1)
        """Seconds one way from node to node; the last one is the server."""

    def _latencies(self, count: int) -> Floats:
        """Every pair has its own, log-uniformly, as the simulator draws them."""
        least, most = LINK.latency
        drawn = least * (most / least) ** self.chance.random((count, count))
        upper: Floats = np.triu(drawn, 1)
        return upper + upper.T

    def delay(self, sender: int, receiver: int) -> float:
        jitter = 1.0 + LINK.jitter * self.chance.random()
        return float(self.latency[sender, receiver] * jitter)

    def train(self, who: Sequence[int], start: Sequence[Vector]) -> list[Vector]:
        """Each node's own next mini-batches; one without examples returns what it was given."""
        jobs = [
            Job(self.learners[node], vector, None, STEPS, self._trained[node])
            for node, vector in zip(who, start, strict=True)
        ]
        for node in who:
            self._trained[node] += STEPS
        return [done.vector for done in self._ensemble.train(jobs)]

    def sent(self, vector: Vector, copies: int = 1) -> Vector:
        """A model as it is decoded where it arrives; its bytes are counted."""
        body = codecs.encode(self._codec, vector - self.genesis, self._layout, self._encoded)
        self._encoded += 1
        self.bytes += copies * (len(body) + MANIFEST)
        return self.genesis + codecs.decode(self._codec, body, self._layout)

    def judged(self, models: Iterable[Vector]) -> dict[str, float]:
        """The tracks of the nodes' models."""
        return spread("nodes", [self.judge(model) for model in models])

    def note(self, seconds: float, accuracy: dict[str, float]) -> None:
        self.course.append(Point(len(self.course) + 1, seconds, self.bytes, accuracy))


def fedavg(swarm: Swarm, codec: str, seed: int) -> Course:
    """Rounds of s nodes drawn by a server among those that have examples."""

    def draw(world: World, able: Sequence[int], count: int) -> list[int]:
        return [int(node) for node in world.chance.choice(able, count, replace=False)]

    return _fedavg(World(swarm, codec, seed), draw)


def fedavg_same_draws(swarm: Swarm, codec: str, seed: int) -> Course:
    """As `fedavg`, but in each round those whom the sampled rounds draw, also by chance: so that
    neither is luckier in whom it draws."""
    with Simulation(seed) as sim:

        def draw(world: World, able: Sequence[int], count: int) -> list[int]:
            return sampled.draws(sim, able, count, len(world.course) + 1)

        world = World(swarm, codec, seed)
        sampled.populate(sim, swarm, codec, world.learners)
        return _fedavg(world, draw)


def _fedavg(world: World, draw: Callable[[World, Sequence[int], int], list[int]]) -> Course:
    swarm = world.swarm
    able = [node for node, learner in enumerate(world.learners) if learner.examples]
    server, model, average = swarm.nodes, world.genesis, world.genesis
    seconds = 0.0
    while not is_over(swarm, world.course, ("model", "average")):
        count = min(swarm.sample, len(able))
        sample = sorted(draw(world, able, count))
        received = world.sent(model, count)
        trained = [world.sent(m) for m in world.train(sample, [received] * count)]
        model = mean(trained, [world.learners[node].examples for node in sample])
        average = model if not world.course else moving(average, model)
        down = world.upload * UPLINK / SERVER_UPLINK
        seconds += world.merge + max(
            # The server's copies leave one after the other.
            (place + 1) * down
            + world.delay(server, node)
            + world.work
            + world.upload
            + world.delay(node, server)
            for place, node in enumerate(sample)
        )
        world.note(seconds, {"model": world.judge(model), "average": world.judge(average)})
    return world.course


def dpsgd(swarm: Swarm, codec: str, seed: int) -> Course:
    """All nodes, on a random graph in which each has DEGREE neighbours."""
    world = World(swarm, codec, seed)
    degree = min(DEGREE, swarm.nodes - 1)
    graph = nx.random_regular_graph(degree, swarm.nodes, seed=seed)
    mixing = nx.to_numpy_array(graph, nodelist=range(swarm.nodes)).astype("f4")
    everybody = range(swarm.nodes)
    models = np.stack([world.genesis] * swarm.nodes)
    ready = np.zeros(swarm.nodes)
    while not is_over(swarm, world.course, ("nodes median",)):
        own = np.stack(world.train(everybody, list(models)))
        others = np.stack([world.sent(model, degree) for model in own])
        models = (own + mixing @ others) / np.float32(degree + 1)
        ready = _met(world, graph, ready + world.work) + world.merge
        world.note(float(np.median(ready)), world.judged(models))
    return world.course


def _met(world: World, graph: "nx.Graph[int]", done: Floats) -> Floats:
    """When each node has heard from all neighbours, who send to theirs one after the other."""
    heard = done.copy()
    for node in graph:
        for place, other in enumerate(sorted(graph[node])):
            leaves = done[node] + (place + 1) * world.upload
            heard[other] = max(heard[other], leaves + world.delay(node, other))
    return heard


def age_gossip(swarm: Swarm, codec: str, seed: int) -> Course:
    """All nodes in cycles: send to one random other, merge what came, train."""
    world = World(swarm, codec, seed)
    count = swarm.nodes
    models, ages = [world.genesis] * count, [0] * count
    seconds = 0.0
    while not is_over(swarm, world.course, ("nodes median",)):
        models = world.train(range(count), models)
        ages = [
            a + (STEPS if node.examples else 0)
            for a, node in zip(ages, world.learners, strict=True)
        ]
        travelling = [(world.sent(model), age) for model, age in zip(models, ages, strict=True)]
        slowest = 0.0
        for sender, (model, age) in enumerate(travelling):
            other = int(world.chance.integers(count - 1))
            other += other >= sender
            models[other], ages[other] = by_age(models[other], ages[other], model, age)
            slowest = max(slowest, world.delay(sender, other))
        seconds += world.work + world.upload + slowest + world.merge
        world.note(seconds, world.judged(models))
    return world.course


def by_age(own: Vector, own_age: int, other: Vector, age: int) -> tuple[Vector, int]:
    """(a1 w1 + a2 w2) / (a1 + a2), max(a1, a2)."""
    if not own_age + age:
        return own, 0
    share = np.float32(age / (own_age + age))
    return own + share * (other - own), max(own_age, age)


def moving(average: Vector, model: Vector) -> Vector:
    """E <- d E + (1 - d) M, as the rounds' serving chain."""
    return np.float32(DECAY) * average + np.float32(1.0 - DECAY) * model
