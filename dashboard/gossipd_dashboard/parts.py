"""The few building blocks that all views are made of: cards, figures, chips, tables, empty states.

Texts go in as texts only: no `ui.html`, no `ui.markdown`, nothing in a props string that a peer may
have written.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import ui

Document = dict[str, Any]

SIGNS = {"good": "●", "warning": "▲", "bad": "■", "calm": "○", "busy": "◆"}
"""A state is told by its shape and its word; colour only helps."""

COLOURED = (
    "<q-td :props=\"props\"><span :class=\"{'is-good': props.value.startsWith('●'), "
    "'is-warning': props.value.startsWith('▲'), 'is-bad': props.value.startsWith('■')}\">"
    "{{ props.value }}</span></q-td>"
)
"""A cell of a column called `state`: its colour follows its shape."""


@contextmanager
def card(title: str, *, wide: bool = False, classes: str = "") -> Iterator[ui.element]:
    """A titled section; yields the row at its head, for what stands beside the title."""
    with ui.element("section").classes(f"card {'wide' if wide else ''} {classes}"):
        with ui.element("div").classes("card-head"):
            heading(title)
            beside = ui.element("div").classes("card-beside")
        yield beside


def button(word: str, do: Callable[..., Any] | None = None) -> ui.button:
    """A button that does not shout."""
    made = ui.button(word, on_click=do, color=None)
    return made.props("outline no-caps").classes("act")


def heading(text: str, level: int = 2) -> None:
    with ui.element(f"h{level}"):
        ui.label(text)


def say(text: str = "", classes: str = "") -> ui.label:
    """A line of text, as text."""
    return ui.label(text).classes(f"say {classes}")


class Figure:
    """A number with its name above and a remark below."""

    def __init__(self, name: str) -> None:
        with ui.element("div").classes("figure"):
            ui.label(name).classes("figure-name")
            self._value = ui.label().classes("figure-value")
            self._note = ui.label().classes("figure-note")

    def show(self, value: str, note: str = "") -> None:
        self._value.text, self._note.text = value, note


class Chip:
    """A state in a word, with its shape."""

    def __init__(self) -> None:
        self._state = ""
        self._label = ui.label().classes("chip")

    def show(self, state: str, word: str) -> None:
        self._label.text = f"{SIGNS[state]} {word}"
        if state != self._state:
            self._label.classes(remove=f"chip-{self._state}", add=f"chip-{state}")
            self._state = state


class Empty:
    """What stands where there is nothing yet: what that means, and what to do."""

    def __init__(self) -> None:
        with ui.element("div").classes("empty") as self._box:
            self._what = ui.label().classes("empty-what")
            self._hint = ui.label().classes("empty-hint")
        self._box.visible = False

    def show(self, what: str, hint: str) -> None:
        self._what.text, self._hint.text = what, hint
        self._box.visible = True

    def hide(self) -> None:
        self._box.visible = False


class Rows:
    """A table whose rows are only sent when they have changed."""

    def __init__(
        self,
        columns: Sequence[tuple[str, str, bool]],
        *,
        key: str,
        page: int = 25,
        act: tuple[str, Callable[[Document], Any]] | None = None,
    ) -> None:
        """`columns`: (field, heading, whether it is a number). Rows sort by `field + "!"` where
        they have that. `act`: a button at the end of each row, by its word, and what it does."""
        self._rows: list[Document] = []
        self._page = page
        head: list[Document] = [
            {
                "name": field,
                "label": title,
                "field": field,
                "align": "right" if numeric else "left",
                "sortable": True,
                ":sort": f"(a, b, x, y) => {{const k = '{field}!'; "
                "const p = x[k] ?? a, q = y[k] ?? b; return p > q ? 1 : p < q ? -1 : 0}",
            }
            for field, title, numeric in columns
        ]
        if act is not None:
            head.append({"name": "act", "label": "", "field": key, "align": "right"})
        self.table = ui.table(columns=head, rows=[], row_key=key, pagination=page)
        self.table.props("flat dense wrap-cells").classes("rows")
        self.table.add_slot("body-cell-state", COLOURED)
        if act is not None:
            word, do = act
            self.table.add_slot(
                "body-cell-act",
                '<q-td :props="props"><q-btn flat dense no-caps '
                f'label="{word}" :aria-label="\'{word} \' + props.row.{columns[0][0]}" '
                "@click=\"$parent.$emit('act', props.key)\" /></q-td>",
            )
            self.table.on("act", lambda event: do(self._by_key(event.args)))

    def _by_key(self, asked: object) -> Document:
        return next((row for row in self._rows if row[self.table.row_key] == asked), {})

    def show(self, rows: list[Document]) -> None:
        if rows != self._rows:
            self._rows = rows
            self.table.rows = rows
            few = len(rows) <= self._page or not self._page
            self.table.props("hide-bottom" if few else "", remove="" if few else "hide-bottom")
        self.table.visible = bool(rows)
