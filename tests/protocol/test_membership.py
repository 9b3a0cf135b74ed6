"""A closed swarm: who is let in, what the others are told, who is shut out and how that spreads."""

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from gossipd.protocol import expulsion
from gossipd.protocol.activity import Activity
from gossipd.protocol.events import (
    Answer,
    Ask,
    ClockRead,
    Connected,
    Disconnect,
    Disconnected,
    Discovered,
    Fetch,
    KeepRevocations,
    MemberRevoked,
    SetTimer,
)
from gossipd.protocol.membership import Members
from gossipd.wire import limits
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import (
    Hello,
    Ping,
    Refused,
    Revocations,
    RevocationSync,
    SignedClaim,
    SignedRecord,
    View,
    ViewSync,
)
from support.closed import Founder
from support.solo import NOWHERE, Solo, one, only
from support.world import Member, World, key_of

FOUNDER = Founder("founder")
OTHER = Founder("another founder")
NOT_A_MEMBER = Refused(code="not-a-member", reason="this swarm is closed")
DAY = 86_400.0
TODAY = 1_800_000_000.0


@pytest.fixture
def solo() -> Solo:
    return Solo(**FOUNDER.options("me")).start()


def member(solo: Solo, name: str, **fields: Any) -> Member:
    """A puppet that the founder has let in."""
    return solo.puppet(name, **FOUNDER.options(name, **fields))


def dials(solo: Solo, puppet: Member, **hello: Any) -> Any:
    """What the puppet is answered when it comes and says hello."""
    solo.feed(Connected(puppet.id, NOWHERE, False))
    honest = {"membership": puppet.membership, **hello}
    message, documents = solo.hello_of(puppet, **honest)
    return one(solo.ask(puppet, message, *documents), Answer).message


def meets(solo: Solo, puppet: Member, *documents: SignedRecord | SignedClaim) -> None:
    """The puppet is admitted and asks something, so that it is asked; it answers with documents."""
    assert isinstance(dials(solo, puppet), Hello)
    asks = only(solo.ask(puppet, Ping()), Ask)
    (asked,) = [a for a in asks if isinstance(a.message, ViewSync)]
    solo.answer(asked, View(), solo.record_of(puppet), *documents)


# --- the door ------------------------------------------------------------------------------------


def test_members_let_each_other_in(solo: Solo) -> None:
    ann = member(solo, "ann")
    answer = dials(solo, ann)
    assert isinstance(answer, Hello)
    assert answer.membership == FOUNDER.issue(solo.member.id)
    assert solo.node.peers.is_admitted(ann.id)


OUTSIDERS = {
    "no-membership": b"",
    "forged-membership": OTHER.issue(key_of("eve")[0]),
    "stolen-membership": FOUNDER.issue(key_of("ann")[0]),
}


@pytest.mark.parametrize("reason", OUTSIDERS)
def test_outsiders_are_all_told_the_same_and_nothing_of_theirs_is_kept(
    solo: Solo, reason: str
) -> None:
    eve = solo.puppet("eve", swarm=FOUNDER.swarm)
    assert dials(solo, eve, membership=OUTSIDERS[reason]) == NOT_A_MEMBER
    assert not solo.node.peers.is_admitted(eve.id)
    assert solo.node.view.record_of(eve.id) is None
    assert solo.node.peers.table[eve.id].refused == {reason: 1}
    told = {"peer": eve.id, "code": reason, "reason": NOT_A_MEMBER.reason}
    assert solo.reports("peer-refused") == [told]


def test_a_forgery_of_this_very_swarm_is_told_no_more(solo: Solo) -> None:
    eve = solo.puppet("eve", swarm=FOUNDER.swarm)
    forger = Founder("another founder")
    forger.swarm_id = FOUNDER.swarm_id
    assert dials(solo, eve, membership=forger.issue(eve.id)) == NOT_A_MEMBER
    assert solo.node.peers.table[eve.id].refused == {"forged-membership": 1}


def test_another_swarm_does_not_even_learn_the_name_of_this_one(solo: Solo) -> None:
    eve = solo.puppet("eve")
    assert dials(solo, eve) == NOT_A_MEMBER
    fields = {"swarm": digest(b"x"), "layout": digest(b"y"), "task": digest(b"z")}
    assert dials(solo, solo.puppet("bob"), **fields) == NOT_A_MEMBER


def test_forgers_are_dropped_after_some_attempts(solo: Solo) -> None:
    eve = solo.puppet("eve", swarm=FOUNDER.swarm)
    for _ in range(limits.VIOLATIONS):
        hello, documents = solo.hello_of(eve, membership=OUTSIDERS["stolen-membership"])
        solo.feed(Connected(eve.id, NOWHERE, False))
        solo.ask(eve, hello, *documents)
        solo.feed(Disconnected(eve.id, "refused"))
    out = solo.feed(Connected(eve.id, NOWHERE, False))
    assert one(out, Disconnect).reason.startswith("held off")


def test_nothing_of_an_outsider_s_hello_may_be_opened(solo: Solo) -> None:
    ann, eve = member(solo, "ann"), solo.puppet("eve", swarm=FOUNDER.swarm)
    shown, _ = solo.hello_of(ann, membership=ann.membership)
    for peer, hello, readable in (
        (ann, shown, True),
        (eve, shown, False),
        (ann, replace(shown, membership=b""), False),
    ):
        assert solo.node.may_read(peer.id, hello, solo.now) is readable
    assert not solo.node.may_read(ann.id, View(), solo.now)
    assert isinstance(dials(solo, ann), Hello)
    assert solo.node.may_read(ann.id, View(), solo.now)


def test_the_dialler_shows_its_membership_and_nothing_else(solo: Solo) -> None:
    ann = member(solo, "ann")
    hello = one(solo.feed(Connected(ann.id, NOWHERE, True)), Ask).message
    assert isinstance(hello, Hello)
    assert hello.membership == FOUNDER.issue(solo.member.id)
    assert hello.record == hello.claim == b""


def test_a_dialler_that_introduces_itself_later_is_let_in_and_asked(solo: Solo) -> None:
    ann = member(solo, "ann")
    hello, _ = solo.hello_of(ann, membership=ann.membership, record=b"", claim=b"")
    solo.feed(Connected(ann.id, NOWHERE, False))
    assert isinstance(one(solo.ask(ann, hello), Answer).message, Hello)
    asked = {type(a.message) for a in only(solo.ask(ann, Ping()), Ask)}
    assert asked >= {ViewSync, RevocationSync}


def test_in_an_open_swarm_nobody_enters_without_an_introduction() -> None:
    solo = Solo().start()
    ann = solo.puppet("ann")
    hello, _ = solo.hello_of(ann, record=b"", claim=b"")
    solo.feed(Connected(ann.id, NOWHERE, False))
    refused = one(solo.ask(ann, hello), Answer).message
    assert isinstance(refused, Refused)
    assert refused.code == "forged-hello"


@pytest.mark.parametrize("reason", OUTSIDERS)
def test_the_dialler_judges_who_answers_by_the_same_rules(solo: Solo, reason: str) -> None:
    eve = solo.puppet("eve", swarm=FOUNDER.swarm)
    asked = one(solo.feed(Connected(eve.id, NOWHERE, True)), Ask)
    hello, documents = solo.hello_of(eve, membership=OUTSIDERS[reason])
    out = solo.answer(asked, hello, *documents)
    assert one(out, Disconnect).reason.startswith(reason)
    assert not only(out, Ask)
    assert solo.node.view.record_of(eve.id) is None


def test_who_holds_no_membership_says_so_to_a_member() -> None:
    solo = Solo(swarm=FOUNDER.swarm).start()
    ann = member(solo, "ann")
    refused = dials(solo, ann)
    assert isinstance(refused, Refused)
    assert refused.code == "no-membership-here"


# --- its end -------------------------------------------------------------------------------------


def test_a_membership_is_good_until_its_last_second(solo: Solo) -> None:
    ann = member(solo, "ann", not_after=int(TODAY))
    solo.feed(ClockRead(TODAY - 1))
    assert isinstance(dials(solo, ann), Hello)
    solo.now += 1.0
    refused = dials(solo, ann)
    assert isinstance(refused, Refused)
    assert refused.code == "membership-expired"


def test_who_stays_too_long_is_sent_away(solo: Solo) -> None:
    ann, bob = member(solo, "ann", not_after=int(TODAY)), member(solo, "bob")
    solo.feed(ClockRead(TODAY - DAY))
    meets(solo, ann)
    meets(solo, bob)
    out = solo.fire(expulsion.TIMER)
    assert one(out, Disconnect) == Disconnect(ann.id, "membership-expired")
    assert solo.now == DAY


def test_who_stays_too_long_by_a_calendar_that_was_set_is_sent_away_too(solo: Solo) -> None:
    ann, bob = member(solo, "ann", not_after=int(TODAY)), member(solo, "bob")
    solo.feed(ClockRead(0.0))
    meets(solo, ann)
    meets(solo, bob)
    out = solo.feed(ClockRead(TODAY))
    assert one(out, Disconnect) == Disconnect(ann.id, "membership-expired")
    assert not only(out, SetTimer) or one(out, SetTimer).key != expulsion.TIMER


def test_a_newer_membership_counts_though_an_older_one_is_shown(solo: Solo) -> None:
    ann = member(solo, "ann", not_after=int(TODAY))
    solo.feed(ClockRead(TODAY + DAY))
    assert isinstance(dials(solo, ann, membership=FOUNDER.issue(ann.id, serial=2)), Hello)
    solo.feed(Disconnected(ann.id, "reset"))
    assert isinstance(dials(solo, ann), Hello)


# --- shutting out --------------------------------------------------------------------------------


def test_who_is_revoked_is_disconnected_at_once_and_refused_from_then_on(solo: Solo) -> None:
    ann, bob = member(solo, "ann"), member(solo, "bob")
    meets(solo, ann)
    meets(solo, bob)
    revocation = FOUNDER.revoke(ann.id)
    out = solo.feed(MemberRevoked(revocation))
    assert isinstance(out[0], KeepRevocations)  # on disk before anything follows
    assert out[0].envelopes == (revocation.envelope,)
    assert one(out, Disconnect) == Disconnect(ann.id, "membership-revoked")
    assert not solo.node.peers.is_admitted(ann.id)
    told = one(out, Ask)
    assert (told.peer, told.message) == (bob.id, Revocations(revocations=(revocation.envelope,)))

    solo.feed(Disconnected(ann.id, "membership-revoked"))
    refused = dials(solo, ann)
    assert isinstance(refused, Refused)
    assert refused.code == "membership-revoked"
    assert isinstance(one(solo.ask(ann, Ping()), Answer).message, Refused)


def test_a_revoked_member_is_neither_looked_for_nor_drawn_into_samples(solo: Solo) -> None:
    ann, bob = member(solo, "ann"), member(solo, "bob")
    meets(solo, ann)
    activity = Activity(solo.member.id, FOUNDER.swarm_id, solo.node.view, 50)
    assert sorted(activity.order(1)) == sorted([solo.member.id, ann.id])
    solo.feed(MemberRevoked(FOUNDER.revoke(ann.id)))
    assert activity.order(1) == [solo.member.id]
    solo.feed(Discovered(ann.id, (ann.address,), "mdns"))
    assert ann.id not in solo.node.peers
    meets(solo, bob, solo.record_of(ann))
    assert ann.id not in solo.node.peers
    assert activity.order(1) == activity.sort([solo.member.id, bob.id], 1)


def test_news_of_it_is_passed_on_once_and_not_back(solo: Solo) -> None:
    ann, bob, cid = (member(solo, name) for name in ("ann", "bob", "cid"))
    for puppet in (bob, cid):
        meets(solo, puppet)
    news = FOUNDER.revoke(ann.id)
    message = Revocations(revocations=(news.envelope,))
    out = solo.ask(bob, message, news)
    assert one(out, Answer).message == Revocations()
    assert one(out, Ask).peer == cid.id
    assert not only(solo.ask(cid, message, news), Ask)


def test_who_was_away_asks_for_what_it_missed(solo: Solo) -> None:
    ann, bob = member(solo, "ann"), member(solo, "bob")
    news = FOUNDER.revoke(ann.id)
    dials(solo, bob)
    asks = only(solo.ask(bob, Ping()), Ask)
    (sync,) = [a for a in asks if isinstance(a.message, RevocationSync)]
    assert sync.message == RevocationSync()
    solo.answer(sync, Revocations(revocations=(news.envelope,)), news)
    assert solo.node.members.is_revoked(ann.id)
    answer = one(solo.ask(bob, RevocationSync(known={})), Answer).message
    assert answer == Revocations(revocations=(news.envelope,))
    known = RevocationSync(known={ann.id: 1})
    assert one(solo.ask(bob, known), Answer).message == Revocations()


def test_a_newer_membership_is_good_again_and_an_older_one_is_not(solo: Solo) -> None:
    ann = member(solo, "ann", serial=5)
    solo.feed(MemberRevoked(FOUNDER.revoke(ann.id, serial=7)))
    for serial, good in ((6, False), (7, False), (8, True)):
        answer = dials(solo, ann, membership=FOUNDER.issue(ann.id, serial=serial))
        assert isinstance(answer, Hello) is good
    assert not solo.node.members.is_revoked(ann.id)
    # Let in again, what it showed before is as good as what it has now.
    assert isinstance(dials(solo, ann), Hello)
    solo.feed(MemberRevoked(FOUNDER.revoke(ann.id, serial=9)))
    assert isinstance(dials(solo, ann), Refused)


def test_an_older_revocation_is_no_news(solo: Solo) -> None:
    ann = member(solo, "ann")
    solo.feed(MemberRevoked(FOUNDER.revoke(ann.id, serial=7)))
    assert solo.feed(MemberRevoked(FOUNDER.revoke(ann.id, serial=6))) == []


def test_an_open_swarm_knows_no_revocations() -> None:
    solo = Solo().start()
    ann = solo.peer("ann")
    assert isinstance(one(solo.ask(ann, RevocationSync()), Answer).message, Refused)
    assert solo.feed(MemberRevoked(FOUNDER.revoke(ann.id))) == []
    assert solo.node.peers.is_admitted(ann.id)


def test_what_is_remembered_of_revocations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REVOCATIONS", 2)
    members = Members(FOUNDER.swarm_id, FOUNDER.issued("me"))
    assert [members.revoke(FOUNDER.revoke(f"m{n}")) for n in range(3)] == [True, True, False]
    assert members.revoke(FOUNDER.revoke("m1", serial=2))


# --- what members say of others ------------------------------------------------------------------


def test_nobody_is_taken_into_the_view_whom_the_founder_never_let_in(solo: Solo) -> None:
    """Else one member could invent as many peers as it likes, with ids of its choice."""
    ann, bob, eve = (
        member(solo, "ann"),
        member(solo, "bob"),
        solo.puppet("eve", swarm=FOUNDER.swarm),
    )
    meets(
        solo,
        ann,
        solo.record_of(eve),
        eve.documents.claim(10),
        solo.record_of(bob),
        bob.documents.claim(10),
    )
    view = solo.node.view
    assert (view.record_of(eve.id), view.steps_of(eve.me)) == (None, 0)
    assert eve.id not in solo.node.peers
    assert view.record_of(bob.id) is not None
    assert view.steps_of(bob.me) == 10
    assert bob.id in solo.node.peers


def test_an_update_of_an_outsider_is_not_taken_from_a_member(solo: Solo) -> None:
    ann, eve = member(solo, "ann"), solo.puppet("eve", swarm=FOUNDER.swarm)
    meets(solo, ann)
    update = eve.update(lineage={ann.me: 10}, steps=10)
    out = solo.offer(ann, update, proven_by=(ann,))
    assert not only(out, Fetch)
    proof = one(out, Ask)
    assert isinstance(proof.message, ViewSync)
    assert proof.message.only == (eve.me,)
    out = solo.answer(proof, View())
    assert not only(out, Fetch)
    assert solo.node.peers.table[ann.id].refused["unproven-lineage"] == 1


def test_a_member_not_met_yet_is_vouched_for_by_its_record(solo: Solo) -> None:
    ann, bob = member(solo, "ann"), member(solo, "bob")
    meets(solo, ann)
    update = bob.update(lineage={bob.me: 10}, steps=10)
    proof = one(solo.offer(ann, update, proven_by=(bob,)), Ask)
    record, claim = solo.record_of(bob), bob.documents.claim(10)
    answer = View(records=(record.envelope,), claims=(claim.envelope,))
    assert one(solo.answer(proof, answer, record, claim), Fetch).update is update


def test_an_update_of_a_revoked_author_is_refused_whoever_brings_it(solo: Solo) -> None:
    ann, bob = member(solo, "ann"), member(solo, "bob")
    meets(solo, ann)
    meets(solo, bob)
    solo.feed(MemberRevoked(FOUNDER.revoke(bob.id)))
    update = bob.update(lineage={bob.me: 10}, steps=10)
    assert not only(solo.offer(ann, update, proven_by=(bob,)), Fetch)
    table = solo.node.peers.table
    assert table[ann.id].refused["revoked-author"] == 1
    assert table[ann.id].violations == 0


def test_what_was_learnt_of_a_revoked_member_can_still_be_proven(solo: Solo) -> None:
    """An honest member that heard later has merged it; it must not be shut out for that."""
    ann, bob = member(solo, "ann"), member(solo, "bob")
    meets(solo, ann)
    meets(solo, bob)
    solo.feed(MemberRevoked(FOUNDER.revoke(bob.id)))
    update = ann.update(lineage={ann.me: 10, bob.me: 20}, steps=10)
    bob.steps = 20
    assert one(solo.offer(ann, update, proven_by=(bob,)), Fetch).update is update


# --- whole swarms --------------------------------------------------------------------------------


def closed(world: World, *names: str) -> list[Member]:
    members = [world.add(name, **FOUNDER.options(name)) for name in names]
    for one_of_them in members:
        one_of_them.start()
    return members


def test_members_learn_from_each_other_and_an_outsider_from_nobody() -> None:
    world = World(5)
    members = closed(world, "ann", "bob", "cid")
    eve = world.add("eve", swarm=FOUNDER.swarm)
    eve.start()
    ann, bob, cid = members
    ann.knows(bob)
    bob.knows(cid, eve)
    eve.knows(*members)
    world.run_until(lambda: all(len(m.lineage) == 3 for m in members), 120.0)
    world.run(60.0)
    assert list(eve.lineage) == [eve.me]
    assert eve.node.peers.admitted() == []
    assert {eve.node.view.record_of(m.id) for m in members} == {None}
    for each in members:
        assert eve.me not in each.lineage
        assert each.node.view.record_of(eve.id) is None
    world.settle_debts()


def test_a_revocation_reaches_all_and_the_swarm_goes_on() -> None:
    world = World(6)
    members = closed(world, "founder", "ann", "bob", "cid", "eve")
    for a, b in pairwise(members):
        a.knows(b)
    world.run_until(lambda: all(len(m.lineage) == 5 for m in members), 200.0)
    founder, *_, eve = members
    founder.feed(MemberRevoked(FOUNDER.revoke(eve.id)))
    staying = members[:-1]
    world.run_until(lambda: all(m.node.members.is_revoked(eve.id) for m in staying), 10.0)
    assert all(m.kept for m in staying)
    world.run_until(lambda: not eve.node.peers.admitted(), 10.0)
    before = {m.name: sum(m.lineage.values()) for m in staying}
    world.run(60.0)
    assert eve.node.peers.admitted() == []
    for each in staying:
        assert sum(each.lineage.values()) > before[each.name]
        assert len(each.node.peers.admitted()) == len(staying) - 1
    world.settle_debts()


def test_one_that_was_cut_off_hears_of_it_when_it_is_back() -> None:
    world = World(7)
    members = closed(world, "founder", "ann", "bob", "eve")
    founder, ann, bob, eve = members
    for each in members:
        each.knows(*(m for m in members if m is not each))
    world.run_until(lambda: all(len(m.node.peers.admitted()) == 3 for m in members), 60.0)
    world.split([founder, ann], [bob, eve])
    world.run(20.0)
    founder.feed(MemberRevoked(FOUNDER.revoke(eve.id)))
    world.run(20.0)
    assert eve.id in bob.node.peers.admitted()
    world.heal()
    world.run_until(lambda: eve.id not in bob.node.peers.admitted(), 200.0)
    # What bob had learnt of eve meanwhile does not keep it out.
    world.run_until(
        lambda: (
            founder.lineage.get(bob.me, 0) > 0
            and founder.lineage.get(eve.me, 0) >= bob.lineage.get(eve.me, 0)
        ),
        200.0,
    )
    world.settle_debts()
