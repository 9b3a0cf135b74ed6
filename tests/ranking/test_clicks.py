"""Clicks in one core: what becomes a click, when it is signed, what stays here."""

from typing import Any

import pytest

from gossipd.protocol import clicks, events
from gossipd.protocol.click_events import (
    Chosen,
    ClicksSealed,
    KeepClick,
    KeepSheets,
    SealClicks,
)
from gossipd.protocol.profile import words_of
from gossipd.wire.clicks import Click, item_of_model, item_of_peer
from gossipd.wire.messages import ClickPull, ClickSheets, Introduction, Refused, View
from support.closed import Founder
from support.solo import Solo, one, only
from support.world import Member

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


# --- others' clicks -------------------------------------------------------------------------------


def speaker(node: Solo, name: str, **options: Any) -> Member:
    """A peer that has met the node and may be asked for clicks."""
    peer = node.peer(name, **options)
    hello, _ = node.hello_of(peer, intro=Introduction(clicks=True))
    node.node.clicks.introduced(peer.id, hello)
    return peer


def asked(node: Solo) -> list[events.Ask]:
    found = only(node.fire(clicks.TIMER), events.Ask)
    return [ask for ask in found if isinstance(ask.message, ClickPull)]


def tells(node: Solo, peer: Member, *authors: Member) -> list[events.Output]:
    """The next time that it is asked it shows a sheet of each author, for the peer itself."""
    (ask,) = asked(node)
    made = [a.documents.sheet(1, (Click("label/0", item_of_peer(peer.id)),)) for a in authors]
    answer = ClickSheets(sheets=tuple(sheet.envelope for sheet in made), upto=len(made))
    return node.answer(ask, answer, *made)


def test_what_comes_counts_and_is_written_down() -> None:
    node = solo()
    peer = speaker(node, "b")
    (kept,) = one(tells(node, peer, peer), KeepSheets).kept
    assert kept.signed.author == peer.id
    assert node.node.clicks.status()["counted"] == 1


def test_a_restarted_node_counts_what_it_had_written_down() -> None:
    node = solo()
    b = node.puppet("b")
    node.node.view.add_record(node.record_of(b))
    item = item_of_peer(b.id)
    sheet = b.documents.sheet(1, (Click("label/0", item),))
    node.node.clicks.restore([(sheet, 1.0)], [("label/0", item, 2.0)])
    (first, *_) = node.node.clicks.ranking.rank("label/0")
    assert (first.item, first.voters) == (item, 2)


def test_the_own_past_that_comes_back_is_passed_over() -> None:
    node = solo()
    outputs = tells(node, speaker(node, "b"), node.member)
    assert only(outputs, KeepSheets) == []
    assert node.node.clicks.status()["rows"] == 0


def test_who_refuses_to_tell_is_not_asked_again() -> None:
    node = solo()
    speaker(node, "b")
    (ask,) = asked(node)
    node.answer(ask, Refused(code="wrong-mode", reason="no clicks here"))
    assert node.node.peers.refused["peer-wrong-mode"] == 1
    assert asked(node) == []


def test_who_answers_something_else_is_dropped() -> None:
    node = solo()
    peer = speaker(node, "b")
    (ask,) = asked(node)
    outputs = node.answer(ask, View())
    assert one(outputs, events.Disconnect).peer == peer.id
    assert node.node.peers.refused["wrong-answer"] == 1


def test_who_is_shut_out_counts_for_nothing_any_more() -> None:
    founder = Founder("founder")
    node = Solo(click_seconds=1.0, **founder.options("me")).start()
    peer, other = (node.puppet(name, **founder.options(name)) for name in ("b", "c"))
    for author in (peer, other):
        node.node.view.add_record(node.record_of(author))
    rows = (Click("label/0", item_of_peer(other.id)),)
    node.node.clicks._take(other.id, [peer.documents.sheet(1, rows)], node.now, [])
    assert node.node.clicks.status()["counted"] == 1
    node.feed(events.MemberRevoked(founder.revoke(peer.id)))
    gone = one(node.fire(clicks.TIMER), KeepSheets).gone
    assert [held.signed.author for held in gone] == [peer.id]
    node.node.clicks._take(other.id, [peer.documents.sheet(2, rows)], node.now, [])
    assert node.node.clicks.status()["counted"] == 0
    assert node.node.peers.refused["revoked-author"] == 1


def test_of_more_models_than_are_kept_those_that_were_seen_last_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clicks, "MODELS", 2)
    node = solo()
    updates = [node.puppet("b").update(lineage={}, model=bytes([n] * 32)) for n in range(4)]
    node.node.clicks.note(updates)
    items = [item_of_model(update.manifest.model) for update in updates]
    assert list(node.node.clicks.models) == items[2:]
    assert [item in node.node.clicks.catalogue for item in items] == [False, False, True, True]
