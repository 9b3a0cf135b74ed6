"""Tables of somebody's own, split over three nodes, against training on all rows in one place.

scikit-learn's breast cancer, wine and diabetes tables are written as CSV files: a quarter of the
rows to test on, the rest in three equal parts. The first node founds the task from its own part, as
`gossipd init` does; the others take its description. They learn together by the daemon's own code
in virtual time, as shipped. Held against them: one node with all three parts, and each part alone;
with the same model, the same number of own steps, and a moving average of its models too.
"""

import csv
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn import datasets

from benchmarks.harness import (
    COLOURS,
    PROCESSES,
    Document,
    Options,
    Report,
    in_processes,
    main,
)
from gossipd.config import Config
from gossipd.founding import Wishes, plan_for
from gossipd.learning.answers import Answers
from gossipd.learning.description import Table
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.table import TableTask
from gossipd.options import options_of
from gossipd.runtime.ports import Vector
from gossipd.simulation.world import Simulation
from gossipd.wire.identifiers import digest
from gossipd_cli.output import table

NODES = 3
TEST_SHARE = 0.25
ROUNDS = 60
SPLITS = range(1, 9)
"""Seeds of the splits: a test set of 44 wines changes by .023 with each wine."""
PATIENCE = 600.0
"""Virtual seconds in which all rounds must have been."""
TARGET = "target"
WAYS = ("together", "all rows", "alone")


@dataclass(frozen=True, slots=True)
class Source:
    """One of scikit-learn's tables."""

    name: str
    load: str
    """Of `sklearn.datasets`."""
    measure: str


SOURCES = (
    Source("breast cancer", "load_breast_cancer", "accuracy"),
    Source("wine", "load_wine", "accuracy"),
    Source("diabetes", "load_diabetes", "rmse"),
)


@dataclass(frozen=True, slots=True)
class Job:
    source: Source
    split: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Row:
    """What each way came to on the test rows: accuracy, or the root mean square error."""

    source: str
    split: int
    together: float
    """The mean of the three nodes' serving models."""
    all_rows: float
    alone: float
    """The mean of the three, each with its own part."""


def run(job: Job) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        test, everything, *parts = _written(Path(folder), job)
        founder, whole = (_described(path) for path in (parts[0], everything))
        nodes = [_learner(founder, part, seed) for seed, part in enumerate(parts, start=1)]
        steps = Config().rounds.local_steps
        measure = _Measure(job.source, test)
        return Row(
            job.source.name,
            job.split,
            together=mean(measure(founder, found) for found in _together(nodes, job)),
            all_rows=measure(whole, _alone(_learner(whole, everything, 1), job.rounds, steps)),
            alone=mean(measure(founder, _alone(node, job.rounds, steps)) for node in nodes),
        )


class _Measure:
    """Of a model on the test rows."""

    def __init__(self, source: Source, test: Path) -> None:
        self._measure = source.measure
        self._test = test

    def __call__(self, description: Table, vector: Vector) -> float:
        answers = Answers(TableTask(description, None))
        given = answers.task.read(self._test, targets=True)
        found = answers.measured(vector, given, self._test)[self._measure]
        assert found is not None, "each table has its measure"
        return float(found)


def _written(folder: Path, job: Job) -> list[Path]:
    """[test rows, all others, one part for each node]"""
    bunch: Any = getattr(datasets, job.source.load)()
    order = np.random.default_rng(job.split).permutation(len(bunch.target))
    cut = round(TEST_SHARE * len(order))
    rows = {"test": order[:cut], "all": order[cut:]}
    rows |= {f"part{n}": part for n, part in enumerate(np.array_split(order[cut:], NODES))}
    paths = []
    for name, chosen in rows.items():
        paths.append(folder / f"{name}.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*bunch.feature_names, TARGET])
            writer.writerows([*bunch.data[row].tolist(), bunch.target[row]] for row in chosen)
    return paths


def _described(path: Path) -> Table:
    described = plan_for(path, Wishes(target=TARGET)).description
    assert isinstance(described, Table)
    return described


def _learner(description: Table, data: Path, seed: int) -> TorchLearner:
    learning = Config().learning
    return TorchLearner(
        TableTask(description, data),
        Shard(),
        lr=learning.lr,
        batch_size=learning.batch_size,
        weight_decay=description.weight_decay,
        seed=seed,
    )


def _together(learners: Sequence[TorchLearner], job: Job) -> list[Vector]:
    """Every node's serving model after so many rounds."""
    swarm = digest(b"gossipd/benchmarks/tables")
    with Simulation(job.split) as sim:
        for number, learner in enumerate(learners):
            sim.add(f"n{number}", learner, options_of(Config(), swarm=swarm))
        sim.introduce(*sim.nodes)
        sim.start(*sim.nodes)
        for node in sim.nodes.values():
            rounds = node.live.node.rounds
            assert rounds is not None, "the shipped mode"
            sim.run_until(lambda: rounds.round >= job.rounds, PATIENCE)  # noqa: B023
        models = [node.live.models for node in sim.nodes.values()]
        return [held.get(held.pointers.serving) for held in models]


def _alone(learner: TorchLearner, rounds: int, steps: int) -> Vector:
    """The moving average of a node that learns by itself, as a swarm's serving model is one."""
    decay = np.float32(Config().gossip.serving_decay)
    vector = average = learner.genesis()
    for number in range(rounds):
        vector = learner.train(vector, None, steps, number * steps).vector
        average = vector if number == 0 else decay * average + (1 - decay) * vector
    return average


def measure(options: Options) -> Report:
    splits, rounds = (SPLITS[:1], 5) if options.quick else (SPLITS, ROUNDS)
    jobs = [Job(source, split, rounds) for source in SOURCES for split in splits]
    rows = in_processes(run, jobs, 1 if options.quick else PROCESSES)
    means = {s.name: _means([row for row in rows if row.source == s.name]) for s in SOURCES}
    return Report(
        dataset="scikit-learn's tables",
        text=_text(means, rows, rounds),
        data={"rounds": rounds, "rows": [asdict(row) for row in rows], "means": means},
        measured={
            "breast cancer: accuracy lost to all rows": _lost(means["breast cancer"]),
            "wine: accuracy lost to all rows": _lost(means["wine"]),
            "diabetes: error against all rows'": means["diabetes"]["together"]
            / means["diabetes"]["all rows"],
        },
        figures={"ways": _figure(means)},
    )


def _means(rows: Sequence[Row]) -> Document:
    look: Mapping[str, Callable[[Row], float]] = {
        "together": lambda row: row.together,
        "all rows": lambda row: row.all_rows,
        "alone": lambda row: row.alone,
    }
    return {way: mean(map(look[way], rows)) for way in WAYS}


def _lost(means: Document) -> float:
    return float(means["all rows"] - means["together"])


def _text(means: Mapping[str, Document], rows: Sequence[Row], rounds: int) -> str:
    def spread(name: str, way: Callable[[Row], float]) -> str:
        found = [way(row) for row in rows if row.source == name]
        return f"{min(found):.4g} to {max(found):.4g}"

    lines = [
        (
            source.name,
            source.measure,
            *(f"{means[source.name][way]:.4g}" for way in WAYS),
            spread(source.name, lambda row: row.together - row.all_rows),
        )
        for source in SOURCES
    ]
    headings = ("table", "measure", *(f">{way}" for way in WAYS), ">difference, each split")
    return f"After {rounds} rounds, mean over the splits:\n\n{table(headings, lines)}"


def _figure(means: Mapping[str, Document]) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    for place, source in zip(figure.subplots(1, len(SOURCES)), SOURCES, strict=True):
        place.bar(WAYS, [means[source.name][way] for way in WAYS], color=COLOURS[: len(WAYS)])
        place.set(title=source.name, ylabel=source.measure)
    return figure


if __name__ == "__main__":
    sys.exit(main("tables", "Own tables on three nodes against all rows in one place.", measure))
