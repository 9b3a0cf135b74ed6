"""Curves over time, drawn so that they can be told apart with any colour vision, and on any ground.

Colours of Okabe and Ito, chosen among theirs for a contrast of 3:1 with white and with the dark
ground alike (WCAG 2.1, 1.4.11); each curve differs by its line as well. Text takes its colour from
theme.css.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

Document = dict[str, Any]
Points = Sequence[tuple[float, float | None]]

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GRID = "rgba(128,138,150,.22)"
STYLES: Mapping[str, tuple[str, str, int]] = {
    "serving": (GREEN, "solid", 3),
    "head": (VERMILLION, "dashed", 2),
    "base": (BLUE, "dotted", 2),
}
"""Colour, line and width of each role of a model."""


class Lines:
    """A chart of some curves by name."""

    def __init__(self, names: Sequence[str], unit: str, *, share: bool = False) -> None:
        """`share`: values are parts of one, to be shown as percentages."""
        self._names = list(names)
        self._factor = 100.0 if share else 1.0
        self._sent: list[Points] = []
        value_axis: Document = {
            "type": "value",
            "name": unit,
            "nameTextStyle": {"align": "left"},
            "scale": True,
            "splitLine": {"lineStyle": {"color": GRID}},
            "splitNumber": 4,
        }
        if share:
            value_axis |= {"max": 100}
        self._options: Document = {
            "animation": False,
            "grid": {"left": 8, "right": 14, "top": 44, "bottom": 4, "containLabel": True},
            "legend": {"top": 0, "right": 0, "itemWidth": 34},
            "tooltip": {"trigger": "axis", "confine": True},
            "xAxis": {
                "type": "time",
                "splitNumber": 4,
                "axisLine": {"lineStyle": {"color": GRID}},
                "axisLabel": {"hideOverlap": True},
                "splitLine": {"show": False},
            },
            "yAxis": value_axis,
            "series": [self._series(name) for name in names],
        }
        self.chart = ui.echart(self._options, renderer="svg").classes("chart")
        self.chart.props(f'role="img" aria-label="{", ".join(names)} over time, {unit}"')

    @staticmethod
    def _series(name: str) -> Document:
        colour, line, width = STYLES[name]
        return {
            "name": name,
            "type": "line",
            "symbol": "none",
            "data": [],
            "color": colour,
            "lineStyle": {"type": line, "width": width},
            "connectNulls": True,
        }

    def show(self, curves: Sequence[Points]) -> None:
        """A curve for each name."""
        if curves == self._sent:
            return
        self._sent = list(curves)
        for series, curve in zip(self.chart.options["series"], curves, strict=True):
            series["data"] = [
                [round(at * 1000), None if value is None else round(value * self._factor, 4)]
                for at, value in curve
            ]
        self.chart.update()
