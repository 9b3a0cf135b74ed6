"""The first view: how good the model is and becomes, who is there; pause and invite."""

import time

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.charts import Lines
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import Empty, Figure, button, card
from gossipd_dashboard.views.events import Feedline
from gossipd_dashboard.views.health import Warnings
from gossipd_dashboard.views.invite import invite

SPANS = {900: "15 min", 3600: "1 h", 8 * 3600: "8 h"}
CURVES = ("serving", "head", "base")
LATEST = 8


def overview(page: Page) -> None:
    Warnings(page)
    with ui.element("section").classes("figures").props('aria-label="At a glance"'):
        figures = _Figures()
    with ui.element("div").classes("bar-row"):
        with ui.element("div").classes("buttons"):
            pause = button("Pause training")
            button("Invite a device", lambda: invite(page))
        span = ui.toggle(SPANS, value=900).classes("span")
        span.props('no-caps dense unelevated aria-label="Time shown"')
    with ui.element("div").classes("two"):
        with card("How good the models are"):
            quality = _Curves("accuracy", "percent of held-out examples", share=True)
        with card("Loss"):
            loss = _Curves("loss", "on held-out examples")
    with card("What happens", wide=True) as beside:
        with beside:
            ui.link("All events", "/events")
        latest = Feedline()

    def show(feed: Feed) -> None:
        if feed.status is None:
            return
        figures.show(feed.status)
        by_hand = feed.status["training"]["paused"]
        pause.text = "Resume training" if by_hand else "Pause training"
        pause.set_enabled(feed.live)
        draw(feed)
        latest.show(feed.events.newest(LATEST, frozenset(), ""))

    def draw(feed: Feed) -> None:
        since = time.time() - float(span.value)
        metric = "accuracy" if feed.curves.has("accuracy") or not feed.curves.has("r2") else "r2"
        quality.show(feed, metric, since)
        loss.show(feed, "loss", since)

    async def turn() -> None:
        assert page.feed.status is not None
        if page.feed.status["training"]["paused"]:
            await page.do(lambda client: client.resume(), "Training goes on")
        else:
            await page.do(lambda client: client.pause(), "Training is paused")

    pause.on_click(turn)
    span.on_value_change(lambda: draw(page.feed))
    page.every(show)


class _Curves:
    """A measure of all three models, or why there is none yet."""

    def __init__(self, metric: str, unit: str, *, share: bool = False) -> None:
        self._lines = Lines(CURVES, unit, share=share)
        self._empty = Empty()

    def show(self, feed: Feed, metric: str, since: float) -> None:
        measured = feed.curves.has(metric)
        self._lines.chart.visible = measured
        if measured:
            self._empty.hide()
            self._lines.show([feed.curves.curve(f"{role} {metric}", since) for role in CURVES])
        else:
            self._empty.show(
                "Nothing is measured yet",
                "The first measure comes with the first training cycle. "
                "The task must hold examples out: learning.held_out.",
            )


class _Figures:
    """The numbers in a row."""

    def __init__(self) -> None:
        self._quality = Figure("Right answers")
        self._peers = Figure("Peers")
        self._work = Figure("Round")
        self._steps = Figure("Trained here")
        self._traffic = Figure("Traffic")
        self._saved = Figure("Saved by codecs")

    def show(self, status: Document) -> None:
        self._show_quality(status["models"]["serving"])
        network = status["network"]
        self._peers.show(
            words.number(network["connected"]), f"connected, {network['known']:,} known"
        )
        self._show_work(status)
        training = status["training"]
        self._steps.show(
            f"{words.number(training['steps'])}",
            f"mini-batches on {words.count(training['examples'], 'example')}",
        )
        self._traffic.show(
            words.size(network["bytes_in"] + network["bytes_out"]),
            f"{words.size(network['bytes_in'])} in, {words.size(network['bytes_out'])} out",
        )
        coding = status["coding"]
        whole = coding["bytes_sent"] + coding["bytes_saved"]
        self._saved.show(
            words.size(coding["bytes_saved"]),
            f"{words.percent(coding['bytes_saved'] / whole)} of {words.size(whole)} of models"
            if whole
            else "no model was sent yet",
        )

    def _show_quality(self, serving: Document) -> None:
        held_out = serving.get("held_out", {})
        if serving["held_out_accuracy"] is not None:
            loss = words.number(serving["held_out_loss"])
            self._quality.show(
                words.percent(serving["held_out_accuracy"]), f"of held-out examples, loss {loss}"
            )
        elif "rmse" in held_out:
            self._quality.show(words.number(held_out["rmse"]), "root mean square error")
        else:
            self._quality.show(words.UNKNOWN, "not measured yet")

    def _show_work(self, status: Document) -> None:
        playing = status.get("round")
        if playing is None:
            updates = status["updates"]
            self._work.show(
                "gossip", f"{updates['merged']:,} merged, {updates['adopted']:,} adopted"
            )
        else:
            self._work.show(
                words.number(playing["number"]), f"here: {words.clean(playing['role'])}"
            )
