"""Others are asked for their views one after the other, and as differences."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from gossipd.protocol import view_pulls
from gossipd.protocol.events import Ask, Output
from gossipd.protocol.questions import Questions
from gossipd.protocol.view import SwarmView
from gossipd.protocol.view_pulls import PATIENCE, ViewPulls
from gossipd.wire.messages import PeerRecord, SignedRecord, View, ViewSync


class Met:
    """Stands for the table of peers: all of these can be asked."""

    def __init__(self, *peers: str) -> None:
        self.peers = set(peers)

    def is_met(self, peer: str) -> bool:
        return peer in self.peers


@pytest.fixture
def met() -> Met:
    return Met("ann", "bob", "cem")


@pytest.fixture
def view() -> SwarmView:
    return SwarmView()


@pytest.fixture
def pulls(view: SwarmView, met: Met) -> ViewPulls:
    return ViewPulls(view, met, Questions())  # type: ignore[arg-type]


def asked(out: list[Output]) -> list[tuple[str, ViewSync]]:
    found = [(o.peer, o.message) for o in out if isinstance(o, Ask)]
    out.clear()
    return [(peer, message) for peer, message in found if isinstance(message, ViewSync)]


def test_the_next_is_asked_when_one_has_answered(pulls: ViewPulls) -> None:
    out: list[Output] = []
    for peer in ("ann", "bob", "bob", "cem"):
        pulls.ask(peer, 0.0, out)
    assert [peer for peer, _ in asked(out)] == ["ann"]
    pulls.answered("ann", View(), 0.1, out)
    assert [peer for peer, _ in asked(out)] == ["bob"]
    pulls.answered("bob", None, 0.2, out)
    assert [peer for peer, _ in asked(out)] == ["cem"]
    pulls.answered("cem", View(), 0.3, out)
    assert asked(out) == []


def test_a_peer_that_says_nothing_keeps_nobody_waiting_for_long(pulls: ViewPulls) -> None:
    out: list[Output] = []
    pulls.ask("ann", 0.0, out)
    pulls.ask("bob", 0.9 * PATIENCE, out)
    assert [peer for peer, _ in asked(out)] == ["ann"]
    pulls.ask("cem", PATIENCE, out)
    assert [peer for peer, _ in asked(out)] == ["bob"]


def test_a_peer_that_goes_makes_way(pulls: ViewPulls, met: Met) -> None:
    out: list[Output] = []
    for peer in ("ann", "bob", "cem"):
        pulls.ask(peer, 0.0, out)
    asked(out)
    met.peers -= {"ann", "bob"}
    pulls.disconnected("bob", 0.1, out)
    pulls.disconnected("ann", 0.1, out)
    assert [peer for peer, _ in asked(out)] == ["cem"]


def test_records_are_named_to_who_knows_others(
    pulls: ViewPulls, view: SwarmView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_pulls, "SUMMED", 1)
    view.add_record(SignedRecord("dan", PeerRecord(incarnation=1, seq=1), b"dan"))
    out: list[Output] = []
    pulls.ask("ann", 0.0, out)
    pulls.ask("bob", 0.0, out)
    assert asked(out) == [("ann", view.question(summed=True))]
    pulls.answered("ann", View(), 0.1, out)
    assert asked(out) == [("ann", view.question())]
    pulls.answered("ann", View(), 0.2, out)
    assert asked(out) == [("bob", view.question(summed=True))]
    pulls.answered("bob", View(upto=7), 0.3, out)
    assert asked(out) == []


def test_who_is_asked_by_somebody_who_knows_the_same_need_not_ask_in_turn(
    pulls: ViewPulls, view: SwarmView
) -> None:
    view.add_record(SignedRecord("dan", PeerRecord(incarnation=1, seq=1), b"dan"))
    out: list[Output] = []
    same = view.question(summed=True)
    for peer, question in (("ann", same), ("bob", replace(same, upto=UNSET))):
        pulls.told(peer, question)
        pulls.met(peer, 0.0, out)
    assert [peer for peer, _ in asked(out)] == ["bob"]
    pulls.answered("bob", View(upto=3), 0.1, out)
    pulls.ask("ann", 5.0, out)
    ((_, later),) = asked(out)
    assert later.since == same.upto


def test_who_is_asked_by_somebody_who_knows_a_newer_claim_asks_in_turn(
    pulls: ViewPulls, view: SwarmView
) -> None:
    out: list[Output] = []
    pulls.told("ann", replace(view.question(summed=True), claims={bytes(8): 1}))
    pulls.met("ann", 0.0, out)
    assert [peer for peer, _ in asked(out)] == ["ann"]


def test_no_sum_is_sent_while_a_swarm_forms(
    pulls: ViewPulls, view: SwarmView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_pulls, "SUMMED", 1)
    out: list[Output] = []
    pulls.ask("ann", 0.0, out)
    asked(out)
    for name in ("dan", "eve"):
        view.add_record(SignedRecord(name, PeerRecord(incarnation=1, seq=1), name.encode()))
    pulls.answered("ann", View(upto=7), 0.1, out)
    pulls.ask("bob", 0.2, out)
    assert asked(out) == [("bob", view.question())]
    pulls.answered("bob", View(upto=7), 0.3, out)
    pulls.ask("cem", 0.4, out)
    assert asked(out) == [("cem", view.question(summed=True))]


def test_whoever_has_told_everything_is_asked_for_what_is_new(pulls: ViewPulls) -> None:
    out: list[Output] = []
    pulls.ask("ann", 0.0, out)
    pulls.answered("ann", View(upto=7), 0.1, out)
    pulls.ask("ann", 5.0, out)
    assert [message.since for _, message in asked(out)][1:] == [7]
    pulls.answered("ann", View(upto=9), 5.1, out)
    pulls.disconnected("ann", 6.0, out)
    pulls.ask("ann", 7.0, out)
    assert asked(out) == [("ann", ViewSync(names=b""))], (
        "in its next life it counts from the beginning"
    )
