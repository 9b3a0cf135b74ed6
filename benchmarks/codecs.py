"""What each codec costs and what it loses: bytes, error, speed, and accuracy in rounds.

Speed: a model of ten million parameters, CPU seconds of one thread, beside copying its float32 in
the same run. Error and bytes: what a node's first round of training changes in a perceptron.
Accuracy: rounds of 5 of 20 nodes on MNIST (`coded_rounds`), IID and label-skewed; and the learning
of W1 (10 nodes, all in every round, Fashion-MNIST) with what the daemon is to send by default.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.averaging import MEGABYTE, QUICK_SIZES, SIZES, perceptron
from benchmarks.coded_rounds import Outcome, Run, Setting, Way, first_delta, mean_of, run
from benchmarks.harness import COLOURS, PROCESSES, Document, Options, Report, in_processes, main
from benchmarks.workload import source
from gossipd.tensors import codecs
from gossipd.tensors.layout import Layout, Vector
from gossipd_cli.output import table

REPEATS, QUICK_REPEATS = 9, 2
DRAWS, QUICK_DRAWS = 64, 4
FAST = ("q8", "q2", "topk")
"""Those whose speed has a bound."""
PLAIN = Way("dense", "dense")
DEFAULT = Way("q2", "q4", "previous")
WAYS: Mapping[str, Way] = {
    "float32 / float32": PLAIN,
    "q4 / half": Way("q4", "half"),
    "q4 / q8": Way("q4", "q8"),
    "q4 / q4": Way("q4", "q4"),
    "q2 / q8": Way("q2", "q8"),
    "q2 / q8, corrected to decoded": Way("q2", "q8", declared=False),
    "q2 / q4 against previous": DEFAULT,
    "q2 / q3 against previous": Way("q2", "q3+deflate", "previous"),
    "topk / q8": Way("topk", "q8"),
    "topk, EF21 / q8": Way("topk", "q8", feedback="EF21"),
    "topk, residual / q8": Way("topk", "q8", feedback="residual"),
    "topk, residual / q4 against previous": Way("topk", "q4", "previous", "residual"),
}
SKEWS: Mapping[str, float | None] = {"IID": None, "Dirichlet .1": 0.1}


@dataclass(frozen=True, slots=True)
class Facts:
    """One codec by itself."""

    bits: float
    """Of a body, for each number."""
    error: float
    """Norm of what is off, times the delta's."""
    bias: float
    """Norm of what stays off on average over draws, times the delta's; 0 if lost in the noise."""
    encode: float
    """Megabytes of float32 per CPU second."""
    decode: float
    encode_copies: float
    """CPU time, times that of copying the float32."""
    decode_copies: float


def measure(options: Options) -> Report:
    """Each codec by itself, then all ways in rounds."""
    mnist = Setting(source(options.data, "mnist-10k"), 20, 5, 100, 20, 18, 60, None)
    w1 = Setting(source(options.data, "fashion-8k"), 10, 10, 200, 32, None, 20, None)
    if options.quick:
        mnist, w1 = (replace(setting, nodes=6, sample=2, rounds=2) for setting in (mnist, w1))
    facts = _facts(mnist, options)
    jobs = [
        Run(replace(setting, alpha=alpha), way, seed)
        for setting, ways in ((mnist, list(WAYS.values())), (w1, [PLAIN, DEFAULT]))
        for way in ways
        for alpha in SKEWS.values()
        for seed in options.seeds
    ]
    finished = dict(
        zip(jobs, in_processes(run, jobs, 1 if options.quick else PROCESSES), strict=True)
    )

    def outcomes(setting: Setting, way: Way, skew: str) -> list[Outcome]:
        placed = replace(setting, alpha=SKEWS[skew])
        return [finished[Run(placed, way, seed)] for seed in options.seeds]

    rows = {
        name: {skew: outcomes(mnist, way, skew) for skew in SKEWS} for name, way in WAYS.items()
    }
    lost = {
        skew: mean_of(outcomes(w1, PLAIN, skew), "model")
        - mean_of(outcomes(w1, DEFAULT, skew), "model")
        for skew in SKEWS
    }
    dense = _dense_bytes(rows)
    return Report(
        dataset=f"{mnist.source.name}, {w1.source.name}",
        text=_text(facts, rows, dense, mnist, w1, lost),
        data={
            "seeds": list(options.seeds),
            "rows": [{"codec": name, **asdict(fact)} for name, fact in facts.items()],
            "ways": [_document(name, row, dense) for name, row in rows.items()],
            "w1": {
                skew: {
                    "float32": [asdict(outcome) for outcome in outcomes(w1, PLAIN, skew)],
                    "default": [asdict(outcome) for outcome in outcomes(w1, DEFAULT, skew)],
                }
                for skew in SKEWS
            },
        },
        measured={
            **{f"{name}: encode, MB/s": facts[name].encode for name in FAST},
            **{f"{name}: decode, MB/s": facts[name].decode for name in FAST},
            **{f"W1's learning, {skew}: accuracy lost": lost[skew] for skew in SKEWS},
        },
        figures={"accuracy": _accuracy_figure(rows, dense), "speed": _speed_figure(facts)},
    )


# --- one codec by itself --------------------------------------------------------------------------


def _facts(setting: Setting, options: Options) -> dict[str, Facts]:
    node, delta = first_delta(setting, options.seeds[0])
    wide = perceptron(QUICK_SIZES if options.quick else SIZES)
    numbers = np.random.default_rng(options.seeds[0]).standard_normal(wide.parameters)
    model = (0.05 * numbers).astype(np.float32)
    draws = QUICK_DRAWS if options.quick else DRAWS
    repeats = QUICK_REPEATS if options.quick else REPEATS
    return {
        name: _fact(name, node.layout, delta, draws, wide, model, repeats)
        for name in codecs.names()
    }


def _fact(
    name: str, layout: Layout, delta: Vector, draws: int, wide: Layout, model: Vector, repeats: int
) -> Facts:
    bodies = [codecs.encode(name, delta, layout, seed) for seed in range(draws)]
    exact = delta.astype(np.float64)
    off = np.stack([codecs.decode(name, body, layout) - exact for body in bodies])
    squares = float(np.square(off).sum(axis=1).mean())
    # What draws that average out leave of the mean's square is a share of theirs.
    of_mean = float(np.square(off.mean(axis=0)).sum())
    bias = max(of_mean - (squares - of_mean) / (draws - 1), 0.0)
    if bias < 1e-3 * squares:
        bias = 0.0
    body = codecs.encode(name, model, wide)
    copy = np.empty_like(model)
    encoding = _timed(lambda: codecs.encode(name, model, wide), copy, model, repeats)
    decoding = _timed(lambda: codecs.decode(name, body, wide), copy, model, repeats)
    whole = float(np.square(exact).sum())
    megabytes = model.nbytes / MEGABYTE
    return Facts(
        bits=8 * float(np.mean([len(body) for body in bodies])) / delta.size,
        error=(squares / whole) ** 0.5,
        bias=(bias / whole) ** 0.5,
        encode=megabytes / encoding[0],
        decode=megabytes / decoding[0],
        encode_copies=encoding[1],
        decode_copies=decoding[1],
    )


def _timed(
    work: Callable[[], object], copy: Vector, model: Vector, repeats: int
) -> tuple[float, float]:
    """CPU seconds, and how many copies in that time; medians."""
    pairs = []
    for _ in range(repeats):
        yardstick = _seconds(lambda: np.copyto(copy, model))
        pairs.append((_seconds(work), yardstick))
    return median(ours for ours, _ in pairs), median(ours / theirs for ours, theirs in pairs)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time_ns()
    work()
    return max(time.process_time_ns() - began, 1) / 1e9


# --- what is shown --------------------------------------------------------------------------------

Rows = Mapping[str, Mapping[str, Sequence[Outcome]]]
"""Way -> skew -> repetitions."""


def _dense_bytes(rows: Rows) -> float:
    """Up and down in float32."""
    first = next(iter(rows["float32 / float32"].values()))[0]
    return first.up + first.down


def _shares(row: Mapping[str, Sequence[Outcome]], dense: float) -> tuple[float, float]:
    """Up and down together, times float32's: packed, and with the entropy stage where it is."""
    every = [outcome for outcomes in row.values() for outcome in outcomes]
    return (
        (mean_of(every, "up") + mean_of(every, "down")) / dense,
        (mean_of(every, "up_deflated") + mean_of(every, "down_deflated")) / dense,
    )


def _document(name: str, row: Mapping[str, Sequence[Outcome]], dense: float) -> Document:
    packed, deflated = _shares(row, dense)
    return {
        "name": name,
        "way": asdict(WAYS[name]),
        "bytes": packed,
        "bytes_deflated": deflated,
        "runs": {skew: [asdict(outcome) for outcome in outcomes] for skew, outcomes in row.items()},
    }


def _text(
    facts: Mapping[str, Facts],
    rows: Rows,
    dense: float,
    mnist: Setting,
    w1: Setting,
    lost: Mapping[str, float],
) -> str:
    alone = table(
        ("codec", ">bits", ">error", ">bias", ">encode", ">copies", ">decode", ">copies "),
        [
            (
                name,
                f"{fact.bits:.2f}",
                f"{fact.error:.4f}",
                f"{fact.bias:.4f}",
                f"{fact.encode:.0f}",
                f"{fact.encode_copies:.1f}",
                f"{fact.decode:.0f}",
                f"{fact.decode_copies:.1f}",
            )
            for name, fact in facts.items()
        ],
    )
    learning = table(
        ("up / down", ">bytes", ">deflated", *(f">{skew}" for skew in SKEWS), ">norm"),
        [
            (
                name,
                *(f"{share:.3f}" for share in _shares(row, dense)),
                *(f"{mean_of(row[skew], 'serving'):.4f}" for skew in SKEWS),
                f"{mean_of(row['Dirichlet .1'], 'norm'):.1f}",
            )
            for name, row in rows.items()
        ],
    )
    losses = ", ".join(f"{skew} {value:+.4f}" for skew, value in lost.items())
    return "\n\n".join(
        [
            "Bits a number; error and bias times the delta's norm; MB of float32 per CPU second,\n"
            "and the time in copies of the float32\n\n" + alone,
            f"Rounds, {mnist.sample} of {mnist.nodes} nodes, {mnist.source.name}: bytes times "
            f"float32's, serving accuracy after {mnist.rounds} rounds,\n"
            "mean over the seeds, and the last model's norm under Dirichlet .1\n\n" + learning,
            f"W1's learning, {w1.nodes} nodes, {w1.source.name}, {w1.rounds} rounds: accuracy lost "
            f"to float32 by q2 / q4 against previous: {losses}",
        ]
    )


def _accuracy_figure(rows: Rows, dense: float) -> Figure:
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    places = figure.subplots(1, len(SKEWS))
    markers = "osD^v<>PX*hd"
    for place, skew in zip(places, SKEWS, strict=True):
        for number, (name, row) in enumerate(rows.items()):
            accuracies = [outcome.serving for outcome in row[skew]]
            share = _shares(row, dense)[1]
            place.errorbar(
                [share],
                [median(accuracies)],
                yerr=[
                    [median(accuracies) - min(accuracies)],
                    [max(accuracies) - median(accuracies)],
                ],
                marker=markers[number % len(markers)],
                color=COLOURS[number % len(COLOURS)],
                linestyle="none",
                capsize=3,
                label=name,
            )
        place.set_xscale("log")
        place.set_xlabel("bytes, times float32's (entropy-coded)")
        place.set_title(skew)
        place.grid(alpha=0.3)
    places[0].set_ylabel("serving accuracy: median, least, most")
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    return figure


def _speed_figure(facts: Mapping[str, Facts]) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    place = figure.subplots()
    heights = np.arange(len(facts))
    place.barh(
        heights - 0.2,
        [fact.encode for fact in facts.values()],
        0.4,
        color=COLOURS[0],
        label="encode",
    )
    place.barh(
        heights + 0.2,
        [fact.decode for fact in facts.values()],
        0.4,
        color=COLOURS[1],
        label="decode",
    )
    place.set_yticks(heights, list(facts))
    place.invert_yaxis()
    place.axvline(500, color="0.3", linewidth=0.8)
    place.set_xlabel("MB of float32 per CPU second")
    place.legend()
    place.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main("codecs", "What each codec costs, and what it loses.", measure))
