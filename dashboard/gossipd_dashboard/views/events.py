"""What happened, newest first, by kinds and words."""

from typing import Any

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import SIGNS, Empty, card, say

SHOWN = 200
"""Rows; the filter looks at all that are kept."""
TROUBLE = frozenset(
    {
        "peer-refused",
        "peer-dropped",
        "update-refused",
        "equivocation",
        "identity-in-use",
        "learning-failed",
        "aggregator-lost",
        "network-down",
        "data-unreadable",
    }
)
GROUPS = {
    "Everything": frozenset[str](),
    "Trouble": TROUBLE,
    "Peers": frozenset(
        {"peer-connected", "peer-lost", "peer-refused", "peer-dropped", "member-entered"}
        | {"member-revoked"}
    ),
    "Learning": frozenset(
        {"trained", "merged", "aggregated", "learning-failed", "training-paused"}
        | {"training-resumed", "data-read-again", "data-unreadable"}
    ),
    "Rounds": frozenset(
        {"round-opened", "round-started", "round-declined", "aggregated", "aggregator-lost"}
    ),
    "Models": frozenset({"restored", "model-chosen", "model-pinned", "chosen"}),
}


def events(page: Page) -> None:
    with card("Events", wide=True):
        with ui.element("div").classes("filters"):
            group = ui.toggle(list(GROUPS), value="Everything")
            group.props('no-caps dense unelevated aria-label="Kinds of events"').classes("span")
            text = ui.input(placeholder="Words in an event, as a reason or the end of a peer id")
            text.props('dense outlined clearable aria-label="Words to look for"').classes("search")
        told = say()
        line = Feedline()
        empty = Empty()

    def show(feed: Feed) -> None:
        kinds = GROUPS[str(group.value)]
        found = feed.events.newest(SHOWN, kinds, text.value or "")
        line.show(found)
        kept = len(feed.events)
        missed = f", {feed.events.missed:,} came too fast to be seen" if feed.events.missed else ""
        told.text = f"The newest {len(found):,} of {words.count(kept, 'event')} kept here{missed}"
        if found:
            empty.hide()
        elif kept:
            empty.show("No event is like that", "Choose Everything, or other words.")
        else:
            empty.show(
                "Nothing has happened yet", "Events come as peers meet and models are trained."
            )

    group.on_value_change(lambda: show(page.feed))
    text.on_value_change(lambda: show(page.feed))
    page.every(show)


class Feedline:
    """Some events as a list; the newest on top."""

    def __init__(self) -> None:
        self._table = ui.table(
            columns=[
                {"name": "time", "label": "Time", "field": "time", "align": "left"},
                {"name": "what", "label": "What", "field": "what", "align": "left"},
                {"name": "details", "label": "Details", "field": "details", "align": "left"},
            ],
            rows=[],
            row_key="key",
        )
        self._table.props("flat dense wrap-cells hide-pagination :rows-per-page-options=[0]")
        self._table.classes("rows events")
        self._shown: list[Any] = []

    def show(self, found: list[Document]) -> None:
        keys = [(event["time"], event["seq"]) for event in found]
        self._table.visible = bool(found)
        if keys != self._shown:
            self._shown = keys
            self._table.rows = [_row(event) for event in found]


def _row(event: Document) -> Document:
    sign = SIGNS["warning"] if event["kind"] in TROUBLE else SIGNS["calm"]
    return {
        "key": f"{event['time']}/{event['seq']}",
        "time": words.clock(event["time"]),
        "what": f"{sign} {words.kind(event)}",
        "details": words.details(event),
    }
