"""Clicks in one core: what becomes a click, when it is signed, what stays here."""

from typing import Any

from gossipd.protocol import clicks, events
from gossipd.protocol.click_events import Chosen, ClicksSealed, KeepClick, SealClicks
from gossipd.protocol.profile import words_of
from gossipd.wire.clicks import Click, item_of_model, item_of_peer
from gossipd.wire.messages import ClickPull, ClickSheets
from support.solo import Solo, one, only

ITEM = item_of_model(bytes(32))


def solo(**options: Any) -> Solo:
    return Solo(click_seconds=1.0, **options).start()


def merged(node: Solo, *authors: str, gain: float | None) -> None:
    node.node.clicks.merged(authors, gain, node.now)


def sealed(node: Solo) -> tuple[Click, ...]:
    """The clicks of the sheet that the node asks for, once it does."""
    for _ in range(clicks.PATIENCE + 1):
        found = only(node.fire(clicks.TIMER), SealClicks)
        if found:
            return found[0].clicks
    return ()


def test_a_merge_that_lowered_the_loss_is_a_click_for_whoever_was_in_it() -> None:
    node = solo()
    merged(node, "b", node.member.id, "c", gain=0.1)
    merged(node, "d", gain=-0.1)
    merged(node, "e", gain=None)
    said = sealed(node)
    assert {click.item for click in said} == {item_of_peer("b"), item_of_peer("c")}
    assert {click.query for click in said} <= {"label/0", "label/1"}


def test_the_same_choice_is_said_once() -> None:
    node = solo(class_counts=(100,))
    node.node.clicks.counts = (100,)
    for _ in range(9):
        merged(node, "b", gain=0.1)
    assert sealed(node) == (Click("label/0", item_of_peer("b")),)


def test_what_people_choose_stays_here_unless_it_shall_be_shared() -> None:
    node = solo()
    kept = one(node.feed(Chosen("Digits of 1990", ITEM, shared=False)), KeepClick)
    assert (kept.query, kept.item) == ("1990 digits of", ITEM)
    assert node.node.clicks.ranking.rank("1990 of digits")[0].item == ITEM
    assert sealed(node) == ()
    node.feed(Chosen("digits", ITEM, shared=True))
    assert sealed(node) == (Click("digits", ITEM),)


def test_what_could_not_be_written_down_is_asked_for_again() -> None:
    node = solo()
    node.feed(Chosen("digits", ITEM, shared=True))
    assert sealed(node) == sealed(node) != ()


def test_others_get_a_click_once_it_is_on_disk() -> None:
    node = solo()
    node.feed(Chosen("digits", ITEM, shared=True))
    peer = node.peer("b")

    def shown() -> int:
        answer = one(node.ask(peer, ClickPull()), events.Answer).message
        assert isinstance(answer, ClickSheets)
        return len(answer.sheets)

    rows = sealed(node)
    assert shown() == 0
    node.feed(ClicksSealed(node.member.documents.sheet(1, rows)))
    assert shown() == 1
    assert sealed(node) == ()


def test_a_node_that_exchanges_no_clicks_neither_asks_nor_shows() -> None:
    node = Solo().start()
    assert clicks.TIMER not in node.timers
    node.feed(Chosen("digits", ITEM, shared=True))
    answer = one(node.ask(node.peer("b"), ClickPull(since=3)), events.Answer).message
    assert answer == ClickSheets(upto=3)


def test_a_peer_is_described_by_the_labels_that_it_has_plenty_of() -> None:
    assert words_of((60, 30, 10, 0)) == ["label/0", "label/1"]
    assert words_of(None) == words_of((0, 0)) == ["any"]
