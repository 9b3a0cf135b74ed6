"""Letting another device in: a line to type, and the same as a picture for a phone's camera."""

import segno
from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.page import Page

DAYS = 1.0
"""An invitation that nobody uses ends by itself. Ours: a day, as somebody stands beside it."""
PIXELS = 5


async def invite(page: Page) -> None:
    """Make an invitation for one device and show it."""
    made = await page.do(lambda client: client.invite(days=DAYS))
    if made is None:
        return
    line = f"gossipd join {made['line']}"
    with ui.dialog(value=True) as dialog, ui.element("div").classes("card dialog"):
        ui.label("Invite a device").classes("dialog-title")
        code = segno.make(made["line"], error="l", boost_error=False, micro=False)
        # On white whatever the theme: cameras read dark on light.
        picture = ui.image(code.svg_data_uri(scale=PIXELS, border=4, light="white"))
        picture.props('no-spinner fit=contain alt="The line below as a QR code"').classes("qr")
        ui.label("On the other device, type:").classes("say")
        ui.label(words.clean(line, 4000)).classes("copyable").props("tabindex=0")
        if made.get("not_after"):
            ui.label(
                f"One device can enter with it, until {words.clock(made['not_after'])} tomorrow."
            ).classes("say")
        else:
            ui.label("This swarm is open: the line is good for anybody, at any time.").classes(
                "say"
            )
        with ui.element("div").classes("buttons"):
            ui.button("Copy", on_click=lambda: ui.clipboard.write(line)).props("flat no-caps")
            ui.button("Close", on_click=dialog.close).props("unelevated no-caps autofocus")
    dialog.on("hide", dialog.delete)
