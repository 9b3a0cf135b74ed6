"""Pictures of a result: how good everybody was, who died where, rounds, bytes."""

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from gossipd_scenarios.plot import COLOURS, STYLES

Result = Mapping[str, Any]

INCHES = (9.0, 4.2)
SQUARE = (7.0, 6.2)
DPI = 130
NAMED = 12
"""Nodes up to which each has a colour and a name; with more, islands have."""
MEGA = 1e6
FAULT, DEAD = "#D55E00", "#222222"
LAYOUT_SEED = 1
DRAWN = 1500
"""Links up to which all of them are drawn."""


def draw(result: Result, folder: Path) -> dict[str, Path]:
    """Write the PNGs: name -> file. None where matplotlib is not installed ([lab])."""
    if find_spec("matplotlib") is None:
        return {}
    pictures = {
        "accuracy": _accuracy,
        "topology": _topology,
        "rounds": _rounds,
        "bytes": _bytes,
    }
    files = {}
    for name, picture in pictures.items():
        figure, axes = _figure(SQUARE if name == "topology" else INCHES)
        picture(axes, result)
        files[name] = folder / f"{name}.png"
        figure.savefig(files[name])
    return files


def _figure(inches: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: no global state, no display.
    figure = Figure(figsize=inches, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _timeline(axes: Any, result: Result, *, words: bool) -> None:
    """Shade what was broken, and when nodes were down; a line for each mark."""
    end = result["seconds"]
    for number, phase in enumerate(result["phases"]):
        until = end if phase["end"] is None else phase["end"]
        axes.axvspan(max(0.0, phase["begin"]), until, color=FAULT, alpha=0.10, lw=0)
        if words:
            height = 0.97 - 0.06 * (number % 4)
            axes.text(
                max(0.0, phase["begin"]),
                height,
                f" {phase['label']}",
                transform=axes.get_xaxis_transform(),
                fontsize="x-small",
                color=FAULT,
                va="top",
                clip_on=True,
            )
    for begin, until in _down(result):
        axes.axvspan(begin, until, color=DEAD, alpha=0.06, lw=0)
    for name, at in result["marks"].items():
        if name in ("start", "end") or not 0 < at < end:
            continue
        axes.axvline(at, color=DEAD, lw=0.8, ls=":")
        if words:
            axes.text(
                at,
                0.02,
                f" {name}",
                transform=axes.get_xaxis_transform(),
                fontsize="x-small",
                rotation=90,
                va="bottom",
                clip_on=True,
            )
    axes.set_xlim(0, max(end, 1e-3))
    axes.set_xlabel("seconds since all had started")
    axes.grid(alpha=0.25)


def _down(result: Result) -> set[tuple[float, float]]:
    """When nodes were down between two lives, or for good: each such time once."""
    end, found = result["seconds"], set()
    for lives in result["lives"].values():
        for number, (_, ended) in enumerate(lives):
            if ended is None:
                continue
            later = lives[number + 1][0] if number + 1 < len(lives) else end
            found.add((round(max(ended, 0.0), 1), round(min(later, end), 1)))
    return found


def _nan(values: list[float | None], scale: float = 1.0) -> list[float]:
    return [float("nan") if value is None else value * scale for value in values]


def _middle(result: Result, kind: str, scale: float = 1.0) -> tuple[list[float], list[float]]:
    """(times, median over the nodes that were there)."""
    rows = []
    for number, at in enumerate(result["times"]):
        known = [s[kind][number] for s in result["series"].values() if s[kind][number] is not None]
        if known:
            rows.append((at, median(known) * scale))
    return [at for at, _ in rows], [value for _, value in rows]


def _each(axes: Any, result: Result, kind: str, scale: float = 1.0) -> None:
    """A line for each node, and the median where they have no names."""
    names, named = result["names"], len(result["names"]) <= NAMED
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    # One style per round through the colours, so that more lines than colours stay apart.
    styles = dict(zip(names, (style for style in STYLES for _ in COLOURS), strict=False))
    labels = dict(zip(names, names, strict=True)) if named else {}
    for number, island in enumerate([] if named else result["islands"]):
        colours |= dict.fromkeys(island, COLOURS[number % len(COLOURS)])
        if len(result["islands"]) > 1 and island:
            labels[island[0]] = f"island {number}"
    for name in names:
        axes.plot(
            result["times"],
            _nan(result["series"][name][kind], scale),
            color=colours[name],
            ls=styles[name] if named else "-",
            lw=1.2 if named else 0.6,
            alpha=0.9 if named else max(0.08, min(0.5, 25 / len(names))),
            marker="o" if named else None,
            markersize=2,
            label=labels.get(name),
        )
    if not named:
        axes.plot(*_middle(result, kind, scale), color=DEAD, lw=2, label="median")
    axes.legend(loc="lower right", fontsize="x-small", ncols=2 if named else 1, framealpha=0.9)


def _accuracy(axes: Any, result: Result) -> None:
    _timeline(axes, result, words=True)
    calm = result["undisturbed"]
    if calm is not None:
        axes.plot(
            calm["times"], calm["median"], color="#777777", ls="--", lw=1.5,
            label="undisturbed, median",
        )  # fmt: skip
    _each(axes, result, "accuracy")
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy of the serving model (test set)")
    axes.set_title("How good each node is", loc="left")


def _bytes(axes: Any, result: Result) -> None:
    _timeline(axes, result, words=False)
    _each(axes, result, "bytes_out", 1 / MEGA)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("megabytes sent by each node")
    axes.set_title("What it costs", loc="left")


def _rounds(axes: Any, result: Result) -> None:
    """Rounds where there are any, else training steps; and how many nodes run."""
    _timeline(axes, result, words=False)
    series = result["series"].values()
    kind = "round" if any(v is not None for s in series for v in s["round"]) else "steps"
    _each(axes, result, kind)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("round that each node knows of" if kind == "round" else "own training steps")
    running = [
        sum(s["connected"][i] is not None for s in result["series"].values())
        for i in range(len(result["times"]))
    ]
    other = axes.twinx()
    other.step(result["times"], running, where="post", color="#999999", lw=1.2)
    other.set_ylim(0, 1.1 * max(running, default=1))
    other.set_ylabel("nodes that answer", color="#777777")
    axes.set_title("How it goes on", loc="left")


def _topology(axes: Any, result: Result) -> None:
    """The overlay; colour is the last accuracy, a cross is a node that ended for good."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(result["names"])
    links = result["links"]
    graph.add_edges_from(links or ())
    places = nx.circular_layout(graph) if not links else nx.spring_layout(graph, seed=LAYOUT_SEED)
    size = max(8.0, min(160.0, 6000 / max(1, len(graph))))
    if links and len(links) <= DRAWN:
        nx.draw_networkx_edges(graph, places, ax=axes, width=0.6, edge_color="#bbbbbb")
    dead = [n for n, lives in result["lives"].items() if lives and lives[-1][1] is not None]
    alive = [name for name in result["names"] if name not in set(dead)]
    last = {name: _last(result["series"][name]["accuracy"]) for name in alive}
    returned = {name for name in alive if len(result["lives"][name]) > 1}
    drawn = axes.scatter(
        [places[name][0] for name in alive],
        [places[name][1] for name in alive],
        c=[last[name] for name in alive],
        edgecolors=[FAULT if name in returned else "none" for name in alive],
        s=size, cmap="viridis", vmin=0, vmax=1, zorder=3,
    )  # fmt: skip
    axes.scatter(
        [places[name][0] for name in dead],
        [places[name][1] for name in dead],
        c=FAULT, marker="x", s=size, zorder=4,
    )  # fmt: skip
    if len(graph) <= 3 * NAMED:
        for name, (x, y) in places.items():
            axes.annotate(name, (x, y), (5, 5), textcoords="offset points", fontsize="x-small")
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7, label="accuracy in the end")
    axes.set_axis_off()
    who = "all may talk to all" if links is None else f"{len(links)} links"
    axes.set_title(f"Who is there in the end ({who}; x: gone, ring: back)", loc="left")


def _last(values: list[float | None]) -> float:
    return next((value for value in reversed(values) if value is not None), 0.0)
