"""One open page: which daemon it shows, how it is kept up to date, and how it does things."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from gossipd.control.client import Client
from gossipd.errors import OperatorError
from gossipd_dashboard import words
from gossipd_dashboard.feed import Feed
from gossipd_dashboard.fleet import Fleet

TICK_SECONDS = 0.4
"""Between two looks at whether there is something new to show."""


class Page:
    """What a view is given."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.node = fleet.first

    @property
    def feed(self) -> Feed:
        """The daemon that is shown."""
        return self.fleet.feeds[self.node]

    def every(self, show: Callable[[Feed], object], *questions: str) -> None:
        """Show the feed now, and again whenever it has changed; `questions` as `Feed.want`."""
        seen: list[object] = [None]

        def look() -> None:
            feed = self.feed
            feed.want(*questions)
            if seen[0] != (now := (feed.name, feed.version)):
                seen[0] = now
                show(feed)

        look()
        ui.timer(TICK_SECONDS, look)

    async def do(self, what: Callable[[Client], Any], done: str = "") -> Any:
        """Have the daemon do something, and say how that went; None when it did not."""
        client = ui.context.client
        try:
            answer = await self.feed.ask(what)
        except OperatorError as error:
            with client:
                ui.notify(
                    words.clean(f"{error.message}: {error.hint}" if error.hint else error.message),
                    type="negative",
                    close_button="Close",
                    timeout=0,
                )
            return None
        if done:
            with client:
                ui.notify(done, type="positive")
        return answer

    def confirm(self, question: str, hint: str, word: str, then: Callable[[], Any]) -> None:
        """Ask before something that others notice."""
        with ui.dialog(value=True) as dialog, ui.element("div").classes("card dialog"):
            ui.label(question).classes("dialog-title")
            ui.label(hint).classes("say")

            async def go() -> None:
                dialog.close()
                await then()

            with ui.element("div").classes("buttons"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps autofocus")
                ui.button(word, on_click=go).props("unelevated no-caps color=negative")
        dialog.on("hide", dialog.delete)
