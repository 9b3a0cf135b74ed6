"""Hello: who may stay, what the other is told when not, and nothing before it."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import UNSET

from gossipd.protocol import peers
from gossipd.protocol.events import (
    Answer,
    Answered,
    Ask,
    ClockRead,
    Connected,
    Dial,
    Disconnect,
    Disconnected,
    Discovered,
    Requested,
    RequestFailed,
)
from gossipd.protocol.greeting import refusal
from gossipd.wire import limits
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import (
    Goodbye,
    Have,
    Hello,
    Introduction,
    Offer,
    Ping,
    Pong,
    Refused,
    View,
    ViewSync,
)
from support.solo import NOWHERE, Solo, one, only
from support.world import SWARM, World

OTHER = digest(b"something else")
MEETS = "meets ten numbers: check task and data of both"

MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "version": ({"version": 2}, "wire version 2 meets 1: upgrade the older of the two"),
    "foreign-swarm": ({"swarm": OTHER}, f"this is swarm {SWARM.id.hex()[:16]}"),
    "wrong-layout": (
        {"layout": OTHER, "intro": Introduction(about="wines\x1b[2J")},
        f"the models differ in shape; wines[2J {MEETS}",
    ),
    "wrong-genesis": (
        {"genesis": OTHER, "intro": Introduction(about="wines")},
        f"the initial models differ; wines {MEETS}",
    ),
    "foreign-task": ({"task": OTHER}, f"the tasks differ; another task {MEETS}"),
    "wrong-mode": (
        {"mode": "rounds"},
        "mode rounds meets gossip: all of a swarm learn in the same way",
    ),
}


@pytest.fixture
def solo() -> Solo:
    return Solo().start()


@pytest.mark.parametrize("code", MISFITS)
def test_who_does_not_belong_here_is_told_why(solo: Solo, code: str) -> None:
    fields, words = MISFITS[code]
    ann = solo.puppet("ann")
    solo.feed(Connected(ann.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann, **fields)
    answer = one(solo.ask(ann, hello, *documents), Answer).message
    assert answer == Refused(code=code, reason=words)
    assert not solo.node.peers.is_admitted(ann.id)
    told = {"peer": ann.id, "code": code, "reason": words}
    assert solo.reports("peer-refused") == [told]


@pytest.mark.parametrize("code", MISFITS)
def test_the_dialler_reads_why_it_was_refused_and_lets_the_other_be(solo: Solo, code: str) -> None:
    ann = solo.puppet("ann")
    asked = one(solo.feed(Connected(ann.id, NOWHERE, True)), Ask)
    assert isinstance(asked.message, Hello)
    out = solo.answer(asked, Refused(code=code, reason="words of the other side"))
    assert one(out, Disconnect).reason == f"{code}: words of the other side"
    peer = solo.node.peers.table[ann.id]
    assert peer.next_dial == solo.now + limits.HOLD_OFF_SECONDS
    assert peer.last_error == f"{code}: words of the other side"
    assert peer.refused[code] == 1


def test_the_dialler_judges_the_answer_by_the_same_rules(solo: Solo) -> None:
    ann = solo.puppet("ann")
    asked = one(solo.feed(Connected(ann.id, NOWHERE, True)), Ask)
    hello, documents = solo.hello_of(ann, swarm=OTHER)
    assert one(solo.answer(asked, hello, *documents), Disconnect).reason.startswith("foreign-swarm")
    assert not solo.node.peers.is_admitted(ann.id)


def test_two_swarms_on_one_network_tell_each_other_apart_and_stay_apart() -> None:
    world = World(3)
    ours = world.add("ours")
    theirs = world.add("theirs", swarm=replace(SWARM, id=OTHER))
    for member in (ours, theirs):
        member.start()
    ours.knows(theirs)
    world.run(300.0)
    for member, other in ((ours, theirs), (theirs, ours)):
        assert member.node.peers.admitted() == []
        assert member.node.view.record_of(other.id) is None
        assert len(member.lineage) == 1
        assert member.node.peers.refused
    world.settle_debts()


def test_the_good_are_admitted_by_both(solo: Solo) -> None:
    ann, bob = solo.puppet("ann"), solo.puppet("bob")

    solo.feed(Connected(ann.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann)
    answer = one(solo.ask(ann, hello, *documents), Answer).message
    assert isinstance(answer, Hello)
    assert refusal(SWARM, answer) is None
    assert solo.node.peers.is_admitted(ann.id)

    asked = one(solo.feed(Connected(bob.id, NOWHERE, True)), Ask)
    hello, documents = solo.hello_of(bob)
    asks = only(solo.answer(asked, hello, *documents), Ask)
    assert solo.node.peers.is_admitted(bob.id)
    # The dialler knows that it was admitted; the other side does by the dialler's first question.
    assert {type(a.message) for a in asks} == {ViewSync, Have}
    assert {a.peer for a in asks} == {bob.id}
    assert solo.node.peers.admitted() == [bob.id]
    # One is asked for its view after the other.
    solo.answer(next(a for a in asks if isinstance(a.message, ViewSync)), View())
    assert {type(a.message) for a in only(solo.ask(ann, Ping()), Ask)} == {ViewSync, Have}
    assert solo.node.peers.admitted() == sorted([ann.id, bob.id])
    assert [r["peer"] for r in solo.reports("peer-connected")] == [bob.id, ann.id]


def test_dials_that_cross_are_greeted_whichever_of_them_each_side_saw_first(solo: Solo) -> None:
    ann = solo.puppet("ann")
    solo.feed(Discovered(ann.id, (NOWHERE,), "mdns"))
    assert one(solo.fire(peers.DIAL_TIMER), Dial).peer == ann.id
    asked = one(solo.feed(Connected(ann.id, NOWHERE, False)), Ask)
    assert isinstance(asked.message, Hello), "ann may be waiting for this node's hello"


def test_what_a_hello_says_of_its_sender_is_known_from_then_on(solo: Solo) -> None:
    ann = solo.peer("ann", steps=30, examples=70)
    record = solo.node.view.record_of(ann.id)
    assert record is not None
    assert record.record.examples == 70
    assert solo.node.view.steps_of(ann.me) == 30
    assert ann.address in solo.node.peers.table[ann.id].addresses


def test_nobody_gets_in_with_somebody_elses_record(solo: Solo) -> None:
    ann, mallory = solo.puppet("ann"), solo.puppet("mallory")
    solo.feed(Connected(mallory.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann)
    answer = one(solo.ask(mallory, hello, *documents), Answer).message
    assert isinstance(answer, Refused)
    assert answer.code == "forged-hello"
    assert not solo.node.peers.is_admitted(mallory.id)
    assert solo.node.view.record_of(ann.id) is None


def test_the_claim_too_must_be_the_senders_own(solo: Solo) -> None:
    ann, mallory = solo.puppet("ann"), solo.puppet("mallory")
    asked = one(solo.feed(Connected(mallory.id, NOWHERE, True)), Ask)
    claim = ann.documents.claim(10**6)
    hello, (record, _) = solo.hello_of(mallory, claim=claim.envelope)
    out = solo.answer(asked, hello, record, claim)
    assert one(out, Disconnect).reason.startswith("forged-hello")
    assert solo.node.view.steps_of(ann.me) == 0


@pytest.mark.parametrize(
    "message", [Ping(), ViewSync(), Have(lineage={}, model=OTHER), Offer()], ids=type
)
def test_before_hello_nothing_else_is_answered(solo: Solo, message: Any) -> None:
    ann = solo.puppet("ann")
    solo.feed(Connected(ann.id, NOWHERE, False))
    answer = one(solo.ask(ann, message), Answer).message
    assert answer == Refused(code="hello-first", reason="say hello first")
    assert solo.node.peers.table[ann.id].violations == 1


def test_a_full_swarm_says_so_to_who_is_new(solo: Solo, monkeypatch: pytest.MonkeyPatch) -> None:
    known = solo.peer("known")
    monkeypatch.setattr(limits, "AUTHORS", 2)
    new = solo.puppet("new")
    solo.feed(Connected(new.id, NOWHERE, False))
    hello, documents = solo.hello_of(new)
    assert one(solo.ask(new, hello, *documents), Answer).message == Refused(
        code="swarm-full", reason="at most 2 authors"
    )
    solo.feed(Disconnected(known.id, "reset"))
    solo.feed(Connected(known.id, NOWHERE, False))
    hello, documents = solo.hello_of(known)
    assert isinstance(one(solo.ask(known, hello, *documents), Answer).message, Hello)


def test_a_hello_that_is_answered_with_something_else_ends_the_connection(solo: Solo) -> None:
    ann = solo.puppet("ann")
    asked = one(solo.feed(Connected(ann.id, NOWHERE, True)), Ask)
    assert one(solo.answer(asked, Pong()), Disconnect).reason.startswith("wrong-answer")


def test_a_hello_that_is_not_answered_ends_the_connection(solo: Solo) -> None:
    ann = solo.puppet("ann")
    asked = one(solo.feed(Connected(ann.id, NOWHERE, True)), Ask)
    out = solo.feed(RequestFailed(ann.id, asked.request, "timeout"))
    assert one(out, Disconnect).reason == "no hello: timeout"
    assert solo.node.peers.refused["request-timeout"] == 1


def test_an_answer_to_what_was_never_asked_changes_nothing(solo: Solo) -> None:
    ann = solo.peer("ann")
    assert solo.feed(Answered(ann.id, 10**6, View())) == []
    assert solo.feed(RequestFailed(ann.id, 10**6, "timeout")) == []


def test_goodbye_is_answered_and_nobody_is_blamed(solo: Solo) -> None:
    ann = solo.peer("ann")
    out = solo.ask(ann, Goodbye(reason="going to sleep"))
    assert one(out, Answer).message == Goodbye()
    assert one(out, Disconnect).reason == "goodbye"
    assert solo.node.peers.table[ann.id].violations == 0


def test_a_ping_says_whether_a_node_may_train(solo: Solo) -> None:
    ann = solo.peer("ann")
    assert one(solo.ask(ann, Ping()), Answer).message == Pong(unavailable=False)
    solo.node.gossip.set_paused(True, 0.0, [])
    assert one(solo.ask(ann, Ping()), Answer).message == Pong(unavailable=True)


def test_who_is_held_off_is_not_greeted(solo: Solo) -> None:
    ann = solo.peer("ann")
    for _ in range(limits.VIOLATIONS):
        solo.node.peers.refuse(ann.id, "bad-signature", solo.now, [], hostile=True)
    solo.feed(Disconnected(ann.id, "dropped"))
    out = solo.feed(Connected(ann.id, NOWHERE, True))
    assert not only(out, Ask)
    assert one(out, Disconnect).peer == ann.id


def test_a_request_of_a_stranger_is_refused_too(solo: Solo) -> None:
    out = solo.feed(Requested("never seen", 1, Ping()))
    assert isinstance(one(out, Answer).message, Refused)


def test_calendars_are_compared_when_peers_greet(solo: Solo) -> None:
    solo.feed(ClockRead(1_000_000.0))
    ann = solo.puppet("ann")
    solo.feed(Connected(ann.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann, intro=Introduction(time=1_003_600))
    answer = one(solo.ask(ann, hello, *documents), Answer).message
    assert isinstance(answer, Hello)
    assert answer.introduction.time == 1_000_000
    assert solo.node.peers.table[ann.id].clock == 3600.0


def test_who_has_not_read_its_calendar_says_nothing_of_it(solo: Solo) -> None:
    ann = solo.puppet("ann")
    solo.feed(Connected(ann.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann, intro=Introduction(time=5))
    answer = one(solo.ask(ann, hello, *documents), Answer).message
    assert isinstance(answer, Hello)
    assert answer.introduction.time is UNSET
    assert solo.node.peers.table[ann.id].clock is None
