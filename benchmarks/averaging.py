"""How fast models are averaged and encoded, against what numpy does with the same arrays.

Ten models of ten million parameters. Every operation is timed right after its yardstick, numpy's
plain mean over the same memory or numpy's own conversion, and what counts is the median of those
paired ratios in CPU seconds: what else the machine does meets both alike. All of it is one thread.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.averaging.concurrent import Side, merge_concurrent
from gossipd.averaging.mean import mean
from gossipd.averaging.variance import variance_corrected
from gossipd.tensors import codecs
from gossipd.tensors.layout import Layout, TensorSpec, Vector
from gossipd_cli.output import table

MODELS = 10
CLASSES = 10
SIZES = (784, 2900, 2655, CLASSES)
"""A perceptron of 10,005,215 parameters."""
QUICK_SIZES = (64, 100, 100, CLASSES)
REPEATS, QUICK_REPEATS = 11, 2
MEGABYTE = 1_000_000

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something of ours and the part of it that numpy has to do in any case."""

    name: str
    ours: Work
    yardstick: Work
    versus: str
    read: int
    """Bytes of float32 that it is about."""
    bar: str | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU seconds, medians over the repetitions."""

    seconds: float
    yardstick: float
    ratios: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.ratios)


def measure(options: Options) -> Report:
    """Each operation in turn, over and over."""
    layout = perceptron(QUICK_SIZES if options.quick else SIZES)
    rng = np.random.default_rng(options.seeds[0])
    stack = rng.standard_normal((MODELS, layout.parameters), dtype=np.float32)
    stack *= 0.05
    operations = [*_averages(layout, stack), *_codecs(layout, stack[0])]
    repeats = QUICK_REPEATS if options.quick else REPEATS
    timings = {operation.name: _timed(operation, repeats) for operation in operations}
    rows = [
        {
            "name": operation.name,
            "seconds": timings[operation.name].seconds,
            "megabytes_per_second": operation.read / MEGABYTE / timings[operation.name].seconds,
            "versus": operation.versus,
            "versus_seconds": timings[operation.name].yardstick,
            "ratio": timings[operation.name].ratio,
            "ratios": list(timings[operation.name].ratios),
        }
        for operation in operations
    ]
    return Report(
        dataset="",
        text=_text(layout, operations, timings),
        data={"models": MODELS, "parameters": layout.parameters, "rows": rows},
        measured={o.bar: timings[o.name].ratio for o in operations if o.bar is not None},
        figures={"ratios": _figure(layout, operations, timings)},
    )


def perceptron(sizes: Sequence[int]) -> Layout:
    """The layout of a multilayer perceptron; its last layer is the classifier's."""
    tensors = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        tensors += [
            TensorSpec(f"{number}.weight", (outputs, inputs), "weight"),
            TensorSpec(f"{number}.bias", (outputs,), "bias"),
        ]
    return Layout(tuple(tensors), output=tuple(spec.name for spec in tensors[-2:]))


def _averages(layout: Layout, stack: NDArray[np.float32]) -> list[Operation]:
    models = list(stack)
    # Profiles that overlap in part, so that every row of the output layer has weights of its own.
    sides = [
        Side(model, 1000, [100 + 10 * ((number + label) % CLASSES) for label in range(CLASSES)])
        for number, model in enumerate(models)
    ]
    works: list[tuple[str, Work, str | None]] = [
        ("mean", lambda: mean(models), None),
        (
            "variance_corrected, ten received",
            lambda: variance_corrected(layout, None, models),
            "variance_corrected, ten models received: times numpy's mean",
        ),
        (
            "variance_corrected, own and nine",
            lambda: variance_corrected(layout, models[0], models[1:]),
            "variance_corrected, own model and nine: times numpy's mean",
        ),
        (
            "merge_concurrent, ten sides",
            lambda: merge_concurrent(layout, sides),
            "merge_concurrent, ten sides: times numpy's mean",
        ),
    ]
    return [
        Operation(name, work, lambda: stack.mean(axis=0), "mean(axis=0)", stack.nbytes, bar)
        for name, work, bar in works
    ]


def _codecs(layout: Layout, model: Vector) -> list[Operation]:
    half = model.astype(np.float16)
    bodies = {name: codecs.encode(name, model, layout) for name in ("dense", "half")}
    works: list[tuple[str, Work, Work, str]] = [
        (
            "dense encode",
            lambda: codecs.encode("dense", model, layout),
            lambda: model.astype(np.float32),
            "astype(float32)",
        ),
        (
            "dense decode",
            lambda: codecs.decode("dense", bodies["dense"], layout),
            lambda: model.astype(np.float32),
            "astype(float32)",
        ),
        (
            "half encode",
            lambda: codecs.encode("half", model, layout),
            lambda: model.astype(np.float16),
            "astype(float16)",
        ),
        (
            "half decode",
            lambda: codecs.decode("half", bodies["half"], layout),
            lambda: half.astype(np.float32),
            "astype(float32)",
        ),
    ]
    return [Operation(name, ours, theirs, vs, model.nbytes) for name, ours, theirs, vs in works]


def _timed(operation: Operation, repeats: int) -> Timing:
    _seconds(operation.yardstick)  # both once before it counts: pages, caches
    _seconds(operation.ours)
    pairs = [(_seconds(operation.yardstick), _seconds(operation.ours)) for _ in range(repeats)]
    return Timing(
        seconds=median(ours for _, ours in pairs),
        yardstick=median(theirs for theirs, _ in pairs),
        ratios=[ours / theirs for theirs, ours in pairs],
    )


def _seconds(work: Work) -> float:
    began = time.process_time_ns()
    work()
    return max(time.process_time_ns() - began, 1) / 1e9


def _text(layout: Layout, operations: Sequence[Operation], timings: Mapping[str, Timing]) -> str:
    rows = []
    for operation in operations:
        timing = timings[operation.name]
        rows.append(
            (
                operation.name,
                f"{1000 * timing.seconds:.1f}",
                f"{operation.read / MEGABYTE / timing.seconds:.0f}",
                operation.versus,
                f"{1000 * timing.yardstick:.1f}",
                f"{timing.ratio:.2f}",
                f"{min(timing.ratios):.2f} - {max(timing.ratios):.2f}",
            )
        )
    headings = (
        "operation",
        ">CPU ms",
        ">MB/s",
        "numpy's",
        ">CPU ms",
        ">times",
        ">least - most",
    )
    return (
        f"{MODELS} models of {layout.parameters:,} parameters; codecs: one of them. "
        "MB of float32, medians\n\n" + table(headings, rows)
    )


def _figure(
    layout: Layout, operations: Sequence[Operation], timings: Mapping[str, Timing]
) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    place = figure.subplots()
    heights = range(len(operations))
    ratios = [timings[operation.name].ratio for operation in operations]
    colours = [COLOURS[0] if operation.bar else COLOURS[1] for operation in operations]
    place.barh(heights, ratios, color=colours)
    place.set_yticks(heights, [f"{o.name} / {o.versus}" for o in operations])
    place.invert_yaxis()
    place.axvline(1, color="0.3", linewidth=0.8)
    place.set_xlabel("CPU time, times numpy's")
    figure.suptitle(f"{MODELS} models of {layout.parameters:,} parameters; orange: has a bound")
    place.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main("averaging", "How fast models are averaged and encoded.", measure))
