"""Sampled rounds against FedAvg, D-PSGD and age-weighted gossip: rounds, bytes and virtual time.

The rounds are the daemon's own code in the simulator (`sampled`), the others are plain loops
(`baselines`) on the same data, model, mini-batches, machines and links (`course`). MNIST, 8,000
examples over 100 nodes, IID and by Dirichlet .1, ten of them in a sample; a perceptron 784-100-10,
18 mini-batches of 20 examples a round, SGD lr .1.

Compared is like with like: the model of a round, M_k, with the server's in FedAvg; the serving
chain E_k with a moving average of the server's; what the median node predicts with, and what it
costs to bring it there, with the median node's model in D-PSGD.

Targets: .92 IID and .90 under skew, what FedAvg reaches in about ten and twenty rounds: early
enough to be a question of speed, and late enough that one round is a tenth or less.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import baselines, few_of_many, sampled
from benchmarks.course import Course, Point, Swarm, reached
from benchmarks.few_of_many import FewOfMany
from benchmarks.harness import (
    COLOURS,
    PROCESSES,
    Document,
    Options,
    Report,
    in_processes,
    main,
    median_or_none,
)
from benchmarks.workload import source
from gossipd.config import Config
from gossipd_cli.output import table

DATASET = "mnist-10k"
MEGABYTE = 1e6
SHIPPED = Config().gossip.codec
LOOPS: Mapping[str, baselines.Loop] = {
    "fedavg": baselines.fedavg,
    "fedavg-same-draws": baselines.fedavg_same_draws,
    "dpsgd": baselines.dpsgd,
    "age": baselines.age_gossip,
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to learn together, and whose models it is judged by."""

    loop: str
    """Of `LOOPS`; "sampled": the daemon's own rounds."""
    codec: str
    name: str
    tracks: tuple[tuple[str, str], ...]
    """Track and what people call it, the most important first."""


_SERVER = (("model", "the server's"), ("average", "its moving average"))
_NODES = (("nodes median", "median node's"),)
_SAMPLED = (
    ("nodes median", "median node's serving"),
    ("model", "round's, M_k"),
    ("average", "serving chain, E_k"),
)
OURS = Way("sampled", "dense", "sampled rounds", _SAMPLED)
FEDAVG = Way("fedavg", "dense", "FedAvg", _SERVER)
SAME_DRAWS = Way("fedavg-same-draws", "dense", "FedAvg, same draws", _SERVER)
DPSGD = Way("dpsgd", "dense", "D-PSGD", _NODES)
AGE = Way("age", "dense", "age-weighted gossip", _NODES)
WAYS = (
    OURS,
    Way("sampled", SHIPPED, f"sampled rounds, {SHIPPED}", _SAMPLED),
    FEDAVG,
    SAME_DRAWS,
    DPSGD,
    # What the shipped `auto` chooses goes by who holds what; a loop sends float16.
    Way("dpsgd", "half", "D-PSGD, half", _NODES),
    AGE,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How large all of it is."""

    nodes: int
    sample: int
    splits: Mapping[str, tuple[float | None, float, int]]
    """Name -> Dirichlet's alpha, target, rounds at most."""
    few_nodes: int
    few: int
    """How many of these train in a round."""
    settled: int
    """The round from which on few in a sample are held against all."""
    last: int


FULL = Scale(
    nodes=100,
    sample=10,
    splits={"IID": (None, 0.92, 40), "Dirichlet .1": (0.1, 0.9, 40)},
    few_nodes=20,
    few=5,
    settled=40,
    last=60,
)
QUICK = Scale(
    nodes=8,
    sample=3,
    splits={"IID": (None, 0.6, 3), "Dirichlet .1": (0.1, 0.3, 3)},
    few_nodes=5,
    few=2,
    settled=2,
    last=3,
)


@dataclass(frozen=True, slots=True)
class Job:
    """One repetition."""

    loop: str
    codec: str
    swarm: Swarm
    seed: int


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job."""

    course: Course
    traffic: Mapping[str, tuple[int, int]]
    """By kind of message: how many, bytes. Empty for a loop: it has one kind."""


def run(job: Job) -> Done:
    if job.loop == "sampled":
        done = sampled.run(job.swarm, job.codec, job.seed)
        return Done(done.course, done.traffic)
    return Done(LOOPS[job.loop](job.swarm, job.codec, job.seed), {})


def measure(options: Options) -> Report:
    """Every way on every split, and few in a sample against all; every seed."""
    scale = QUICK if options.quick else FULL
    images = source(options.data, DATASET)
    swarms = {
        name: Swarm(images, scale.nodes, scale.sample, alpha, target, rounds)
        for name, (alpha, target, rounds) in scale.splits.items()
    }
    jobs = [
        Job(way.loop, way.codec, swarm, seed)
        for way in WAYS
        for swarm in swarms.values()
        for seed in options.seeds
    ]
    few, everybody = few_of_many.swarms(images, scale.few_nodes, scale.few, scale.last)
    jobs += [Job("sampled", "dense", few, seed) for seed in options.seeds]
    jobs += [Job("fedavg", "dense", everybody, seed) for seed in options.seeds]
    processes = 1 if options.quick else PROCESSES
    finished = dict(zip(jobs, in_processes(run, jobs, processes), strict=True))

    def runs(loop: str, codec: str, swarm: Swarm) -> list[Done]:
        return [finished[Job(loop, codec, swarm, seed)] for seed in options.seeds]

    splits = [
        Split(name, swarm, {way.name: runs(way.loop, way.codec, swarm) for way in WAYS})
        for name, swarm in swarms.items()
    ]
    behind = FewOfMany(
        scale.settled,
        [done.course for done in runs("sampled", "dense", few)],
        [done.course for done in runs("fedavg", "dense", everybody)],
    )
    return Report(
        dataset=images.name,
        text=_text(scale, splits, behind, images.name),
        data={
            "seeds": list(options.seeds),
            "nodes": scale.nodes,
            "sample": scale.sample,
            "rows": [row for split in splits for row in _documents(split)],
            "few_of_many": behind.document(),
        },
        measured=_bars(splits) | behind.bars(),
        figures={
            "courses": _figure(splits, images.name),
            "few": behind.figure(images.name),
        },
    )


# --- what is read off the courses -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Split:
    """All ways on one division of the data."""

    name: str
    swarm: Swarm
    runs: Mapping[str, Sequence[Done]]
    """Name of a way -> what came of it, a repetition each."""

    def reached(self, way: Way, track: str) -> list[Point | None]:
        """Where each repetition gets to the target."""
        assert self.swarm.target is not None, "these courses have one"
        return [reached(done.course, track, self.swarm.target) for done in self.runs[way.name]]

    def rounds(self, way: Way, track: str) -> float | None:
        return self._median(way, track, lambda point: point.round)

    def bytes(self, way: Way, track: str) -> float | None:
        return self._median(way, track, lambda point: point.bytes)

    def seconds(self, way: Way, track: str) -> float | None:
        return self._median(way, track, lambda point: point.seconds)

    def worst(self, way: Way, track: str) -> float | None:
        """The worst node's accuracy when the median one is there."""
        if track != "nodes median":
            return None
        return self._median(way, track, lambda point: point.accuracy["nodes worst"])

    def _median(self, way: Way, track: str, what: Callable[[Point], float]) -> float | None:
        points = self.reached(way, track)
        return median_or_none([None if point is None else what(point) for point in points])


def _bars(splits: Sequence[Split]) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for split in splits:
        for way, draws in ((FEDAVG, ""), (SAME_DRAWS, ", same draws")):
            for track, ours in (("model", "M"), ("average", "serving chain")):
                value = _ratio(split.rounds(OURS, track), split.rounds(way, track))
                values[f"{split.name}: rounds to the target, {ours}: times FedAvg's{draws}"] = value
        track = "nodes median"
        value = _ratio(split.bytes(OURS, track), split.bytes(DPSGD, track))
        values[f"{split.name}: bytes to the target, float32: times D-PSGD's"] = value
    return values


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours / theirs


def _documents(split: Split) -> list[Document]:
    return [
        {
            "split": split.name,
            "way": way.name,
            "codec": way.codec,
            "target": split.swarm.target,
            "to_target": {
                track: [
                    p and {"round": p.round, "bytes": p.bytes, "seconds": p.seconds}
                    for p in split.reached(way, track)
                ]
                for track, _ in way.tracks
            },
            "courses": [[asdict(point) for point in done.course] for done in split.runs[way.name]],
            "traffic": [dict(done.traffic) for done in split.runs[way.name]],
        }
        for way in WAYS
    ]


# --- what people see ------------------------------------------------------------------------------


def _text(scale: Scale, splits: Sequence[Split], behind: FewOfMany, dataset: str) -> str:
    parts = []
    for split in splits:
        parts += [
            f"{split.name}: {dataset}, {scale.nodes} nodes, {scale.sample} in a sample; "
            f"to an accuracy of {split.swarm.target:g}, medians (rounds: each seed)",
            table(
                ("", "model", ">rounds", "", ">MB", ">virtual s", ">worst node then"),
                [_row(split, way, *track) for way in WAYS for track in way.tracks],
            ),
            f"What the {OURS.name} send, a round, as long as they went on; median over the seeds",
            table(("kind", ">messages", ">kB"), _traffic(split)),
        ]
    return "\n\n".join(
        [
            *parts,
            f"Dirichlet {few_of_many.ALPHA:g}, {scale.few_nodes} nodes: {scale.few} in a sample, "
            "and all; medians",
            behind.text(),
        ]
    )


def _row(split: Split, way: Way, track: str, whose: str) -> tuple[str, ...]:
    each = [p and p.round for p in split.reached(way, track)]
    size, seconds = split.bytes(way, track), split.seconds(way, track)
    return (
        way.name if track == way.tracks[0][0] else "",
        whose,
        _shown(split.rounds(way, track), 0),
        f"({' '.join('-' if number is None else str(number) for number in each)})",
        _shown(size and size / MEGABYTE, 1),
        _shown(seconds, 1),
        _shown(split.worst(way, track), 3),
    )


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _traffic(split: Split) -> list[tuple[str, ...]]:
    done = split.runs[OURS.name]
    kinds = sorted(
        {kind for each in done for kind in each.traffic},
        key=lambda kind: -median(each.traffic.get(kind, (0, 0))[1] for each in done),
    )
    rows: list[tuple[str, ...]] = []
    for kind in kinds:
        shares = [
            [number / each.course[-1].round for number in each.traffic.get(kind, (0, 0))]
            for each in done
        ]
        messages, size = (median(column) for column in zip(*shares, strict=True))
        rows.append((kind, f"{messages:.1f}", f"{size / 1e3:.1f}"))
    return rows


LINES: Mapping[str, tuple[Way, str, str]] = {
    COLOURS[1]: (OURS, "nodes", "-"),
    COLOURS[2]: (FEDAVG, "average", "--"),
    COLOURS[0]: (DPSGD, "nodes", "-."),
    COLOURS[3]: (AGE, "nodes", ":"),
}
"""Colour -> whose course, by which tracks, and how it is drawn."""


def _figure(splits: Sequence[Split], dataset: str) -> Figure:
    figure = Figure(figsize=(11, 3.4 * len(splits)), layout="constrained")
    axes = figure.subplots(len(splits), 3, squeeze=False, sharey="row")
    for row, split in zip(axes, splits, strict=True):
        row[0].set_ylabel(f"{split.name}: test accuracy")
        for place, (what, unit) in zip(
            row, (("round", 1.0), ("bytes", MEGABYTE), ("seconds", 1.0)), strict=True
        ):
            for colour, (way, track, line) in LINES.items():
                _line(place, split, way, track, what, unit, colour=colour, line=line)
            place.axhline(split.swarm.target, color="0.6", linewidth=0.8)
            place.set_xlabel({"round": "round", "bytes": "MB sent", "seconds": "virtual s"}[what])
            place.grid(alpha=0.3)
        row[1].set_xscale("log")
        row[2].set_xscale("log")
    axes[0][0].legend(loc="lower right", fontsize="small")
    figure.suptitle(
        f"{dataset}: median node, shade down to the worst; FedAvg: the server's moving average; "
        "first seed, float32"
    )
    return figure


def _line(
    place: Axes,
    split: Split,
    way: Way,
    track: str,
    what: str,
    unit: float,
    *,
    colour: str,
    line: str,
) -> None:
    course = split.runs[way.name][0].course
    along = [getattr(point, what) / unit for point in course]
    shown = track if track in course[0].accuracy else f"{track} median"
    middle = [point.accuracy[shown] for point in course]
    place.plot(along, middle, line, color=colour, label=way.name)
    if shown != track:
        worst = [point.accuracy[f"{track} worst"] for point in course]
        place.fill_between(along, worst, middle, color=colour, alpha=0.15, linewidth=0)


if __name__ == "__main__":
    sys.exit(main("rounds", "Sampled rounds against FedAvg, D-PSGD and gossip.", measure))
