"""What stands around every view: the name, where to go, how the daemon is, light or dark."""

from collections.abc import Callable

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Feed
from gossipd_dashboard.fleet import Fleet
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import Chip
from gossipd_dashboard.views.events import events
from gossipd_dashboard.views.health import health
from gossipd_dashboard.views.models import models
from gossipd_dashboard.views.overview import overview
from gossipd_dashboard.views.peers import peers
from gossipd_dashboard.views.scenario import scenario
from gossipd_dashboard.views.topology import topology

View = Callable[[Page], None]

VIEWS: dict[str, tuple[str, View]] = {
    "/": ("Overview", overview),
    "/topology": ("Topology", topology),
    "/peers": ("Peers", peers),
    "/models": ("Models", models),
    "/events": ("Events", events),
    "/health": ("Health", health),
}
RUN: dict[str, tuple[str, View]] = {
    "/": ("Scenario", scenario),
    "/overview": VIEWS["/"],
    **{path: view for path, view in VIEWS.items() if path != "/"},
}
"""Where a scenario runs, that is what the link opens."""


def build(fleet: Fleet) -> None:
    """The page, for one browser tab."""
    page = Page(fleet)
    views = VIEWS if fleet.run is None else RUN
    ui.add_head_html('<link rel="stylesheet" href="/theme.css">')
    dark = ui.dark_mode(None)
    # Where the keyboard begins.
    with ui.element("a").props('href="#main"').classes("skip"):
        ui.label("To the content")
    with ui.element("header").classes("top"):
        with ui.element("div").classes("brand"):
            ui.label("gossipd").classes("brand-name")
            _who(page)
        with ui.element("nav").props('aria-label="Views"').classes("nav"):
            links = {
                path: ui.link(name, path).classes("nav-link") for path, (name, _) in views.items()
            }
        with ui.element("div").classes("top-end"):
            _state(page)
            _theme(dark)
    with ui.element("div").classes("content").props("id=main tabindex=-1"):
        _gone(page)
        ui.sub_pages({path: _opened(view, page) for path, (_, view) in views.items()})

    def mark(path: str) -> None:
        here = path.partition("?")[0]
        for target, link in links.items():
            link.classes(**{"add" if target == here else "remove": "here"})
            if target == here:
                link.props('aria-current="page"')
            else:
                link.props(remove="aria-current")

    router = ui.context.client.sub_pages_router
    mark(router.current_path)
    router.on_path_changed(mark)


def _opened(view: View, page: Page) -> Callable[[], None]:
    def show() -> None:
        with ui.element("div").classes("view"):
            view(page)

    return show


def _who(page: Page) -> None:
    """Which daemon is shown; of several, to be chosen."""
    if page.fleet.several:

        def choose(event: object) -> None:
            page.node = str(chosen.value)

        chosen = ui.select(list(page.fleet.feeds), value=page.node, on_change=choose)
        chosen.props('dense borderless options-dense aria-label="Daemon"').classes("who-select")
        return
    label = ui.label().classes("who")

    def show(feed: Feed) -> None:
        if feed.status is not None:
            label.text = words.peer(feed.status["peer_id"])

    page.every(show)


def _state(page: Page) -> None:
    chip = Chip()

    def show(feed: Feed) -> None:
        if feed.problem is not None:
            chip.show("bad", "not running")
        elif feed.status is None:
            chip.show("calm", "asking")
        elif any(row["severity"] == "error" for row in feed.status["health"]):
            chip.show("bad", "in trouble")
        elif feed.status["training"]["paused"]:
            chip.show("calm", "paused")
        elif any(row["severity"] == "warning" for row in feed.status["health"]):
            chip.show("warning", "needs a look")
        else:
            chip.show("good", "learning")

    page.every(show)


def _theme(dark: ui.dark_mode) -> None:
    order = {None: ("Auto", True), True: ("Dark", False), False: ("Light", None)}

    def turn() -> None:
        dark.value = order[dark.value][1]
        button.text = order[dark.value][0]

    button = ui.button(order[None][0], on_click=turn, color=None).classes("act theme")
    button.props('flat dense no-caps aria-label="Light, dark, or as the system has it"')


def _gone(page: Page) -> None:
    """Over every view, while the daemon does not answer: what is known is old."""
    with ui.element("div").props('role="status"').classes("gone") as box:
        what, hint = ui.label().classes("gone-what"), ui.label().classes("say")

    def show(feed: Feed) -> None:
        box.visible = feed.problem is not None
        if feed.problem is not None:
            old = f" What is shown is of {words.clock(feed.seen_at)}." if feed.seen_at else ""
            what.text = f"{SIGN_GONE} {words.clean(feed.problem.message)}.{old}"
            hint.text = f"{words.clean(feed.problem.hint)}. This page goes on by itself."

    page.every(show)


SIGN_GONE = "■"
