"""The models here, and found: how good, who taught them, what is new in them; use and keep."""

from typing import Any

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.lineage import new_steps, teachers
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import SIGNS, Empty, Rows, button, card, heading, say

COLUMNS = (
    ("model", "Model", False),
    ("role", "Role", False),
    ("accuracy", "Right", True),
    ("loss", "Loss", True),
    ("teachers", "Taught by", True),
    ("steps", "Mini-batches", True),
    ("new", "New to me", True),
    ("sent", "Sent as", True),
    ("age", "Made", False),
)
FOUND = (
    ("model", "Model", False),
    ("title", "Title", False),
    ("tags", "Words", False),
    ("accuracy", "Right, it says", True),
    ("votes", "Chosen by", True),
    ("author", "Author", False),
    ("here", "Here", False),
)
OTHERS = 40
"""Rows beside those with a role or a mark; the search finds the rest."""
ROLES = {"base": "base", "head": "head", "serving": "serving average", "other": ""}


def models(page: Page) -> None:
    with card("What answers", wide=True):
        answers = say(classes="answers")
        with ui.element("div").classes("buttons"):

            async def follow() -> None:
                await page.do(lambda client: client.use_model(None), "The serving average answers")

            async def back() -> None:
                await page.do(lambda client: client.roll_back(), "The one before answers")

            button("Follow the serving average", follow)
            button("Roll back", back).tooltip(
                "Let the serving model answer that did before this one"
            )
    _search(page)
    with card("Models here", wide=True):
        rows = Rows(COLUMNS, key="id", act=("Details", lambda row: detail(page, str(row["id"]))))
        empty = Empty()

    def show(feed: Feed) -> None:
        if feed.status is None or "models" not in feed.answers:
            return
        using = feed.status["using"]
        why = (
            "chosen by hand" if using["chosen"] else "the serving average, which follows the swarm"
        )
        answers.text = f"{words.short(using['hash'])} answers: {why}."
        known = feed.answers["models"]
        order = [row for row in known if row["role"] != "other" or row["used"] or row["pinned"]]
        order += [row for row in known if row not in order][:OTHERS]
        rows.show([_row(row, known) for row in order])
        if known:
            empty.hide()
        else:
            empty.show("No models yet", "The first comes with the first training cycle.")

    page.every(show, "models", "peers", "members")


def _row(row: Document, known: list[Document]) -> Document:
    marks = [word for word in ("used", "pinned") if row[word]]
    role = ROLES.get(row["role"], "")
    new = new_steps(row["lineage"], known)
    steps = sum(row["lineage"].values())
    return {
        "id": row["hash"],
        "model": words.short(row["hash"]),
        "role": " · ".join(filter(None, [role, *marks])),
        "accuracy": words.percent(row["held_out_accuracy"]),
        "accuracy!": row["held_out_accuracy"] or -1,
        "loss": words.number(row["held_out_loss"]),
        "loss!": row["held_out_loss"] if row["held_out_loss"] is not None else 1e9,
        "teachers": words.count(len(row["lineage"]), "device"),
        "teachers!": len(row["lineage"]),
        "steps": words.number(steps),
        "steps!": steps,
        "new": words.percent(new / steps) if steps else words.UNKNOWN,
        "new!": new,
        "sent": words.size(row.get("body_size")),
        "sent!": row.get("body_size") or 0,
        "age": words.ago(row["created"]),
        "age!": -(row["created"] or 0),
    }


def _search(page: Page) -> None:
    with card("Search", wide=True):
        with ui.element("div").classes("filters"):
            text = ui.input(placeholder="What it should be good at, as: handwritten digits")
            text.props('dense outlined clearable aria-label="Words to search models for"')
            text.classes("search")
            go = button("Search")
        told = say()
        rows = Rows(FOUND, key="id", act=("Details", lambda row: detail(page, str(row["id"]))))
        rows.show([])
        empty = Empty()

    async def search() -> None:
        query = (text.value or "").strip()
        if not query:
            empty.show("No words to search for", "Name what the model should be good at.")
            return
        found = await page.do(lambda client: client.search_models(query))
        if found is None:
            return
        rows.show([_found(item) for item in found["items"]])
        told.text = f"For “{words.clean(found['query'])}”, from what this device has seen"
        if found["items"]:
            empty.hide()
        else:
            empty.show(
                "Nothing is known for these words",
                "Models are found by their titles, tags and labels, and by what others chose.",
            )

    go.on_click(search)
    text.on("keydown.enter", search)


def _found(item: Document) -> Document:
    labels = [*item.get("tags", ()), *item.get("labels", ())]
    return {
        "id": item["model"],
        "model": words.short(item["model"]),
        "title": words.clean(item.get("title") or words.UNKNOWN),
        "tags": words.clean(", ".join(map(str, labels)), 80),
        "accuracy": words.percent(item.get("accuracy")),
        "accuracy!": item.get("accuracy") or -1,
        "votes": words.count(item["voters"], "peer"),
        "votes!": item["voters"],
        "author": words.peer(item["author"]),
        "here": f"{SIGNS['good']} yes" if item["here"] else f"{SIGNS['calm']} described only",
    }


async def detail(page: Page, model: str) -> None:
    """All about one model: who taught it, and what can be done with it."""
    client = ui.context.client
    found = await page.do(lambda daemon: daemon.show_model(model))
    if found is None:
        return
    with client, ui.dialog(value=True) as dialog, ui.element("div").classes("card dialog"):
        ui.label(words.clean(found.get("title") or f"Model {words.short(model)}")).classes(
            "dialog-title"
        )
        for name, value in _facts(found):
            with ui.element("div").classes("fact"):
                ui.label(name).classes("fact-name")
                ui.label(value).classes("fact-value")
        heading("Who taught it", 3)
        _lineage(page.feed, found.get("lineage"))

        async def act(what: Any, said: str) -> None:
            if await page.do(what, said) is not None:
                dialog.close()

        async def use() -> None:
            await act(lambda daemon: daemon.use_model(model), "This model answers now")

        async def keep() -> None:
            if found["pinned"]:
                await act(lambda daemon: daemon.unpin_model(model), "It may go when room is needed")
            else:
                await act(lambda daemon: daemon.pin_model(model), "It is kept")

        with ui.element("div").classes("buttons"):
            for word, do in (("Use", use), ("Unpin" if found["pinned"] else "Pin", keep)):
                button(word, do).set_enabled(found["here"])
            ui.button("Close", on_click=dialog.close).props("unelevated no-caps autofocus")
        if not found["here"]:
            say("Only its description is here: it cannot be used or kept.")
    dialog.on("hide", dialog.delete)


def _facts(found: Document) -> list[tuple[str, str]]:
    accuracy = found.get("held_out_accuracy", found.get("accuracy"))
    tags = ", ".join(map(str, [*found.get("tags", ()), *found.get("labels", ())]))
    return [
        ("Hash", words.clean(found["hash"])),
        ("Role", words.clean(found.get("role") or words.UNKNOWN)),
        ("Right", words.percent(accuracy)),
        ("Loss", words.number(found.get("held_out_loss", found.get("loss")))),
        ("Words", words.clean(tags or words.UNKNOWN)),
        ("Licence", words.clean(found.get("licence") or "none given")),
        ("Size", words.size(found.get("size"))),
        ("Sent as", words.size(found.get("body_size"))),
        ("Author", words.clean(found.get("author") or words.UNKNOWN)),
        ("Made", words.ago(found.get("created"))),
    ]


def _lineage(feed: Feed, lineage: dict[str, int] | None) -> None:
    """A bar for each teacher, of its share; the hatched end is what is new here."""
    if not lineage:
        say("Its lineage is not here: only its description was seen.")
        return
    for teacher in teachers(feed, lineage):
        with ui.element("div").classes("teacher"):
            ui.label(words.clean(teacher.name, 40)).classes("teacher-name")
            with ui.element("div").classes("bar"):
                ui.element("div").classes("bar-known").style(
                    f"width: {100 * teacher.share * (1 - teacher.new_share):.1f}%"
                )
                ui.element("div").classes("bar-new").style(
                    f"width: {100 * teacher.share * teacher.new_share:.1f}%"
                )
            new = f", {teacher.new:,} new to me" if teacher.new else ""
            ui.label(f"{teacher.steps:,} mini-batches{new}").classes("teacher-steps")
