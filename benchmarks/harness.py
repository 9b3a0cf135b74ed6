"""What every benchmark shares: options, bounds, figures, and how the result is printed.

A benchmark measures and returns a Report; `main` prints it as a table or as one JSON envelope,
writes the figures, and judges what was measured by the bounds of bars.toml. A bound that does not
hold is a result like any other: the exit code says only whether there was something to measure.
"""

import argparse
import operator
import os
import platform
import resource
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from matplotlib.figure import Figure

from gossipd.errors import ExitCode, OperatorError
from gossipd_cli.output import Format, emit, emit_error, table

Document = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[1]
BARS = Path(__file__).with_name("bars.toml")
DATA = ROOT.parent / "shared" / "data"
"""Where the data sets lie when nobody says otherwise: beside the repository."""
OUTPUT = ROOT / "runs" / "benchmarks"
SEEDS = (1, 2, 3)
PROCESSES = 2
"""At most, each with one thread."""

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#000000")
"""Of Okabe and Ito: told apart with any colour vision. Lines differ in style as well."""

LIMITS: Sequence[tuple[str, str, Callable[[float, float], bool]]] = (
    ("above", ">", operator.gt),
    ("at_least", ">=", operator.ge),
    ("at_most", "<=", operator.le),
)
"""What bars.toml calls a bound, its sign, and whether a value holds it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a benchmark is asked to do."""

    data: Path | None
    """A folder of data sets; None: the built-in digits."""
    quick: bool
    """A smoke test of a few seconds, on the digits: its numbers mean nothing."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """What the benchmark's own options say, by their names."""

    @property
    def seeds(self) -> Sequence[int]:
        return SEEDS[:1] if self.quick else SEEDS


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured."""

    dataset: str
    """"" where none is used."""
    text: str
    """For people: tables and notes."""
    data: Document
    """For programs, beside what `main` adds."""
    measured: Mapping[str, float | None]
    """A value for each bound of bars.toml by its name; None where there is none to compare."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """By the end of the file's name."""


def main(
    name: str,
    summary: str,
    measure: Callable[[Options], Report],
    own: Callable[[argparse.ArgumentParser], object] | None = None,
) -> int:
    """Run the benchmark `name` as the command line asks; the exit code. `own` adds its options."""
    parser = _parser(name, summary)
    if own is not None:
        own(parser)
    arguments = parser.parse_args()
    began, cpu = time.monotonic(), _cpu_seconds()
    try:
        data = _data(arguments.data, arguments.quick)
        options = Options(data, arguments.quick, vars(arguments))
        report = measure(options)
        figures = _save(name, report.figures, arguments.output)
    except OperatorError as error:
        emit_error(arguments.format, error)
        return int(error.exit_code)
    document = {
        "benchmark": name,
        "quick": options.quick,
        "dataset": report.dataset,
        "machine": machine(),
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(_cpu_seconds() - cpu, 1),
        "figures": figures,
        **report.data,
        "bars": judge(load_bars(name), report.measured),
    }
    emit(arguments.format, document, lambda result: _text(report.text, result))
    return int(ExitCode.OK)


def load_bars(name: str) -> list[Document]:
    """The bounds of one benchmark: [{name, at_least?, at_most?, above?}]."""
    bars: list[Document] = tomllib.loads(BARS.read_text("utf-8"))[name]
    return bars


def judge(bars: Sequence[Document], measured: Mapping[str, float | None]) -> list[Document]:
    """[{name, value, bound, holds}], in the order of the bounds.

    Nothing was measured (None) holds no bound. ValueError when a bound was forgotten, or a value
    has no bound.
    """
    if odd := {bar["name"] for bar in bars} ^ measured.keys():
        raise ValueError(f"bounds and values do not match: {sorted(odd)}")
    return [_judged(bar, measured[bar["name"]]) for bar in bars]


def _judged(bar: Document, value: float | None) -> Document:
    chosen = [(sign, bar[key], test) for key, sign, test in LIMITS if key in bar]
    return {
        "name": bar["name"],
        "value": value,
        "bound": ", ".join(f"{sign} {bound:g}" for sign, bound, _ in chosen),
        "holds": value is not None and all(test(value, bound) for _, bound, test in chosen),
    }


def in_processes(work: Callable[[T], R], jobs: Sequence[T], processes: int = PROCESSES) -> list[R]:
    """`work` on each job, in the jobs' order; in this process for a single one.

    Processes are started afresh: a fork would inherit what torch's threads hold.
    """
    if processes == 1:
        return [work(job) for job in jobs]
    results: list[R] = []
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        for result in pool.map(work, jobs):
            results.append(result)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{len(results)} of {len(jobs)} runs ")
    finally:
        pool.shutdown(cancel_futures=True)
        if sys.stderr.isatty():
            sys.stderr.write("\r")
    return results


def median_or_none(values: Sequence[float | None]) -> float | None:
    """The median, where None is later than any number; None when it is one of those."""
    middle = median(float("inf") if value is None else value for value in values)
    return None if middle == float("inf") else middle


def machine() -> Document:
    """What the numbers depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
    }


def _parser(name: str, summary: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=summary)
    parser.add_argument("--format", type=Format, choices=list(Format), default=Format.text)
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of data sets; default: ../shared/data if it is there, else built-in digits",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIR", help="where figures are written"
    )
    return parser


def _data(given: Path | None, quick: bool) -> Path | None:
    if given is not None and not given.is_dir():
        raise OperatorError(
            "no-data", f"{given} is no folder", "give the folder of data sets", ExitCode.USAGE
        )
    if quick:
        return None
    return given or (DATA if DATA.is_dir() else None)


def _save(name: str, figures: Mapping[str, Figure], folder: Path) -> list[str]:
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, figure in figures.items():
            path = folder / f"{name}-{ending}.png"
            figure.savefig(path, dpi=150)
            paths.append(str(path))
    except OSError as error:
        raise OperatorError(
            "not-writable", f"cannot write into {folder}: {error}", "choose another --output"
        ) from error
    return paths


def _text(text: str, document: Document) -> str:
    it = document["machine"]
    bars = [
        (
            bar["name"],
            "-" if bar["value"] is None else f"{bar['value']:.4g}",
            bar["bound"],
            "yes" if bar["holds"] else "NO",
        )
        for bar in document["bars"]
    ]
    return "\n\n".join(
        [
            text,
            table(("bar", ">value", "bound", "holds"), bars),
            f"{document['seconds']:.0f} s, {document['cpu_seconds']:.0f} CPU seconds; "
            f"{it['cores']} cores ({it['processor']}), {it['memory_gib']} GiB, load {it['load']}, "
            f"Python {it['python']}, numpy {it['numpy']}, torch {it['torch']}",
            *(["A smoke test: these numbers mean nothing."] if document["quick"] else []),
            *(f"figure: {path}" for path in document["figures"]),
        ]
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _cpu_seconds() -> float:
    """Of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
