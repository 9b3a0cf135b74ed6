"""A running scenario: all its daemons, what is done to them and when, checks as they come out."""

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.page import TICK_SECONDS, Page
from gossipd_dashboard.parts import SIGNS, Rows, card, say

CHECKS = {"open": ("calm", "open"), "holds": ("good", "holds"), "fails": ("bad", "fails")}
CHECK = (
    ("state", "", False),
    ("name", "Check", False),
    ("bound", "Bound", False),
    ("evidence", "Evidence", False),
)
NODES = (
    ("node", "Daemon", False),
    ("state", "State", False),
    ("island", "Island", True),
    ("accuracy", "Right", True),
    ("peers", "Peers", True),
    ("round", "Round", True),
    ("steps", "Mini-batches", True),
    ("sent", "Sent", True),
)


def scenario(page: Page) -> None:
    run = page.fleet.run
    assert run is not None
    with card("Scenario", wide=True):
        title = say(classes="answers")
        bar = ui.linear_progress(0, show_value=False).props('aria-label="How far it is"')
    with card("Faults", wide=True):
        timeline = _Timeline()
        steps = ui.element("ol").classes("steps")
    with card("Checks", wide=True):
        checks = Rows(CHECK, key="key", page=0)
    with card("Daemons", wide=True):
        nodes = Rows(NODES, key="node", page=50)
    drawn: list[Document | None] = [None]

    def show() -> None:
        document = run.document
        for feed in page.fleet.feeds.values():
            feed.want("peers")
        nodes.show([_node(name, feed, document) for name, feed in page.fleet.feeds.items()])
        if document is drawn[0]:
            return
        drawn[0] = document
        length = max(document["seconds"], 1.0)
        state = "has ended" if document["ended"] else "runs"
        title.text = (
            f"{words.clean(document['title'])}: {state}, {document['at']:.0f} of {length:.0f} s"
        )
        bar.value = min(1.0, max(0.0, document["at"] / length))
        timeline.show(document, length)
        checks.show([_check(number, check) for number, check in enumerate(document["checks"])])
        steps.clear()
        with steps:
            for at, what in document["steps"][-12:]:
                with ui.element("li"):
                    ui.label(f"{at:.1f} s  {words.clean(what)}")

    show()
    ui.timer(TICK_SECONDS, show)


class _Timeline:
    """Faults as bars over the scenario's length."""

    def __init__(self) -> None:
        self._box = ui.element("div").classes("timeline").props('aria-label="Faults over time"')

    def show(self, document: Document, length: float) -> None:
        self._box.clear()
        with self._box:
            for phase in document["phases"]:
                end = (
                    phase["end"]
                    if phase["end"] is not None
                    else max(document["at"], phase["begin"])
                )
                left = 100 * max(phase["begin"], 0.0) / length
                width = max(100 * (end - phase["begin"]) / length, 0.6)
                with ui.element("div").classes("phase"):
                    ui.element("div").classes("phase-bar").style(
                        f"margin-left: {left:.2f}%; width: {min(width, 100 - left):.2f}%"
                    )
                    still = "" if phase["end"] is not None else ", still so"
                    ui.label(f"{words.clean(phase['label'])}, from {phase['begin']:.0f} s{still}")
            if not document["phases"]:
                say("No fault yet.")


def _check(number: int, check: Document) -> Document:
    state, word = CHECKS[check["state"]]
    return {
        "key": number,
        "state": f"{SIGNS[state]} {word}",
        "name": words.clean(check["name"]),
        "bound": words.clean(check["bound"]),
        "evidence": words.clean(check["evidence"], 300),
    }


def _node(name: str, feed: Feed, document: Document) -> Document:
    told = document["nodes"].get(name, {})
    status = feed.status if feed.live else None
    if status is None:
        state = f"{SIGNS['bad']} down" if not told.get("running") else f"{SIGNS['warning']} silent"
        return {"node": name, "state": state, "island": told.get("island")}
    playing = status.get("round")
    accuracy = status["models"]["serving"]["held_out_accuracy"]
    return {
        "node": name,
        "state": f"{SIGNS['good']} runs",
        "island": told.get("island"),
        "accuracy": words.percent(accuracy),
        "accuracy!": accuracy or -1,
        "peers": status["network"]["connected"],
        "round": playing["number"] if playing else None,
        "steps": words.number(status["training"]["steps"]),
        "steps!": status["training"]["steps"],
        "sent": words.size(status["network"]["bytes_out"]),
        "sent!": status["network"]["bytes_out"],
    }
