"""How long a ranking takes, and how much memory: ten thousand items, a hundred thousand rows.

"query": the first twenty of a query after a click of one's own has changed what counts. "batch": a
hundred rows taken in, and the first twenty of another query. "worst": a query under which each of
the rows counts. CPU milliseconds, medians of seven; memory as Python's allocator traces it.
"""

import sys
import time
import tracemalloc
from itertools import count
from random import Random
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.protocol.ranking.catalogue import Catalogue
from gossipd.protocol.ranking.clicklog import ClickLog
from gossipd.protocol.ranking.rules import Rules
from gossipd.protocol.ranking.score import Ranking
from gossipd.wire.clicks import Click, ClickSheet, SignedSheet
from gossipd_cli.output import table

ITEMS, ROWS, NODES, QUERIES = 10_000, 100_000, 1_000, 500
QUICK_SHARE = 0.05
REPEATS = 7
ROWS_OF_A_SHEET = 2
ENVELOPE = 230
"""Bytes of the signed envelope of such a sheet."""


class Load:
    """Rows as a busy swarm might make them: a few queries and items are asked and chosen often."""

    def __init__(self, share: float) -> None:
        self.rng = Random(1)
        self.items = [n.to_bytes(8, "big") for n in range(int(share * ITEMS))]
        self.nodes = [f"12D3KooW{n:044}" for n in range(int(share * NODES))]
        self.ranking = Ranking(self.nodes[0], Rules(), Catalogue())
        self.log = ClickLog(ROWS + 1000)
        self.seqs = {node: count(1) for node in self.nodes}

    def rows(self, number: int, node: str | None = None) -> None:
        for _ in range(number // ROWS_OF_A_SHEET):
            author = node or self.rng.choice(self.nodes)
            clicks = tuple(
                Click(
                    f"label {int(QUERIES * self.rng.random() ** 2)}",
                    bytes(bytearray(self.items[int(len(self.items) * self.rng.random() ** 2)])),
                )
                for _ in range(ROWS_OF_A_SHEET)
            )
            made = ClickSheet(incarnation=1, seq=next(self.seqs[author]), clicks=clicks)
            self.log.take(author, SignedSheet(author, made, self.rng.randbytes(ENVELOPE)), 0.0)
            for click in clicks:
                self.ranking.add(author, click.query, click.item, 0.0)


def measure(options: Options) -> Report:
    share = QUICK_SHARE if options.quick else 1.0
    rows = int(share * ROWS)
    query, batch = _usual(Load(share), rows)
    worst = _worst(Load(share), rows)
    megabytes = _megabytes(share, rows)
    named = {"query": query, "batch": batch, "worst": worst}
    text = f"{int(share * ITEMS):,} items, {rows:,} rows, {megabytes:.0f} MB\n\n" + table(
        ("", ">CPU ms"), [(name, f"{value:.2f}") for name, value in named.items()]
    )
    measured = {
        "a query: CPU milliseconds": query,
        "a batch of 100 rows: CPU milliseconds": batch,
        "memory: MB": megabytes,
    }
    kept = [{"what": name, "milliseconds": value} for name, value in named.items()]
    data = {"rows": kept, "items": int(share * ITEMS), "clicks": rows, "megabytes": megabytes}
    return Report("made", text, data, measured, {"ranking": _figure(named)})


def _figure(named: dict[str, float]) -> Figure:
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    place = figure.subplots()
    place.barh(list(named), list(named.values()), color=COLOURS[1])
    place.invert_yaxis()
    place.set_xlabel("CPU milliseconds, median")
    place.grid(axis="x", alpha=0.3)
    return figure


def _usual(load: Load, rows: int) -> tuple[float, float]:
    load.rows(rows)
    load.ranking.rank("label 0")
    queries, batches = [], []
    for repeat in range(REPEATS):
        began = time.process_time()
        load.rows(100)
        load.ranking.rank("label 1", 20)
        batches.append(_milliseconds(began))
        load.ranking.add(load.nodes[0], "label 2", load.items[repeat], 0.0)
        began = time.process_time()
        load.ranking.rank("label 0", 20)
        queries.append(_milliseconds(began))
    return median(queries), median(batches)


def _worst(load: Load, rows: int) -> float:
    for node in load.nodes:
        for item in load.rng.sample(load.items, rows // len(load.nodes)):
            load.ranking.add(node, "label", item, 0.0)
    times = []
    for item in load.items[:REPEATS]:
        load.ranking.add(load.nodes[0], "own", item, 0.0)
        began = time.process_time()
        load.ranking.rank("label", 20)
        times.append(_milliseconds(began))
    return median(times)


def _megabytes(share: float, rows: int) -> float:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        load = Load(share)
        load.rows(rows)
        load.ranking.rank("label 0")
        return (tracemalloc.get_traced_memory()[0] - before) / 1e6
    finally:
        tracemalloc.stop()


def _milliseconds(began: float) -> float:
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    sys.exit(main("ranking", "How long a ranking takes, and how much memory.", measure))
