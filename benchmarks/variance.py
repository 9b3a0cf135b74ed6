"""What the variance correction gains, and where: arXiv 2404.04616 on a small case.

Nodes with independent initial weights, plain against corrected averaging, beside the plain average
from common initial weights: on three graphs and by a server (FedAvg), with fifty nodes, with deep
networks, under label skew, and when a node hears of one neighbour or none. Fashion-MNIST, 600
examples a node where there are ten, a perceptron 784-200-10, SGD lr .1, batches of 32, one epoch a
round: `synchronous` has the loop.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from benchmarks.synchronous import Judged, Rule, Run, Setting, run
from benchmarks.workload import source
from gossipd_cli.output import table

DATASET = "fashion-8k"
TARGET = 0.8
RULES: tuple[Rule, ...] = ("plain", "corrected", "common")
LABELS: Mapping[Rule, str] = {
    "plain": "plain",
    "corrected": "corrected",
    "common": "common start",
}
Curves = Mapping[Rule, Sequence[Sequence[Judged]]]
"""The judged rounds of each rule and seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    setting: Setting
    earlier: str
    """What a loop written apart from this project measured: plain -> corrected (common start)."""
    rules: tuple[Rule, ...] = RULES
    gain: bool = True
    """Whether a bound asks for the accuracy gained."""


ROUNDS_TO_TARGET = (
    Row("ring", Setting("ring"), "22-24 -> 15-17 (14-15)"),
    Row("4-regular", Setting("regular"), "15-17 -> 10-11 (11)"),
    Row("Barabási-Albert", Setting("scale-free"), "15-17 -> 13-14 (13-14)"),
    Row("FedAvg", Setting("server", rounds=20), "(9-10)", ("common",)),
)
# The earlier loop's numbers of the deep networks fit pixels in 0..1, the others standardised ones.
_DEEP = Setting("regular", nodes=20, rounds=30, hidden_layers=5, judge_every=10)
_SKEWED = Setting("regular", rounds=20, alpha=0.1, judge_every=10)
_PUSH = Setting("regular", rounds=20, push=True, judge_every=10)
ACCURACY = (
    Row(
        "50 nodes, 4-regular",
        Setting("regular", nodes=50, rounds=5),
        ".507 -> .674 (.686)",
    ),
    Row("5 hidden layers, 4-regular", _DEEP, ".095 -> .517 (.586)"),
    Row("5 hidden layers, ring", replace(_DEEP, topology="ring"), ".097 -> .454 (.584)"),
    Row("Dirichlet .1, 4-regular", _SKEWED, ".673 -> .700 (.699)"),
    Row("Dirichlet .1, ring", replace(_SKEWED, topology="ring"), ".558 -> .612 (.617)"),
    # The paper's own weight is 1/2. The earlier loop's numbers under skew fit equal shares.
    Row(
        "same, equal shares, 4-regular",
        replace(_SKEWED, self_weight=None),
        ".673 -> .700 (.699)",
        gain=False,
    ),
    Row(
        "same, equal shares, ring",
        replace(_SKEWED, self_weight=None, topology="ring"),
        ".558 -> .612 (.617)",
        gain=False,
    ),
    Row("Dirichlet .1, FedAvg", replace(_SKEWED, topology="server"), "(.770)", ("common",), False),
    Row("Dirichlet .1, alone", replace(_SKEWED, topology="alone"), ".334", ("plain",), False),
    Row("push, IID", _PUSH, ".789 -> .800", ("plain", "corrected")),
    Row("push, Dirichlet .1", replace(_PUSH, alpha=0.1), ".519 -> .578", ("plain", "corrected")),
)


def measure(options: Options) -> Report:
    """Every row, every rule, every seed."""
    rows = [_quick(row) if options.quick else row for row in (*ROUNDS_TO_TARGET, *ACCURACY)]
    images = source(options.data, DATASET)
    jobs = [
        Run(images, row.setting, rule, seed)
        for row in rows
        for rule in row.rules
        for seed in options.seeds
    ]
    finished = dict(
        zip(jobs, in_processes(run, jobs, 1 if options.quick else PROCESSES), strict=True)
    )
    curves: dict[str, Curves] = {
        row.name: {
            rule: [finished[Run(images, row.setting, rule, seed)] for seed in options.seeds]
            for rule in row.rules
        }
        for row in rows
    }
    cut = len(ROUNDS_TO_TARGET)
    return Report(
        dataset=images.name,
        text=_text(rows[:cut], rows[cut:], curves, images.name),
        data={
            "target": TARGET,
            "seeds": list(options.seeds),
            "rows": [_document(row, curves[row.name]) for row in rows],
        },
        measured=_bars(rows[:cut], rows[cut:], curves),
        figures={
            "rounds": _rounds_figure(rows[:cut], curves, images.name),
            "settings": _settings_figure(rows[cut:], curves, images.name),
        },
    )


def _quick(row: Row) -> Row:
    setting = row.setting
    return replace(
        row, setting=replace(setting, nodes=min(setting.nodes, 6), rounds=2, judge_every=1)
    )


def rounds_to_target(curve: Sequence[Judged]) -> int | None:
    """The first round after which at least half of the nodes are there."""
    return next((point.round for point in curve if point.median >= TARGET), None)


def _rounds(curves: Sequence[Sequence[Judged]]) -> float | None:
    return median_or_none([rounds_to_target(curve) for curve in curves])


def _final(curves: Sequence[Sequence[Judged]]) -> tuple[float, float]:
    """The median and the worst node's accuracy after the last round: the median over the seeds."""
    last = [curve[-1] for curve in curves]
    return median(point.median for point in last), median(point.worst for point in last)


def _bars(
    counted: Sequence[Row], judged: Sequence[Row], curves: Mapping[str, Curves]
) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for row in counted:
        rounds = {rule: _rounds(curves[row.name][rule]) for rule in row.rules}
        for rule, value in rounds.items():
            label = row.name if row.rules == ("common",) else f"{row.name}, {LABELS[rule]}"
            values[f"{label}: rounds to .80"] = value
        if row.rules == RULES:
            values[f"{row.name}: rounds saved"] = _saved(rounds["plain"], rounds["corrected"])
    for row in judged:
        if row.gain:
            plain, corrected = (_final(curves[row.name][r])[0] for r in ("plain", "corrected"))
            values[f"{row.name}: accuracy gained"] = corrected - plain
    return values


def _saved(plain: float | None, corrected: float | None) -> float | None:
    return None if plain is None or corrected is None else plain - corrected


def _document(row: Row, curves: Curves) -> Document:
    return {
        "name": row.name,
        "setting": asdict(row.setting),
        "earlier": row.earlier,
        "rules": {
            rule: {
                "rounds_to_target": [rounds_to_target(curve) for curve in repeated],
                "median": [curve[-1].median for curve in repeated],
                "worst": [curve[-1].worst for curve in repeated],
                "curves": [[asdict(point) for point in curve] for curve in repeated],
            }
            for rule, repeated in curves.items()
        },
    }


def _text(
    counted: Sequence[Row], judged: Sequence[Row], curves: Mapping[str, Curves], dataset: str
) -> str:
    headings = [f">{LABELS[rule]}" for rule in RULES]

    def rounds(row: Row) -> list[str]:
        cells = []
        for rule in RULES:
            each = [rounds_to_target(curve) for curve in curves[row.name].get(rule, ())]
            shown = " ".join("-" if number is None else str(number) for number in each)
            middle = median_or_none(each) if each else None
            cells.append(f"{'-' if middle is None else f'{middle:g}'} ({shown})" if each else "")
        return cells

    def accuracies(row: Row) -> list[str]:
        finals = (curves[row.name].get(rule) for rule in RULES)
        return ["{:.3f} / {:.3f}".format(*_final(final)) if final else "" for final in finals]

    return "\n\n".join(
        [
            f"Rounds until the median node has {TARGET:.2f} on {dataset}: median (each seed)",
            table(
                ("10 nodes, IID", *headings, "earlier loop"),
                [(row.name, *rounds(row), row.earlier) for row in counted],
            ),
            "Accuracy of the median / worst node, median over the seeds",
            table(
                ("setting", ">nodes", ">round", *headings, "earlier loop"),
                [
                    (
                        row.name,
                        str(row.setting.nodes),
                        str(row.setting.rounds),
                        *accuracies(row),
                        row.earlier,
                    )
                    for row in judged
                ],
            ),
        ]
    )


STYLES: Mapping[Rule, tuple[str, str, str]] = {
    "plain": (COLOURS[0], "--", "o"),
    "corrected": (COLOURS[1], "-", "s"),
    "common": (COLOURS[2], ":", "^"),
}
"""Colour, line, marker."""


def _rounds_figure(rows: Sequence[Row], curves: Mapping[str, Curves], dataset: str) -> Figure:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots(1, len(rows), sharey=True)
    for place, row in zip(axes, rows, strict=True):
        for rule, repeated in curves[row.name].items():
            _curve(place, rule, repeated)
        place.axhline(TARGET, color="0.6", linewidth=0.8)
        place.set(title=row.name, xlabel="round")
        place.grid(alpha=0.3)
    axes[0].set(ylabel="test accuracy, median node")
    axes[0].legend(loc="lower right")
    figure.suptitle(f"10 nodes, IID, {dataset}: median over seeds, shade: worst node")
    return figure


def _curve(place: Axes, rule: Rule, repeated: Sequence[Sequence[Judged]]) -> None:
    colour, line, _ = STYLES[rule]
    points = list(zip(*repeated, strict=True))
    rounds = [same[0].round for same in points]
    middle = [median(point.median for point in same) for same in points]
    worst = [median(point.worst for point in same) for same in points]
    place.plot(rounds, middle, line, color=colour, label=LABELS[rule])
    place.fill_between(rounds, worst, middle, color=colour, alpha=0.15, linewidth=0)


def _settings_figure(rows: Sequence[Row], curves: Mapping[str, Curves], dataset: str) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    place = figure.subplots()
    for rule in RULES:
        colour, _, marker = STYLES[rule]
        shown = [(y, row) for y, row in enumerate(rows) if rule in row.rules]
        finals = [_final(curves[row.name][rule]) for _, row in shown]
        heights = [y + 0.2 * (RULES.index(rule) - 1) for y, _ in shown]
        middle, worst = zip(*finals, strict=True)
        place.hlines(heights, worst, middle, color=colour, linewidth=1.5)
        place.plot(middle, heights, marker, color=colour, label=LABELS[rule])
    place.set_yticks(range(len(rows)), [f"{row.name} (round {row.setting.rounds})" for row in rows])
    place.invert_yaxis()
    place.set(xlabel="test accuracy: mark = median node, line down to the worst", xlim=(0, 1))
    place.set_title(f"{dataset}, median over seeds")
    place.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(RULES))
    return figure


if __name__ == "__main__":
    sys.exit(main("variance", "What variance-corrected averaging gains, and where.", measure))
