"""Does ranking pay? Whom a node with skewed data turns to, and how well it predicts its own mix.

Forty whole daemons in virtual time, as shipped but for `mode = "gossip"`, each with a fortieth of
the images. In the same time, and with as many exchanges, they turn to peers by rank or to anybody.

    groups      ten nodes each hold the labels 0-2, 3-5, 6-7, 8-9
    dirichlet   each label is dealt out in proportions of Dir(.1)
    iid         everybody's data are alike: nothing to be found

"own mix": a node's accuracy on the test images, each label weighed by its share of the node's own
examples; "all labels": on all of them. Of the nodes' serving models, means over the nodes and the
last looks. "clicks alone": by rank while nobody says which labels it has, so that there is nothing
to go by but whose models have lowered whose loss.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, median
from typing import Literal

import msgspec
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.harness import COLOURS, PROCESSES, Document, Options, Report, in_processes, main
from benchmarks.workload import Images, Source, source
from gossipd.config import Config
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples
from gossipd.options import options_of
from gossipd.simulation.node import Machine
from gossipd.simulation.world import Simulation
from gossipd.wire.identifiers import digest
from gossipd_cli.output import table

DATASET = "mnist-10k"
SEEDS = (1, 2, 3, 4, 5)
HIDDEN = 100
NODES = 40
GROUPS = ((0, 1, 2), (3, 4, 5), (6, 7), (8, 9))
ALPHA = 0.1
SECONDS = 10.0
"""Virtual: twenty training cycles. What rank gains is the same after thirty (groups, one seed)."""
EVERY = 2.5
LOOKS = 2
"""The last ones, whose mean counts: a look is a moment between two merges."""
SWARM = digest(b"gossipd/benchmarks/personal")
Setting = Literal["groups", "dirichlet", "iid"]
Policy = Literal["uniform", "rank", "clicks alone"]
POLICIES: Mapping[Policy, Document] = {
    "uniform": {"ranking": {"peers": "uniform"}},
    "rank": {"ranking": {"peers": "rank"}},
    "clicks alone": {"ranking": {"peers": "rank"}, "task": {"show_labels": False}},
}
PLAN: Mapping[Setting, Sequence[Policy]] = {
    "groups": ("uniform", "rank", "clicks alone"),
    "dirichlet": ("uniform", "rank"),
    "iid": ("uniform", "rank"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    images: Source
    setting: Setting
    policy: Policy
    seed: int
    nodes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Course:
    """What was seen, look by look, and what it cost."""

    seconds: list[float]
    own: list[float]
    """Mean own-mix accuracy of the serving models."""
    worst: list[float]
    whole: list[float]
    """Mean accuracy on all test images."""
    megabytes: float
    """Sent by a node, all in all."""


Found = dict[Setting, dict[Policy, list[Course]]]


class Mixed(Images):
    """The images as a node's task. What is held out of its shard nobody trains on: by the loss on
    that, merges are judged. Measured is each label by itself too."""

    def __init__(self, images: Source) -> None:
        super().__init__(images, hidden=HIDDEN)

    def _with_spares(self, inputs: Tensor, labels: Tensor) -> Examples:
        return inputs, labels

    def metrics(self, output: Tensor, targets: Tensor) -> Mapping[str, float]:
        right = (output.argmax(dim=1) == targets).double()
        each = {str(n): right[targets == n] for n in range(self.classes)}
        return {"accuracy": float(right.mean())} | {
            name: float(these.mean()) for name, these in each.items() if len(these)
        }


def run(job: Job) -> Course:
    task = Mixed(job.images)
    config = msgspec.convert({"mode": "gossip", **POLICIES[job.policy]}, Config, strict=True)
    course = Course([], [], [], [], 0.0)
    with Simulation(job.seed) as sim:
        for number in range(job.nodes):
            learner = _learner(task, job, number)
            options = options_of(config, swarm=SWARM)
            sim.add(f"n{number}", learner, options, Machine(upkeep_seconds=None))
        sim.introduce(*sim.nodes)
        sim.start(*sim.nodes)
        while sim.now < job.seconds:
            sim.run(EVERY)
            own, whole = zip(*_looked(sim, task), strict=True)
            course.seconds.append(sim.now)
            course.own.append(mean(own))
            course.worst.append(min(own))
            course.whole.append(mean(whole))
        sent = [sum(node.traffic.sent.values()) for node in sim.nodes.values()]
    return replace(course, megabytes=mean(sent) / 1e6)


def _learner(task: Mixed, job: Job, number: int) -> TorchLearner:
    settings = Config().learning
    return TorchLearner(
        task,
        _shard(job, number),
        lr=settings.lr,
        batch_size=settings.batch_size,
        seed=1000 * job.seed + number,
    )


def _shard(job: Job, number: int) -> Shard:
    if job.setting == "dirichlet":
        return Shard("dirichlet", number, job.nodes, alpha=ALPHA, seed=job.seed)
    if job.setting == "iid":
        return Shard("iid", number, job.nodes, seed=job.seed)
    each = job.nodes // len(GROUPS)
    return Shard("iid", number % each, each, seed=job.seed, labels=GROUPS[number // each])


def _looked(sim: Simulation, task: Mixed) -> list[tuple[float, float]]:
    """Own-mix accuracy and accuracy of each node that has examples."""
    found = []
    judge = TorchLearner(task, Shard(parts=0), lr=1.0)
    for node in sim.nodes.values():
        counts = np.array(node.learner.class_counts)
        if counts.sum():
            models = node.live.models
            metrics = judge.test(models.get(models.pointers.serving)).metrics
            right = np.array([metrics[str(n)] for n in range(task.classes)])
            found.append((float(right @ counts / counts.sum()), metrics["accuracy"]))
    return found


def measure(options: Options) -> Report:
    images = source(options.data, DATASET)
    seeds = SEEDS[:1] if options.quick else SEEDS
    nodes, seconds = (8, EVERY * LOOKS) if options.quick else (NODES, SECONDS)
    jobs = [
        Job(images, setting, policy, seed, nodes, seconds)
        for setting, policies in PLAN.items()
        for policy in policies
        for seed in seeds
    ]
    courses = in_processes(run, jobs, 1 if options.quick else PROCESSES)
    found: Found = {}
    for job, course in zip(jobs, courses, strict=True):
        found.setdefault(job.setting, {}).setdefault(job.policy, []).append(course)
    return Report(
        dataset=images.name,
        text=_text(found, images),
        data={
            "seeds": list(seeds),
            "rows": [
                {"setting": setting, "policy": policy, **asdict(one)}
                for setting, ways in found.items()
                for policy, these in ways.items()
                for one in these
            ],
        },
        measured={
            "groups: own mix, gained by rank": median(_gained(found["groups"])),
            "groups: bytes, times uniform's": _bytes(found["groups"]),
            "iid: own mix, gained by rank": median(_gained(found["iid"])),
        },
        figures={"own-mix": _figure(found, images)},
    )


def _end(course: Course, of: Sequence[float]) -> float:
    assert len(of) == len(course.seconds) >= LOOKS
    return mean(of[-LOOKS:])


def _gained(ways: Mapping[Policy, Sequence[Course]], policy: Policy = "rank") -> list[float]:
    """In own mix, by seed: the data, keys and lots of both runs are the same."""
    return [
        _end(one, one.own) - _end(base, base.own)
        for one, base in zip(ways[policy], ways["uniform"], strict=True)
    ]


def _bytes(ways: Mapping[Policy, Sequence[Course]]) -> float:
    pairs = zip(ways["rank"], ways["uniform"], strict=True)
    return median(one.megabytes / base.megabytes for one, base in pairs)


def _text(found: Found, images: Source) -> str:
    lines = []
    for setting, ways in found.items():
        for policy, courses in ways.items():
            gained = [] if policy == "uniform" else _gained(ways, policy)
            columns = (
                [_end(one, one.own) for one in courses],
                [_end(one, one.worst) for one in courses],
                [_end(one, one.whole) for one in courses],
            )
            cells = [f"{median(values):.3f}" for values in columns]
            each = " ".join(f"{value:+.3f}" for value in gained)
            gain = f"{median(gained):+.3f} ({each})" if gained else ""
            sent = f"{median(one.megabytes for one in courses):.1f}"
            lines.append((setting if not gained else "", policy, *cells, gain, sent))
    heads = (
        "",
        "peers",
        ">own mix",
        ">worst node",
        ">all labels",
        "gained (each seed)",
        ">MB sent",
    )
    return f"Serving models on {images.name}, medians over the seeds:\n\n{table(heads, lines)}"


STYLES: Mapping[Policy, str] = {"uniform": "--", "rank": "-", "clicks alone": ":"}


def _figure(found: Found, images: Source) -> Figure:
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for place, (setting, ways) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for colour, (policy, courses) in zip(COLOURS, ways.items(), strict=False):
            seconds = courses[0].seconds
            for what, width in (("own", 2.0), ("whole", 0.8)):
                looks = [getattr(course, what) for course in courses]
                values = [median(look) for look in zip(*looks, strict=True)]
                place.plot(
                    seconds,
                    values,
                    STYLES[policy],
                    color=colour,
                    linewidth=width,
                    label=policy if what == "own" else f"{policy}, all labels",
                )
        place.set(title=setting, xlabel="virtual seconds")
        place.grid(alpha=0.3)
        if setting == "groups":
            place.legend(loc="lower right", fontsize=8)
            place.set_ylabel(f"accuracy, {images.name}")
    return figure


if __name__ == "__main__":
    sys.exit(main("personal", "Does turning to peers by rank pay?", measure))
