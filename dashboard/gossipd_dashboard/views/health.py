"""What is wrong, each with what to do about it; and what the daemon waits for and has refused."""

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import SIGNS, Empty, Rows, card

STATES = {"error": "bad", "warning": "warning", "info": "calm"}


def health(page: Page) -> None:
    with card("Health", wide=True):
        Warnings(page, says_well=True)
    with ui.element("div").classes("two"):
        with card("Refused from peers"):
            refused = Rows([("reason", "Reason", False), ("count", "Times", True)], key="reason")
            none_refused = Empty()
        with card("Waits under way"):
            waits = Rows(
                [("what", "For", False), ("whom", "From", False), ("left", "Given up in", True)],
                key="key",
            )
            no_waits = Empty()
    with card("Own faults", wide=True):
        faults = Rows([("kind", "Kind", False), ("count", "Times", True)], key="kind")
        no_faults = Empty()

    def show(feed: Feed) -> None:
        if feed.status is None:
            return
        _counted(refused, feed.status["refused"], "reason")
        _counted(faults, feed.status["errors"], "kind")
        waits.show([_wait(number, wait) for number, wait in enumerate(feed.status["waiting"])])
        for empty, there, what, hint in (
            (none_refused, feed.status["refused"], "Nothing was refused", "Peers keep the rules."),
            (no_waits, feed.status["waiting"], "It waits for nobody", "Every wait has a deadline."),
            (no_faults, feed.status["errors"], "No fault of gossipd's own", "So it should be."),
        ):
            if there:
                empty.hide()
            else:
                empty.show(what, hint)

    page.every(show)


def _counted(rows: Rows, counts: dict[str, int], name: str) -> None:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    rows.show([{name: words.clean(key), "count": count} for key, count in ordered])


def _wait(number: int, wait: Document) -> Document:
    return {
        "key": number,
        "what": words.clean(wait["what"]),
        "whom": words.peer(wait["whom"]),
        "left": words.duration(max(wait["deadline"], 0.0)),
    }


class Warnings:
    """The current warnings, with the fix beside each."""

    def __init__(self, page: Page, *, says_well: bool = False) -> None:
        self._box = ui.element("div").classes("warnings").props('role="status"')
        self._says_well = says_well
        self._shown: list[Document] | None = None
        page.every(self._show)

    def _show(self, feed: Feed) -> None:
        if feed.status is None or feed.status["health"] == self._shown:
            return
        self._shown = feed.status["health"]
        self._box.clear()
        with self._box:
            for row in self._shown:
                state = STATES.get(row["severity"], "warning")
                with ui.element("div").classes(f"warning warning-{state}"):
                    ui.label(f"{SIGNS[state]} {words.clean(row['text'], 400)}").classes(
                        "warning-text"
                    )
                    if row["fix"]:
                        ui.label(f"To do: {words.clean(row['fix'], 400)}").classes("say")
                    ui.label(words.clean(row["code"])).classes("code")
            if not self._shown and self._says_well:
                with ui.element("div").classes("warning warning-good"):
                    ui.label(f"{SIGNS['good']} All is well").classes("warning-text")
                    ui.label(
                        "`gossipd doctor` looks deeper: ports, disk, clock, each peer."
                    ).classes("say")
