"""The demo's picture: how good every daemon was at every moment, drawn from the demo's result."""

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

# Okabe and Ito's palette, told apart by all kinds of colour vision; black is for the text.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
STYLES = ("-", "--", "-.", ":")
"""One per round through the colours, so that more lines than colours stay apart."""
INCHES = (9.0, 5.0)
DPI = 150
LEGEND = 20
"""More names than this explain nothing."""


def draw(result: Mapping[str, Any], path: Path) -> bool:
    """Write the PNG. False, and nothing written, where matplotlib is not installed ([lab])."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: no global state, no display.
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _phases(axes, result)
    styles = (style for style in STYLES for _ in COLOURS)
    for name, colour, style, classes in zip(
        result["names"], cycle(COLOURS), cycle(styles), result["classes"], strict=False
    ):
        line = result["history"][name]
        label = f"{name}: digits {_listed(classes)}"
        axes.plot(
            line["times"],
            line["accuracies"],
            style,
            color=colour,
            marker="o",
            markersize=2.5,
            label=label,
        )
    _killed(axes, result["killed"])

    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("accuracy on all ten digits (test set)")
    axes.set_xlim(0, result["phases"]["together"][1])
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.25)
    if len(result["names"]) <= LEGEND:
        axes.legend(loc="lower right", fontsize="small", framealpha=0.9)
    axes.set_title(_title(result), loc="left")
    figure.savefig(path)
    return True


def _title(result: Mapping[str, Any]) -> str:
    alone = [accuracy for accuracy in result["alone"] if accuracy is not None]
    return (
        f"{len(result['names'])} daemons: alone {sum(alone) / len(alone):.2f}, "
        f"{'together' if result['ablations']['exchange'] else 'without exchange'} "
        f"{result['mean']:.2f} (mean), {result['worst']:.2f} (worst)"
    )


def _phases(axes: Any, result: Mapping[str, Any]) -> None:
    start, meeting = result["phases"]["alone"]
    axes.axvspan(start, meeting, color="0.90", linewidth=0)
    axes.axvline(meeting, color="0.5", linewidth=0.8)
    exchange = result["ablations"]["exchange"]
    words = [(start, "alone"), (meeting, "together" if exchange else "together, no exchange")]
    for x, word in words:
        axes.text(x, 1.0, f" {word}", va="top", color="0.35", fontsize="small")


def _killed(axes: Any, killed: Mapping[str, Any] | None) -> None:
    if killed is None:
        return
    axes.axvspan(
        killed["at"], killed["back_at"], facecolor="none", edgecolor="0.8", hatch="///", linewidth=0
    )
    axes.annotate(
        f"{killed['name']} killed,\nthen started again",
        xy=(killed["back_at"], killed["accuracy_after"]),
        xytext=(8, -34),
        textcoords="offset points",
        fontsize="small",
        arrowprops={"arrowstyle": "->", "color": "0.35"},
    )


def _listed(classes: list[int]) -> str:
    return ", ".join(map(str, classes))
