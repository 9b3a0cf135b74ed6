"""The activity record is a CRDT, and ORDER follows from it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gossipd.protocol.activity import Activity, rank
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.messages import PeerRecord, SignedRecord
from support.properties import properties
from support.world import SWARM

NAMES = ("ann", "bob", "eve", "kim")


def record(name: str, event: str = "join", seq: int = 1) -> SignedRecord:
    made = PeerRecord(incarnation=1, seq=seq, event=event)  # type: ignore[arg-type]
    return SignedRecord(name, made, b"")


def activity(window: int = 50, names: Sequence[str] = NAMES) -> Activity:
    view = SwarmView()
    for name in names:
        view.add_record(record(name))
    return Activity("me", SWARM.id, view, window)


def keys(made: Activity) -> dict[str, bytes]:
    found = {name: made._view.author_of(name) for name in NAMES}
    return {name: key for name, key in found.items() if key is not None}


def state(made: Activity) -> dict[str, int]:
    return {name: made.last_round(name) for name in NAMES}


entries = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30))


def merged(*news: dict[str, int]) -> dict[str, int]:
    made = activity()
    known = keys(made)
    for said in news:
        made.merge({known[name]: round_ for name, round_ in said.items()}, at_most=25)
    return state(made)


@properties
@given(entries, entries, entries)
def test_merging_is_commutative_associative_and_idempotent(
    a: dict[str, int], b: dict[str, int], c: dict[str, int]
) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(a, b, c) == merged(c, a, b) == merged(b, c, a)
    assert merged(a, a, b, a) == merged(a, b)
    assert all(merged(a, b)[name] >= merged(a)[name] for name in NAMES)


@properties
@given(entries, entries)
def test_differences_carry_all_that_a_whole_record_would(
    first: dict[str, int], second: dict[str, int]
) -> None:
    sender, receiver = activity(), activity()
    known = keys(sender)
    for news in (first, second):
        sender.merge({known[n]: r for n, r in news.items()}, at_most=100)
        receiver.merge(sender.news_for("receiver"), at_most=100)
    assert state(receiver) == state(sender)
    assert sender.news_for("receiver") == {}


def test_nobody_was_heard_from_in_a_round_that_is_yet_to_come() -> None:
    made = activity()
    made.merge({keys(made)["ann"]: 2**52}, at_most=7)
    assert made.last_round("ann") == 7


def test_whom_nobody_knows_is_not_remembered() -> None:
    made = activity()
    made.merge({b"stranger": 3}, at_most=7)
    assert sum(state(made).values()) == 0


def test_the_order_is_the_same_for_all_and_another_in_each_round() -> None:
    orders = [activity().order(k) for k in range(20)]
    assert orders[3] == sorted([*NAMES, "me"], key=lambda p: rank(SWARM.id, p, 3))
    assert len({tuple(order) for order in orders}) > 5
    assert orders == [activity().order(k) for k in range(20)]


def test_who_was_not_heard_from_for_a_window_is_out_and_comes_back_when_heard() -> None:
    made = activity(window=10)
    made.heard("ann", 5)
    assert set(made.order(10)) == {*NAMES, "me"}
    assert set(made.order(14)) == {"ann", "me"}
    assert made.order(16) == ["me"], "oneself never goes"
    made.heard("bob", 16)
    assert set(made.order(16)) == {"bob", "me"}


def test_who_left_is_out_until_a_newer_record_says_join() -> None:
    made = activity()
    made._view.add_record(record("ann", "leave", seq=2))
    assert "ann" not in made.order(1)
    made._view.add_record(record("ann", "join", seq=3))
    assert "ann" in made.order(1)


def test_a_suspect_goes_last_until_it_is_heard_from() -> None:
    made = activity()
    first = made.order(1)[0]
    suspect = first if first != "me" else made.order(1)[1]
    made.suspect(suspect, 1)
    made.suspect("me", 1)
    assert made.order(1)[-1] == suspect
    made.heard(suspect, 1)
    assert made.order(1)[-1] != suspect or made.order(1)[0] == first


def test_a_suspect_that_others_have_heard_from_since_is_none_any_more() -> None:
    made = activity()
    made.suspect("ann", 5)
    made.merge({keys(made)["ann"]: 5}, at_most=9)
    assert made.is_suspect("ann")
    made.merge({keys(made)["ann"]: 6}, at_most=9)
    assert not made.is_suspect("ann")


def test_a_newcomer_waits_for_the_next_model_to_be_sent() -> None:
    made = activity()
    made.hold("ann")
    assert "ann" not in made.order(1)
    made.release()
    assert "ann" in made.order(1)


def test_who_shall_work_with_nobody_is_the_whole_order() -> None:
    made = activity()
    made.alone = True
    assert made.order(1) == ["me"]


def test_what_a_peer_said_itself_it_is_not_told() -> None:
    made = activity()
    ann = keys(made)["ann"]
    made.merge({ann: 3}, at_most=9)
    made.told_by("bob", {ann: 3, b"stranger": 9})
    assert made.news_for("bob") == {}
    made.disconnected("bob")
    assert made.news_for("bob") == {ann: 3}


def test_no_more_peers_are_remembered_than_a_swarm_may_have() -> None:
    made = activity(names=())
    for number in range(limits.AUTHORS + 5):
        made.heard(f"p{number}", 1)
    assert made.last_round(f"p{limits.AUTHORS + 1}") == 0
    made.heard("p0", 2)
    assert made.last_round("p0") == 2
