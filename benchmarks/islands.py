"""Two islands that have learnt apart meet: what their people predict with from then on.

Whole simulated daemons (`meeting`) beside the plain loops of two rules: the paper's, which goes on
with what the higher round has made, and ours, which merges both islands' models and serving models
at once. MNIST-10k, the first 8,000 images to train and the last 2,000 to test, a perceptron
784-100-10, SGD lr .1, batches of 32, 13 of them a round; IID within an island. Samples of 10 as in
the paper, and for comparison of 5: then, of twelve nodes, some rounds see nobody of a small island.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import (
    COLOURS,
    PROCESSES,
    Document,
    Options,
    Report,
    in_processes,
    main,
)
from benchmarks.meeting import Island, Judged, Meeting, looped, simulated
from benchmarks.workload import Source, source
from gossipd_cli.output import table

DATASET = "mnist-10k"
ROUNDS = tuple(range(11))
SHOWN = (0, 1, 2, 5, 10)
LOW, HIGH, ALL = tuple(range(5)), tuple(range(5, 10)), tuple(range(10))
WAYS = ("paper", "loop", "gossipd")
LABELS = {
    "paper": "paper's rule (loop)",
    "loop": "our rule (loop)",
    "gossipd": "gossipd",
}
Curves = Mapping[str, Sequence[Sequence[Judged]]]
"""The judged rounds of each way and seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    islands: tuple[Island, Island]
    sample: int = 10

    def meeting(self, images: Source, seed: int) -> Meeting:
        return Meeting(images, self.islands, ROUNDS, self.sample, seed)


# The examples and the rounds apart are those of an earlier loop, written apart from this project's
# code, that had the larger island 30 and the smaller 20 rounds old; about 400 examples a node.
ROWS = (
    Row("disjoint 4103 : 3897", (Island(10, LOW, 4103, 30), Island(10, HIGH, 3897, 20))),
    Row("disjoint 4103 : 779", (Island(10, LOW, 4103, 30), Island(2, HIGH, 779, 20))),
    Row("disjoint 820 : 3897", (Island(2, LOW, 820, 20), Island(10, HIGH, 3897, 30))),
    Row(
        "labels 0-6 : 3-9, 4000 : 2000",
        (Island(10, tuple(range(7)), 4000, 30), Island(5, tuple(range(3, 10)), 2000, 20)),
    ),
    Row("IID 4000 : 1000", (Island(10, ALL, 4000, 30), Island(2, ALL, 1000, 20))),
    Row("IID 4000 : 100", (Island(10, ALL, 4000, 30), Island(1, ALL, 100, 20))),
)
EQUAL, LARGER, _, OVERLAPPING, *IID = (row.name for row in ROWS)
SMALL_SAMPLES = tuple(replace(row, name=f"{row.name}, samples of 5", sample=5) for row in ROWS[:3])


@dataclass(frozen=True, slots=True)
class Job:
    """One repetition of one row in one way."""

    way: str
    meeting: Meeting


def run(job: Job) -> list[Judged]:
    if job.way == "gossipd":
        return simulated(job.meeting)
    return looped(job.meeting, "paper" if job.way == "paper" else "ours")


def measure(options: Options) -> Report:
    """Every row in every way, every seed."""
    images = source(options.data, DATASET)
    rows = [*ROWS] if options.quick else [*ROWS, *SMALL_SAMPLES]
    if options.data is None:
        rows = [_quick(row) for row in rows]
    if options.quick:
        rows = [replace(row, islands=_younger(row.islands)) for row in rows]
    jobs = [
        Job(way, row.meeting(images, seed))
        for row in rows
        for way in WAYS
        for seed in options.seeds
    ]
    finished = dict(
        zip(jobs, in_processes(run, jobs, 1 if options.quick else PROCESSES), strict=True)
    )
    curves: dict[str, Curves] = {
        row.name: {
            way: [finished[Job(way, row.meeting(images, seed))] for seed in options.seeds]
            for way in WAYS
        }
        for row in rows
    }
    return Report(
        dataset=images.name,
        text=_text(rows, curves, images),
        data={
            "seeds": list(options.seeds),
            "rows": [_document(row, curves[row.name]) for row in rows],
        },
        measured=_bars(curves),
        figures={"accuracy": _figure(rows, curves, images.name)},
    )


def _quick(row: Row) -> Row:
    """The digits are a sixth of the images."""
    first, second = (
        replace(island, examples=max(island.examples // 6, 8)) for island in row.islands
    )
    return replace(row, islands=(first, second))


def _younger(islands: tuple[Island, Island]) -> tuple[Island, Island]:
    first, second = (
        replace(island, nodes=min(island.nodes, 3), rounds=island.rounds // 5) for island in islands
    )
    return first, second


def _at(curves: Sequence[Sequence[Judged]], number: int) -> Judged:
    """So many rounds after contact: the medians over the seeds."""
    points = [point for curve in curves for point in curve if point.round == number]
    return Judged(
        number,
        median(point.median for point in points),
        median(point.worst for point in points),
        median(point.small for point in points),
    )


def _bars(curves: Mapping[str, Curves]) -> dict[str, float | None]:
    ours = {name: {n: _at(curve["gossipd"], n) for n in ROUNDS} for name, curve in curves.items()}
    paper = [_at(curves[EQUAL]["paper"], n).median for n in ROUNDS]
    there = [n for n in ROUNDS if paper[n] >= 0.82]
    lost = {
        name: max(_at(curves[name]["paper"], n).median - ours[name][n].median for n in ROUNDS)
        for name in IID
    }
    return {
        "equal, disjoint: least from round 2 on": min(ours[EQUAL][n].median for n in ROUNDS[2:]),
        "equal, disjoint: the paper's rule, round of .82": float(there[0]) if there else None,
        "overlapping labels: round 5": ours[OVERLAPPING][5].median,
        "5:1, the small island's classes: at contact": ours[LARGER][0].small,
        "5:1, the small island's classes: round 10": ours[LARGER][10].small,
        **{f"{name}: lost at most": lost[name] for name in IID},
    }


def _document(row: Row, curves: Curves) -> Document:
    return {
        "name": row.name,
        "islands": [asdict(island) for island in row.islands],
        "ways": {
            way: [[asdict(point) for point in curve] for curve in repeated]
            for way, repeated in curves.items()
        },
    }


def _text(rows: Sequence[Row], curves: Mapping[str, Curves], images: Source) -> str:
    lines = []
    for row in rows:
        for way in WAYS:
            points = [_at(curves[row.name][way], number) for number in SHOWN]
            name = row.name if way == WAYS[0] else ""
            lines.append((name, LABELS[way], *(_cell(point, row) for point in points)))
    return "\n\n".join(
        [
            f"Serving accuracy on {images.name} so many rounds after contact, medians over the "
            "seeds:\nmedian node / worst node / median node on the smaller island's classes",
            table(("islands (examples)", "", *(f">{number}" for number in SHOWN)), lines),
        ]
    )


def _cell(point: Judged, row: Row) -> str:
    all_alike = row.islands[0].labels == row.islands[1].labels
    small = "" if all_alike else f" / {point.small:.2f}"
    return f"{point.median:.3f} / {point.worst:.2f}{small}"


STYLES = {"paper": (COLOURS[0], "--"), "loop": (COLOURS[2], ":"), "gossipd": (COLOURS[1], "-")}
"""Colour and line."""


def _figure(rows: Sequence[Row], curves: Mapping[str, Curves], dataset: str) -> Figure:
    lines = -(-len(rows) // 3)
    figure = Figure(figsize=(10, 3 * lines), layout="constrained")
    axes = figure.subplots(lines, 3, sharex=True, sharey=True)
    for place, row in zip(axes.flat, rows, strict=True):
        for way in WAYS:
            colour, line = STYLES[way]
            points = [_at(curves[row.name][way], number) for number in ROUNDS]
            middle = [point.median for point in points]
            place.plot(ROUNDS, middle, line, color=colour, label=LABELS[way])
            worst = [point.worst for point in points]
            place.fill_between(ROUNDS, worst, middle, color=colour, alpha=0.15, linewidth=0)
        place.set_title(row.name, fontsize=9)
        place.grid(alpha=0.3)
    for place in axes[-1]:
        place.set(xlabel="rounds after contact")
    for place in axes[:, 0]:
        place.set(ylabel="serving accuracy")
    axes[0][0].legend(loc="lower right")
    figure.suptitle(f"Islands that meet, {dataset}: median node, shade down to the worst")
    return figure


if __name__ == "__main__":
    sys.exit(main("islands", "What is learnt when islands meet, and what is lost.", measure))
