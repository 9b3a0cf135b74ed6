"""Two islands that learn apart and meet: as the daemon's own code does it, and as plain loops do.

`simulated` runs whole daemons in virtual time. Each island knows only its own nodes until one node
of the one is told where one of the other is; what follows from that is the swarm's doing. `looped`
has no network and no clock: rounds in lockstep, and at the meeting either rule at once.

    round 0   the moment of contact: the first connection between the islands
    round n   the n-th round whose sample was drawn after it, once its work has been averaged

Accuracies are those of the serving models, which people predict with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import torch

from benchmarks.workload import Images, Source
from gossipd.averaging.concurrent import Side, merge_concurrent
from gossipd.averaging.variance import variance_corrected
from gossipd.config import Config
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples
from gossipd.protocol.gossip import Settings
from gossipd.protocol.round_settings import RoundSettings
from gossipd.runtime.assembly import Options
from gossipd.simulation.world import Simulation
from gossipd.tensors.layout import Vector

LR = 0.1
BATCH = 32
HIDDEN = 100
LOCAL_STEPS = 13
"""About one epoch of a node's 400 examples."""
DECAY = 0.8
ROUND_SECONDS = 1.0
"""With a pull every five seconds as in the shipped configuration: one every five rounds."""
GREETING_SECONDS = 60.0
"""Virtual seconds that the islands may take to shake hands, and a round to be made."""

Rule = Literal["paper", "ours"]


@dataclass(frozen=True, slots=True)
class Island:
    """Who is on it."""

    nodes: int
    labels: tuple[int, ...]
    examples: int
    """In all, IID over the nodes."""
    rounds: int
    """That it has made, at least, when it meets the other."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """One repetition: weights, batches, latencies and samples by `seed`."""

    source: Source
    islands: tuple[Island, Island]
    rounds: tuple[int, ...]
    """After which it is judged."""
    sample: int
    seed: int


@dataclass(frozen=True, slots=True)
class Judged:
    """The nodes' serving models so many rounds after contact."""

    round: int
    median: float
    worst: float
    small: float
    """Median over the nodes, on the classes of the island with fewer examples."""


class Portion(Images):
    """A perceptron with 100 hidden units on some of the images, tested on some of the classes."""

    def __init__(
        self, source: Source, rows: np.ndarray, classes: Sequence[int] | None = None
    ) -> None:
        super().__init__(source, hidden=HIDDEN)
        self._rows = rows
        self._asked = classes

    def train_data(self, shard: Shard) -> Examples:
        inputs, labels = self._train
        return self._with_spares(inputs[self._rows], labels[self._rows])

    def test_data(self) -> Examples:
        inputs, labels = self._test
        if self._asked is None:
            return inputs, labels
        chosen = torch.isin(labels, torch.tensor(self._asked))
        return inputs[chosen], labels[chosen]


class Judge:
    """Measures models on all classes and on the small island's."""

    def __init__(self, this: Meeting) -> None:
        small = min(this.islands, key=lambda island: island.examples)
        nobody = np.empty(0, np.int64)
        self._all = TorchLearner(Portion(this.source, nobody), Shard(), lr=LR)
        self._small = TorchLearner(Portion(this.source, nobody, small.labels), Shard(), lr=LR)

    def __call__(self, number: int, models: Sequence[Vector]) -> Judged:
        # Most nodes hold one model: it is judged once.
        found = {model.tobytes(): model for model in models}
        every = {key: self._all.test(model).accuracy or 0.0 for key, model in found.items()}
        small = {key: self._small.test(model).accuracy or 0.0 for key, model in found.items()}
        keys = [model.tobytes() for model in models]
        return Judged(
            number,
            median(every[key] for key in keys),
            min(every.values()),
            median(small[key] for key in keys),
        )


def deal(this: Meeting) -> tuple[list[TorchLearner], list[TorchLearner]]:
    """The learners of both islands; no example is on two nodes."""
    labels = Images(this.source)._train[1].numpy()
    order = np.random.default_rng(this.seed).permutation(len(labels))
    taken: set[int] = set()
    dealt = []
    for number, island in enumerate(this.islands):
        rows = [int(row) for row in order if labels[row] in island.labels and row not in taken]
        chosen = rows[: island.examples]
        taken.update(chosen)
        parts = np.array_split(np.array(chosen, np.int64), island.nodes)
        dealt.append(
            [
                TorchLearner(
                    Portion(this.source, part),
                    Shard(),
                    lr=LR,
                    batch_size=BATCH,
                    seed=1000 * this.seed + 100 * number + place,
                )
                for place, part in enumerate(parts)
            ]
        )
    return dealt[0], dealt[1]


# --- whole daemons in virtual time ----------------------------------------------------------------


def simulated(this: Meeting) -> list[Judged]:
    """What the shipped code makes of it."""
    judge = Judge(this)
    with Simulation(this.seed) as sim:
        names: list[list[str]] = []
        for letter, learners in zip("ab", deal(this), strict=True):
            names.append([f"{letter}{place}" for place in range(len(learners))])
            for name, learner in zip(names[-1], learners, strict=True):
                sim.add(name, learner, options(this.sample))
            sim.introduce(*names[-1])
        _learn_apart(sim, this, names)
        log = _Rounds(sim)
        before = log.highest()
        # One is told of one: as when somebody walks from the one village to the other.
        sim.tell(names[0][0], names[1][0])
        sim.run_until(lambda: _met(sim, names), GREETING_SECONDS, every=0.01)
        # A sample is drawn while its model is averaged.
        first = max(log.highest(), before) + 1
        found = []
        for number in this.rounds:
            _wait_for(sim, log, first + number)
            nodes = [node.live.models for node in sim.running]
            found.append(judge(number, [m.get(m.pointers.serving) for m in nodes]))
        return found


def options(sample: int) -> Options:
    """The shipped configuration, but for the rounds' pace and the steps in each."""
    config = Config()
    gossip, network, rounds = config.gossip, config.network, config.rounds
    return Options(
        swarm=None,
        agent="gossipd/benchmark",
        gossip=Settings(
            gossip.cycle_seconds, LOCAL_STEPS, gossip.fanout, gossip.buffer, gossip.exchange
        ),
        anti_entropy_seconds=gossip.anti_entropy_seconds,
        averaging=gossip.averaging,
        self_weight=gossip.self_weight,
        serving_decay=gossip.serving_decay,
        codec=gossip.codec,
        init=gossip.init,
        max_connections=network.max_connections,
        request_timeout=network.request_timeout,
        dial_timeout=network.dial_timeout,
        progress_timeout=network.progress_timeout,
        rounds=RoundSettings(
            sample=sample,
            aggregators=rounds.aggregators,
            success_fraction=rounds.success_fraction,
            activity_window=rounds.activity_window,
            local_steps=LOCAL_STEPS,
            round_seconds=ROUND_SECONDS,
            exchange=True,
        ),
    )


class _Rounds:
    """The highest round whose model has been made, by the log."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._read = 0
        self._highest = 0

    def highest(self) -> int:
        entries = self._sim.log.entries
        for entry in entries[self._read :]:
            if entry.kind == "aggregated":
                self._highest = max(self._highest, int(entry.fields["round"]))
        self._read = len(entries)
        return self._highest


def _wait_for(sim: Simulation, log: _Rounds, round_: int) -> None:
    sim.run_until(lambda: log.highest() >= round_, 600.0, every=0.05)


def _learn_apart(sim: Simulation, this: Meeting, names: Sequence[Sequence[str]]) -> None:
    """The island with more rounds begins earlier, so that both are there at the same time."""
    rounds = [island.rounds for island in this.islands]
    early = max((0, 1), key=lambda place: rounds[place])
    late = 1 - early
    sim.start(*names[early])
    sim.run((rounds[early] - rounds[late]) * ROUND_SECONDS)
    sim.start(*names[late])

    def ready() -> bool:
        return all(
            _round(sim, island) >= goal or len(island) == 1
            for island, goal in zip(names, rounds, strict=True)
        )

    sim.run(rounds[late] * ROUND_SECONDS)
    sim.run_until(ready, 600.0, every=0.1)


def _round(sim: Simulation, names: Sequence[str]) -> int:
    return max(sim.nodes[name].live.node.mode.round for name in names)  # type: ignore[union-attr]


def _met(sim: Simulation, names: Sequence[Sequence[str]]) -> bool:
    there = [sim.nodes[name].peer_id for name in names[1]]
    return any(sim.nodes[name].live.node.peers.is_met(peer) for name in names[0] for peer in there)


# --- plain loops ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _State:
    model: Vector
    serving: Vector
    steps: int = 0


def looped(this: Meeting, rule: Rule) -> list[Judged]:
    """The paper's rule keeps what the higher round has made; ours merges both, models and serving
    models. Then everybody's samples train on."""
    judge = Judge(this)
    islands = deal(this)
    layout = islands[0][0].layout
    chance = np.random.default_rng(this.seed)
    states = []
    for island, learners in zip(this.islands, islands, strict=True):
        genesis = learners[0].genesis()
        state = _State(genesis, genesis)
        for _ in range(island.rounds):
            _round_of(state, learners, this.sample, chance)
        states.append(state)
    if rule == "paper":
        higher = max((0, 1), key=lambda place: this.islands[place].rounds)
        state = states[higher]
    else:

        def merged(of: Callable[[_State], Vector]) -> Vector:
            sides = [
                Side(of(state), *_profile(learners))
                for state, learners in zip(states, islands, strict=True)
            ]
            return merge_concurrent(layout, sides)

        steps = max(state.steps for state in states)
        state = _State(merged(lambda s: s.model), merged(lambda s: s.serving), steps)
    everybody = [*islands[0], *islands[1]]
    found, number = [], 0
    for wanted in this.rounds:
        while number < wanted:
            _round_of(state, everybody, this.sample, chance)
            number += 1
        found.append(judge(number, [state.serving]))
    return found


def _round_of(
    state: _State, learners: Sequence[TorchLearner], sample_size: int, chance: np.random.Generator
) -> None:
    count = min(sample_size, len(learners))
    sample = [learners[i] for i in sorted(chance.choice(len(learners), count, replace=False))]
    heads = [node.train(state.model, None, LOCAL_STEPS, state.steps).vector for node in sample]
    weights = [node.examples for node in sample]
    before = state.steps
    state.model = variance_corrected(sample[0].layout, None, heads, weights=weights)
    state.steps += LOCAL_STEPS
    decay = DECAY if before else 0.0
    state.serving = (decay * state.serving.astype("f8") + (1 - decay) * state.model).astype("f4")


def _profile(learners: Sequence[TorchLearner]) -> tuple[int, tuple[int, ...]]:
    counts = [learner.class_counts or () for learner in learners]
    return sum(learner.examples for learner in learners), tuple(map(sum, zip(*counts, strict=True)))
