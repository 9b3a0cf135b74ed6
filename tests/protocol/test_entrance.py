"""The founder's entrance in one core: who is asked, and what everybody else is told."""

import pytest

from gossipd.protocol.events import Answer, Entered, LetIn, Output
from gossipd.protocol.membership import OUTSIDER, Denial
from gossipd.wire.messages import VERSION, Enter, Refused, Welcome
from support.closed import Founder
from support.solo import Solo, one, only
from support.world import Member

FOUNDER = Founder("me")
ENTER = Enter(invitation=b"an invitation", proof=bytes(64))


def founder() -> Solo:
    return Solo(**FOUNDER.options("me")).start()


def asks(solo: Solo, enter: Enter = ENTER) -> tuple[Member, list[Output]]:
    guest = solo.puppet("guest")
    return guest, solo.ask(guest, enter)


def test_the_books_are_asked_and_nobody_is_let_in_before_they_answer() -> None:
    solo = founder()
    guest, outputs = asks(solo)
    assert one(outputs, LetIn) == LetIn(guest.id, 1, ENTER)
    assert only(outputs, Answer) == []
    signed = FOUNDER.issued(guest.id, name="Guest")
    welcome = Welcome(membership=signed.envelope)
    outputs = solo.feed(Entered(guest.id, 1, (signed, welcome)))
    assert one(outputs, Answer) == Answer(1, welcome)
    assert solo.reports("member-entered") == [{"peer": guest.id, "name": "Guest"}]


def test_who_is_denied_hears_what_every_outsider_hears_and_is_counted_for_what_it_was() -> None:
    solo = founder()
    guest, _ = asks(solo)
    outputs = solo.feed(Entered(guest.id, 1, Denial("invitation-used", OUTSIDER, hostile=True)))
    assert one(outputs, Answer).message == OUTSIDER
    assert solo.node.peers.refused["invitation-used"] == 1


@pytest.mark.parametrize(
    ("solo", "enter", "reason", "told"),
    [
        (Solo(), ENTER, "open-swarm", "open-swarm"),
        (Solo(**Founder("founder").options("me")), ENTER, "not-the-founder", OUTSIDER.code),
        (
            Solo(**FOUNDER.options("me")),
            Enter(version=VERSION + 1, invitation=b"", proof=bytes(64)),
            "version",
            OUTSIDER.code,
        ),
    ],
    ids=["open swarm", "not the founder", "another version"],
)
def test_elsewhere_nobody_is_asked(solo: Solo, enter: Enter, reason: str, told: str) -> None:
    _, outputs = asks(solo.start(), enter)
    assert only(outputs, LetIn) == []
    answer = one(outputs, Answer).message
    assert isinstance(answer, Refused)
    assert answer.code == told
    assert solo.node.peers.refused[reason] == 1
