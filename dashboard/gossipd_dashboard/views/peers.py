"""Who is there: rank, work, what was refused of them; block, add and remove."""

from typing import Any

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.page import Page
from gossipd_dashboard.parts import Empty, Rows, button, card, say
from gossipd_dashboard.standing import names_of, ranks_of, standing

COLUMNS = (
    ("peer", "Peer", False),
    ("state", "State", False),
    ("rank", "Rank", True),
    ("steps", "Mini-batches", True),
    ("examples", "Examples", True),
    ("trip", "Round trip", True),
    ("traffic", "Traffic", True),
    ("refused", "Refused", True),
    ("note", "Note", False),
)


def peers(page: Page) -> None:
    with card("Peers", wide=True):
        summary = say()

        async def opened(row: Document) -> None:
            detail(page, row)

        rows = Rows(COLUMNS, key="id", act=("Details", opened))
        empty = Empty()
        with ui.element("div").classes("filters"):
            address = ui.input(placeholder="/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…")
            address.props('dense outlined aria-label="Address of a peer"').classes("search")

            async def add() -> None:
                where = (address.value or "").strip()
                if await page.do(lambda client: client.add_peer(where), "It is being dialled"):
                    address.value = ""

            button("Add a peer", add)

    def show(feed: Feed) -> None:
        if feed.status is None or "peers" not in feed.answers:
            return
        names, ranks = names_of(feed), ranks_of(feed)
        known = feed.answers["peers"]
        blocked = set(feed.status["network"].get("block", ()))
        rows.show([_row(peer, names, ranks, blocked) for peer in known])
        network = feed.status["network"]
        summary.text = (
            f"{network['connected']:,} connected of {words.count(network['known'], 'known peer')}; "
            f"{words.size(network['bytes_in'])} in, {words.size(network['bytes_out'])} out"
        )
        if known:
            empty.hide()
        else:
            empty.show(
                "Nobody is known yet",
                "On another device of this network, `gossipd start` is found by itself. Elsewhere, "
                "use Invite a device on the first page, or add an address below.",
            )

    page.every(show, "peers", "members", "peer_ranks")


def _row(
    peer: Document, names: dict[str, str], ranks: dict[str, int], blocked: set[str]
) -> Document:
    stands = standing(peer, blocked)
    moved = None if peer["bytes_in"] is None else peer["bytes_in"] + peer["bytes_out"]
    retry = peer["next_dial_in"]
    notes = [f"tried again in {words.duration(retry)}" if retry is not None else ""]
    notes += [words.clean(peer["last_error"])] if peer["last_error"] else []
    if peer["clock"] is not None and abs(peer["clock"]) > 60:
        notes.append(f"its clock is {words.duration(abs(peer['clock']))} off")
    return {
        "id": peer["peer_id"],
        "peer": words.peer(peer["peer_id"], names),
        "state": f"{stands.sign} {stands.word}",
        "state!": stands.word,
        "rank": words.number(ranks.get(peer["peer_id"])),
        "rank!": ranks.get(peer["peer_id"], 10**6),
        "steps": words.number(peer["steps"]),
        "steps!": peer["steps"] or 0,
        "examples": words.number(peer["examples"]),
        "examples!": peer["examples"] or 0,
        "trip": words.duration(peer["round_trip"]),
        "trip!": -1 if peer["round_trip"] is None else peer["round_trip"],
        "traffic": words.UNKNOWN if moved is None else words.size(moved),
        "traffic!": moved or 0,
        "refused": sum(peer["refused"].values()),
        "note": " · ".join(filter(None, notes)),
    }


def detail(page: Page, row: Document) -> None:
    """All about one peer, and what can be done about it."""
    feed = page.feed
    peer = next((p for p in feed.answers.get("peers", ()) if p["peer_id"] == row.get("id")), None)
    if peer is None or feed.status is None:
        return
    blocked = peer["peer_id"] in feed.status["network"].get("block", ())
    with ui.dialog(value=True) as dialog, ui.element("div").classes("card dialog"):
        ui.label(f"Peer {words.peer(peer['peer_id'], names_of(feed))}").classes("dialog-title")
        for name, value in _facts(peer):
            with ui.element("div").classes("fact"):
                ui.label(name).classes("fact-name")
                ui.label(value).classes("fact-value")

        async def done(what: Any, said: str) -> None:
            if await page.do(what, said) is not None:
                dialog.close()

        peer_id = peer["peer_id"]

        async def turn() -> None:
            if blocked:
                await done(lambda client: client.unblock_peer(peer_id), "It may come again")
            else:
                await done(lambda client: client.block_peer(peer_id), "It is blocked")

        async def forget() -> None:
            await done(lambda client: client.remove_peer(peer_id), "It is forgotten")

        def ask() -> None:
            if blocked:
                page.confirm("Let it come again?", "It will be dialled.", "Unblock", turn)
            else:
                page.confirm(
                    "Block this peer?",
                    "Its connection is closed, and it is neither dialled nor answered until "
                    "you let it. What others pass on of it is checked as ever.",
                    "Block",
                    turn,
                )

        with ui.element("div").classes("buttons"):
            button("Unblock" if blocked else "Block", ask)
            button("Forget", forget).tooltip(
                "Disconnect it and forget its addresses; it may come back"
            )
            ui.button("Close", on_click=dialog.close).props("unelevated no-caps autofocus")
    dialog.on("hide", dialog.delete)


def _facts(peer: Document) -> list[tuple[str, str]]:
    refused = ", ".join(f"{n:,} {words.clean(why)}" for why, n in peer["refused"].items())
    way = {True: "dialled from here", False: "it dialled", None: words.UNKNOWN}[peer["outbound"]]
    return [
        ("Id", words.clean(peer["peer_id"])),
        ("State", words.clean(peer["state"])),
        ("Address", words.clean(peer["address"] or words.UNKNOWN)),
        ("Connection", way),
        ("Round trip", words.duration(peer["round_trip"])),
        ("Traffic", f"{words.size(peer['bytes_in'])} in, {words.size(peer['bytes_out'])} out"),
        ("Trained", f"{words.number(peer['steps'])} mini-batches"),
        ("Holds", f"{words.number(peer['examples'])} examples"),
        ("Failures", f"{peer['failures']} in a row"),
        ("Refused", refused or "nothing"),
        ("Broken rules", words.count(peer["violations"], "time")),
        ("Last error", words.clean(peer["last_error"] or "none")),
    ]
