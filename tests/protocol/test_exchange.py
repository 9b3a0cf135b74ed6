"""What is taken from whom: judged by its signed manifest before a byte of its body moves."""

from typing import Any

import pytest

from gossipd.protocol import exchange as room
from gossipd.protocol.events import (
    Answer,
    Ask,
    Connected,
    Disconnected,
    Fetch,
    FetchFailed,
    KeepEvidence,
    Merge,
    Output,
    PublishServing,
    RequestFailed,
    ServingPublished,
)
from gossipd.protocol.exchange import FETCHES_AT_ONCE
from gossipd.wire import limits
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import ZERO, Have, Offer, Pong, Refused, Update, View, ViewSync, Want
from support.solo import NOWHERE, Solo, one, only
from support.world import SETTINGS, SWARM, Member

OTHER = digest(b"something else")


@pytest.fixture
def solo() -> Solo:
    return Solo().start()


def fetched(outputs: list[Output]) -> list[Update]:
    return [o.update for o in only(outputs, Fetch)]


def wanted(outputs: list[Output]) -> tuple[bytes, ...]:
    answer = one(outputs, Answer).message
    assert isinstance(answer, Want)
    return answer.updates


def violations(solo: Solo, peer: Member) -> int:
    return solo.node.peers.table[peer.id].violations


# --- good and useless ----------------------------------------------------------------------------


def test_what_is_new_is_fetched_from_who_offered_it(solo: Solo) -> None:
    ann = solo.peer("ann")
    update = ann.update()
    out = solo.offer(ann, update)
    assert one(out, Fetch) == Fetch(ann.id, update)
    assert wanted(out) == (update.id,)
    for asked in only(solo.arrive(ann, update), Ask):
        solo.answer(asked, Offer())
    assert solo.node.gossip.holds(update.id)
    assert solo.node.exchange.counts.fetched == 1


def test_what_brings_nothing_new_is_not_even_fetched(solo: Solo) -> None:
    ann = solo.peer("ann")
    solo.trained()
    stale = ann.update(lineage={solo.node.me: 10})
    solo.trained()
    out = solo.offer(ann, stale)
    assert fetched(out) == []
    assert wanted(out) == ()
    assert solo.node.exchange.counts.redundant == 1
    assert violations(solo, ann) == 0


def test_the_same_again_is_a_duplicate_whoever_carries_it(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.peer("bob")
    update = ann.update()
    assert fetched(solo.offer(ann, update)) == [update]
    while_fetching = solo.offer(bob, update, proven_by=(ann,))
    solo.arrive(ann, update)
    while_waiting = solo.offer(ann, update)
    for out in (while_fetching, while_waiting):
        assert fetched(out) == []
        assert wanted(out) == ()
    assert solo.node.exchange.counts.duplicate == 2
    assert violations(solo, ann) == violations(solo, bob) == 0


def test_a_head_that_waits_for_its_serving_model_is_a_duplicate_too(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.peer("bob")
    update = ann.update()
    solo.offer(ann, update)
    asked = one(solo.arrive(ann, update), Ask)
    assert isinstance(asked.message, Have)
    assert asked.message.role == "serving"
    assert fetched(solo.offer(bob, update, proven_by=(ann,))) == []
    solo.answer(asked, Offer())
    assert solo.node.gossip.holds(update.id)
    assert fetched(solo.offer(bob, update, proven_by=(ann,))) == []


def test_an_offer_twice_in_one_message_is_fetched_once(solo: Solo) -> None:
    ann = solo.peer("ann")
    update = ann.update()
    assert fetched(solo.offer(ann, update, update)) == [update]


def test_a_full_model_is_as_good_as_a_delta(solo: Solo) -> None:
    ann = solo.peer("ann")
    full = ann.update(kind="full", reference=ZERO)
    by_hash = ann.update(reference=SWARM.genesis, lineage={ann.me: 10}, model=OTHER)
    assert fetched(solo.offer(ann, full)) == [full]
    assert fetched(solo.offer(ann, by_hash)) == [by_hash]


def test_heads_are_offered_serving_models_are_asked_for(solo: Solo) -> None:
    ann = solo.peer("ann")
    out = solo.offer(ann, ann.update(role="serving"))
    assert fetched(out) == []
    assert wanted(out) == ()


# --- refused -------------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "foreign-task": {"task": OTHER},
    "wrong-layout": {"layout": OTHER},
    "unknown-codec": {"codec": "telepathy"},
    "unknown-reference": {"reference": OTHER},
    "wrong-kind": {"kind": "full"},
    "oversized-body": {"body_size": 21},
    "undersized-body": {"body_size": 19},
    "lineage-above-steps": {"steps": 9},
}


def refusal(solo: Solo, carrier: Member, update: Update, *proven_by: Member) -> str:
    """The one reason for which an update is refused."""
    before = len(solo.reports("update-refused"))
    out = solo.offer(carrier, update, proven_by=proven_by)
    assert fetched(out) == []
    assert wanted(out) == ()
    assert not only(out, Ask), "what is refused outright needs no proof"
    reports = solo.reports("update-refused")[before:]
    assert len(reports) == 1
    assert reports[0]["peer"] == carrier.id
    assert reports[0]["author"] == update.author
    return str(reports[0]["reason"])


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_used_is_refused_with_its_reason(solo: Solo, reason: str) -> None:
    ann = solo.peer("ann")
    assert refusal(solo, ann, ann.update(**REFUSED[reason])) == reason
    assert solo.node.exchange.counts.refused == 1
    assert solo.node.peers.table[ann.id].refused == {reason: 1}
    assert violations(solo, ann) == 1


def test_a_delta_cannot_be_against_nothing(solo: Solo) -> None:
    ann = solo.peer("ann")
    assert refusal(solo, ann, ann.update(reference=ZERO)) == "wrong-kind"


def test_another_number_of_parameters_is_another_layout(solo: Solo) -> None:
    ann = solo.peer("ann")
    assert refusal(solo, ann, ann.update(parameters=11)) == "wrong-layout"


def test_entries_that_say_nothing_would_fill_up_everybodys_lineage(solo: Solo) -> None:
    ann = solo.peer("ann")
    padded = ann.update(lineage={ann.me: 10, b"nobody!!": 0})
    assert refusal(solo, ann, padded) == "padded-lineage"


def test_nobody_can_have_learnt_more_of_a_node_than_it_has_done(solo: Solo) -> None:
    ann = solo.peer("ann")
    solo.trained()
    forged = ann.update(lineage={ann.me: 10, solo.node.me: 11})
    assert refusal(solo, ann, forged) == "forged-lineage"
    honest = ann.update(lineage={ann.me: 10, solo.node.me: 10})
    assert fetched(solo.offer(ann, honest)) == [honest]


def test_who_goes_on_offering_nonsense_is_dropped(solo: Solo) -> None:
    ann = solo.peer("ann")
    for _ in range(limits.VIOLATIONS):
        solo.offer(ann, ann.update(task=OTHER))
    assert solo.reports("peer-dropped") == [{"peer": ann.id, "reason": "foreign-task"}]


# --- a claim is not trust ------------------------------------------------------------------------


def offer_unproven(solo: Solo, carrier: Member, *updates: Update) -> tuple[Ask, list[Output]]:
    out = solo.ask(carrier, Offer(manifests=tuple(u.envelope for u in updates)), *updates)
    asked = one(out, Ask)
    assert asked.peer == carrier.id
    assert isinstance(asked.message, ViewSync)
    return asked, out


def test_a_lineage_above_what_was_signed_is_fetched_when_the_proof_has_come(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.puppet("bob", steps=40)
    update = ann.update(lineage={ann.me: 10, bob.me: 40})
    asked, out = offer_unproven(solo, ann, update)
    assert fetched(out) == []
    assert wanted(out) == (update.id,), "the carrier must keep the body ready"
    assert isinstance(asked.message, ViewSync)
    assert asked.message.only == (bob.me,)

    claim = bob.documents.claim(40)
    assert fetched(solo.answer(asked, View(claims=(claim.envelope,)), claim)) == [update]


def test_what_is_still_unproven_after_the_answer_is_refused(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.puppet("bob")
    update = ann.update(lineage={ann.me: 10, bob.me: 40})
    asked, _ = offer_unproven(solo, ann, update)
    low = bob.documents.claim(39)
    assert fetched(solo.answer(asked, View(claims=(low.envelope,)), low)) == []
    assert solo.node.peers.table[ann.id].refused == {"unproven-lineage": 1}
    assert violations(solo, ann) == 1


def test_a_proof_that_gets_lost_is_nobodys_fault(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.puppet("bob")
    update = ann.update(lineage={ann.me: 10, bob.me: 40})
    asked, _ = offer_unproven(solo, ann, update)
    solo.feed(RequestFailed(ann.id, asked.request, "timeout"))
    assert violations(solo, ann) == 0
    asked, _ = offer_unproven(solo, ann, update)
    solo.answer(asked, Refused(code="busy"))
    assert violations(solo, ann) == 0
    offer_unproven(solo, ann, update)


def test_one_proof_at_a_time_per_peer(solo: Solo) -> None:
    """Else a peer that never proves anything could make this node hoard its manifests."""
    ann, bob, cem = solo.peer("ann"), solo.peer("bob"), solo.puppet("cem")
    asked, _ = offer_unproven(solo, ann, ann.update(lineage={cem.me: 40}))
    out = solo.ask(ann, Offer(), *(ann.update(lineage={cem.me: 41}) for _ in range(4)))
    assert not only(out, Ask)
    assert wanted(out) == ()
    offer_unproven(solo, bob, bob.update(lineage={cem.me: 41}))
    solo.feed(RequestFailed(ann.id, asked.request, "timeout"))
    offer_unproven(solo, ann, ann.update(lineage={cem.me: 42}))


def test_while_the_proof_was_on_its_way_the_update_may_have_become_useless(solo: Solo) -> None:
    ann, bob, cem = solo.peer("ann"), solo.peer("bob"), solo.puppet("cem")
    update = ann.update(lineage={ann.me: 10, cem.me: 40})
    other = bob.update(lineage={ann.me: 10, bob.me: 10, cem.me: 40})
    asked, _ = offer_unproven(solo, ann, update)

    solo.bring(bob, other, cem)
    solo.merged(one(solo.fire("gossip.cycle"), Merge))
    claim = cem.documents.claim(40)
    assert fetched(solo.answer(asked, View(claims=(claim.envelope,)), claim)) == []
    assert solo.node.exchange.counts.redundant == 1


def test_while_the_proof_was_on_its_way_the_update_may_have_come_from_another(solo: Solo) -> None:
    ann, bob, cem = solo.peer("ann"), solo.peer("bob"), solo.puppet("cem")
    update = ann.update(lineage={ann.me: 10, cem.me: 40})
    asked, _ = offer_unproven(solo, ann, update)
    solo.bring(bob, update, cem, ann)
    claim = cem.documents.claim(40)
    assert fetched(solo.answer(asked, View(claims=(claim.envelope,)), claim)) == []
    assert solo.node.exchange.counts.duplicate == 1


def test_in_a_full_swarm_what_cannot_be_proven_is_refused_without_blame(
    solo: Solo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = solo.peer("ann"), solo.puppet("bob")
    monkeypatch.setattr(limits, "AUTHORS", 2)
    asked, _ = offer_unproven(solo, ann, ann.update(lineage={ann.me: 10, bob.me: 40}))
    claim = bob.documents.claim(40)
    assert fetched(solo.answer(asked, View(claims=(claim.envelope,)), claim)) == []
    assert solo.node.peers.table[ann.id].refused == {"too-many-authors": 1}
    assert violations(solo, ann) == 0


def test_a_question_never_names_more_authors_than_a_message_may(
    solo: Solo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = solo.peer("ann")
    monkeypatch.setattr(limits, "AUTHORS_PER_QUESTION", 5)
    first = ann.update(lineage={bytes([i]) * 8: 1 for i in range(4)})
    second = ann.update(lineage={bytes([i]) * 8: 1 for i in range(4, 8)})
    asked, _ = offer_unproven(solo, ann, first, second)
    assert isinstance(asked.message, ViewSync)
    assert len(asked.message.only) == 5


# --- equivocation --------------------------------------------------------------------------------


def test_two_updates_under_one_number_are_proof_against_their_author(solo: Solo) -> None:
    ann, bob, mallory = solo.peer("ann"), solo.peer("bob"), solo.peer("mallory")
    first = mallory.update()
    second = mallory.update(seq=first.manifest.seq, model=OTHER)
    assert fetched(solo.offer(ann, first, proven_by=(mallory,))) == [first]
    out = solo.offer(bob, second, proven_by=(mallory,))

    assert fetched(out) == []
    assert one(out, KeepEvidence) == KeepEvidence(mallory.id, first.envelope, second.envelope)
    assert solo.reports("equivocation") == [{"author": mallory.id, "carrier": bob.id}]
    assert violations(solo, mallory) == 1

    # From then on nothing of this author is taken, from whomever; whoever carries it is innocent.
    later = mallory.update(lineage={mallory.me: 10}, model=OTHER)
    assert refusal(solo, ann, later, mallory) == "equivocation"
    assert refusal(solo, mallory, later) == "equivocation"
    assert violations(solo, mallory) == 3
    assert violations(solo, ann) == violations(solo, bob) == 0
    honest = bob.update()
    assert fetched(solo.offer(bob, honest)) == [honest]
    # A new incarnation begins anew, as a new author.
    reborn = solo.peer("mallory", incarnation=2)
    assert fetched(solo.offer(reborn, reborn.update())) != []


def test_whoever_equivocates_in_person_is_dropped_in_the_end(solo: Solo) -> None:
    mallory = solo.peer("mallory")
    first = mallory.update()
    solo.offer(mallory, first)
    for i in range(limits.VIOLATIONS):
        solo.offer(mallory, mallory.update(seq=first.manifest.seq, model=digest(bytes([i]))))
    assert solo.reports("peer-dropped") == [{"peer": mallory.id, "reason": "equivocation"}]


@pytest.mark.parametrize("bound", ["REMEMBERED_UPDATES", "REMEMBERED_BYTES"])
def test_only_so_many_updates_are_remembered(
    solo: Solo, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    ann = solo.peer("ann")
    updates = [ann.update(lineage={ann.me: i}) for i in range(1, 5)]
    many = {"REMEMBERED_UPDATES": 2, "REMEMBERED_BYTES": 2 * len(updates[0].envelope) + 50}
    monkeypatch.setattr(room, bound, many[bound])
    for update in updates:
        solo.offer(ann, update)
    for update in updates[:2]:
        forked = ann.update(seq=update.manifest.seq, lineage={ann.me: 5}, model=OTHER)
        assert not only(solo.offer(ann, forked), KeepEvidence), "too long ago"
    forked = ann.update(seq=updates[3].manifest.seq, lineage={ann.me: 5}, model=digest(b"!"))
    solo.offer(ann, updates[3])
    assert only(solo.offer(ann, forked), KeepEvidence)


# --- fetching ------------------------------------------------------------------------------------


def crowd(solo: Solo, count: int) -> tuple[list[Member], list[Update]]:
    """As many peers as given, each with one update offered."""
    peers = [solo.peer(f"p{i}") for i in range(count)]
    updates = [peer.update() for peer in peers]
    for peer, update in zip(peers, updates, strict=True):
        solo.offer(peer, update)
    return peers, updates


def test_few_bodies_are_fetched_at_once_the_rest_waits_its_turn(solo: Solo) -> None:
    peers, updates = crowd(solo, FETCHES_AT_ONCE + 2)
    assert fetched(solo.outputs) == updates[:FETCHES_AT_ONCE]
    assert fetched(solo.arrive(peers[0], updates[0])) == [updates[FETCHES_AT_ONCE]]
    failed = FetchFailed(peers[1].id, updates[1], "fetch-stalled", "nobody")
    assert fetched(solo.feed(failed)) == [updates[FETCHES_AT_ONCE + 1]]


def test_of_one_author_only_the_newest_waits(solo: Solo) -> None:
    busy, first = crowd(solo, FETCHES_AT_ONCE)
    ann = solo.peer("ann", steps=30)
    old, new = ann.update(lineage={ann.me: 10}), ann.update(lineage={ann.me: 30})
    older = ann.update(lineage={ann.me: 5}, seq=old.manifest.seq - 1)
    for update in (old, new, older):
        assert fetched(solo.offer(ann, update)) == []
    assert fetched(solo.offer(ann, new)) == []
    assert solo.node.exchange.counts.duplicate == 1
    assert fetched(solo.arrive(busy[0], first[0])) == [new]
    assert fetched(solo.arrive(busy[1], first[1])) == []


def test_what_waits_is_dropped_when_its_carrier_goes_and_comes_again_by_another(
    solo: Solo,
) -> None:
    busy, first = crowd(solo, FETCHES_AT_ONCE)
    ann, bob = solo.peer("ann"), solo.peer("bob")
    update = ann.update()
    solo.offer(ann, update)
    solo.feed(Disconnected(ann.id, "reset"))
    assert fetched(solo.arrive(busy[0], first[0])) == []
    assert fetched(solo.offer(bob, update, proven_by=(ann,))) == [update]


def test_what_waits_is_dropped_when_it_has_become_useless(solo: Solo) -> None:
    busy, first = crowd(solo, FETCHES_AT_ONCE)
    ann = solo.peer("ann")
    solo.offer(ann, ann.update())
    bob = solo.peer("bob")
    solo.node.gossip.head = bob.update(lineage={ann.me: 10, bob.me: 10})
    assert fetched(solo.arrive(busy[0], first[0])) == []
    assert solo.node.exchange.counts.redundant == 1


def test_a_body_that_did_not_come_may_be_offered_again(solo: Solo) -> None:
    ann = solo.peer("ann")
    update = ann.update()
    solo.offer(ann, update)
    solo.feed(FetchFailed(ann.id, update, "fetch-timeout", "nobody"))
    assert solo.node.peers.table[ann.id].refused == {"fetch-timeout": 1}
    assert violations(solo, ann) == 0
    assert fetched(solo.offer(ann, update)) == [update]


def test_a_body_that_is_not_what_was_signed_is_the_carriers_fault(solo: Solo) -> None:
    ann, bob = solo.peer("ann"), solo.peer("bob")
    update = ann.update()
    solo.offer(bob, update, proven_by=(ann,))
    solo.feed(FetchFailed(bob.id, update, "bad-chunk", "carrier"))
    assert violations(solo, bob) == 1
    assert violations(solo, ann) == 0
    assert solo.node.exchange.counts.refused == 1
    assert fetched(solo.offer(ann, update)) == [update], "another may have the right one"


def test_a_body_that_decodes_to_another_model_is_the_authors_fault_too(solo: Solo) -> None:
    ann, mallory = solo.peer("ann"), solo.peer("mallory")
    update = mallory.update()
    solo.offer(ann, update, proven_by=(mallory,))
    solo.feed(FetchFailed(ann.id, update, "wrong-model", "author"))
    assert violations(solo, mallory) == violations(solo, ann) == 1
    solo.offer(mallory, update)
    solo.feed(FetchFailed(mallory.id, update, "wrong-model", "author"))
    assert violations(solo, mallory) == 2, "not twice for one and the same"


# --- the serving model beside a head -------------------------------------------------------------


def ask_serving(solo: Solo, ann: Member) -> tuple[Update, Ask]:
    head = ann.update()
    solo.offer(ann, head)
    return head, one(solo.arrive(ann, head), Ask)


def serving_of(solo: Solo, head: Update) -> Update | None:
    merge = one(solo.fire("gossip.cycle"), Merge)
    assert merge.sides[-1].update == head
    return merge.sides[-1].serving


def offer_of(update: Update) -> Offer:
    return Offer(manifests=(update.envelope,))


def test_an_islands_serving_model_comes_with_its_head(solo: Solo) -> None:
    ann = solo.peer("ann")
    head, asked = ask_serving(solo, ann)
    assert solo.fire("gossip.cycle") != [], "training goes on meanwhile"
    solo.trained()
    serving = ann.update(role="serving", lineage={ann.me: 10})
    assert fetched(solo.answer(asked, offer_of(serving), serving)) == [serving]
    assert not solo.node.gossip.holds(head.id)
    solo.arrive(ann, serving)
    assert serving_of(solo, head) == serving


def test_without_its_serving_model_a_head_is_merged_all_the_same(solo: Solo) -> None:
    ann = solo.peer("ann")
    head, asked = ask_serving(solo, ann)
    solo.feed(RequestFailed(ann.id, asked.request, "timeout"))
    assert serving_of(solo, head) is None


@pytest.mark.parametrize("answer", [Refused(code="busy"), Pong(), Offer()], ids=type)
def test_whatever_the_answer_the_head_is_merged(solo: Solo, answer: Any) -> None:
    ann = solo.peer("ann")
    head, asked = ask_serving(solo, ann)
    solo.answer(asked, answer)
    assert serving_of(solo, head) is None
    assert violations(solo, ann) == isinstance(answer, Pong)


def test_a_serving_model_that_cannot_be_used_is_refused_its_head_is_merged(solo: Solo) -> None:
    ann = solo.peer("ann")
    head, asked = ask_serving(solo, ann)
    foreign = ann.update(role="serving", task=OTHER)
    assert fetched(solo.answer(asked, offer_of(foreign), foreign)) == []
    assert solo.node.peers.table[ann.id].refused == {"foreign-task": 1}
    assert serving_of(solo, head) is None


@pytest.mark.parametrize(("blame", "counted"), [("nobody", 0), ("carrier", 1)])
def test_a_serving_body_that_does_not_come_holds_up_nothing(
    solo: Solo, blame: Any, counted: int
) -> None:
    ann = solo.peer("ann")
    head, asked = ask_serving(solo, ann)
    serving = ann.update(role="serving")
    solo.answer(asked, offer_of(serving), serving)
    solo.feed(FetchFailed(ann.id, serving, "fetch-gone", blame))
    assert violations(solo, ann) == counted
    assert serving_of(solo, head) is None


def test_a_serving_model_that_is_on_its_way_already_is_not_fetched_twice(solo: Solo) -> None:
    ann = solo.peer("ann", steps=20)
    _, asked_first = ask_serving(solo, ann)
    second = ann.update(lineage={ann.me: 20}, model=OTHER)
    solo.offer(ann, second)
    asked_second = one(solo.arrive(ann, second), Ask)
    serving = ann.update(role="serving")
    assert fetched(solo.answer(asked_first, offer_of(serving), serving)) == [serving]
    assert fetched(solo.answer(asked_second, offer_of(serving), serving)) == []
    assert solo.node.gossip.holds(second.id)


def test_a_head_whose_carrier_has_gone_comes_without(solo: Solo) -> None:
    ann = solo.peer("ann")
    head = ann.update()
    solo.offer(ann, head)
    solo.feed(Disconnected(ann.id, "reset"))
    assert not only(solo.arrive(ann, head), Ask)
    assert serving_of(solo, head) is None


def test_a_serving_model_is_offered_with_the_claims_that_prove_it(solo: Solo) -> None:
    """Its author may have trained since the asker heard of it."""
    solo.trained()
    ann = solo.puppet("ann")
    solo.feed(Connected(ann.id, NOWHERE, False))
    hello, documents = solo.hello_of(ann)
    solo.ask(ann, hello, *documents)
    have = Have(lineage={}, model=OTHER, role="serving")
    publish = one(solo.ask(ann, have), PublishServing)
    assert not only(solo.ask(ann, have), PublishServing), "published once for all who ask"
    serving = solo.member.update(role="serving", lineage=publish.lineage)
    first, second = only(solo.feed(ServingPublished(serving)), Answer)
    assert isinstance(first.message, Offer)
    assert first.message.manifests == (serving.envelope,)
    assert solo.member.documents.claim(10).envelope in first.message.claims
    assert isinstance(second.message, Offer)
    assert second.message.manifests == (serving.envelope,)


def test_when_there_is_no_serving_model_whoever_asked_is_told(solo: Solo) -> None:
    ann = solo.peer("ann")
    solo.trained()
    out = solo.ask(ann, Have(lineage={}, model=OTHER, role="serving"))
    assert one(out, PublishServing)
    assert one(solo.feed(ServingPublished(None)), Answer).message == Offer()


# --- showing -------------------------------------------------------------------------------------


def test_whoever_asks_is_shown_the_head_when_it_is_news(solo: Solo) -> None:
    ann = solo.peer("ann")
    empty = Have(lineage={}, model=SWARM.genesis)
    assert one(solo.ask(ann, empty), Answer).message == Offer(), "nothing learnt yet"
    solo.trained()
    head = solo.node.gossip.head
    assert head is not None
    shown = one(solo.ask(ann, empty), Answer).message
    assert isinstance(shown, Offer)
    assert shown.manifests == (head.envelope,)
    same = Have(lineage=dict(solo.node.gossip.lineage), model=head.manifest.model)
    assert one(solo.ask(ann, same), Answer).message == Offer()


def test_what_this_node_cannot_prove_it_does_not_show(solo: Solo) -> None:
    """After a crash the head may be newer than the claims that were saved."""
    ann, bob = solo.puppet("ann"), solo.puppet("bob")
    restored = Solo()
    claims = (restored.member.documents.claim(20),)
    head = restored.member.update(lineage={restored.member.me: 20, bob.me: 10})
    restored.member.steps = 20
    restored.node.restore(head, (), claims)
    restored.start()
    restored.meet(ann)
    empty = Have(lineage={}, model=SWARM.genesis)
    assert one(restored.ask(ann, empty), Answer).message == Offer()
    claim = bob.documents.claim(10)
    out = restored.ask(ann, Offer(claims=(claim.envelope,)), claim)
    assert isinstance(one(out, Answer).message, Want)
    shown = one(restored.ask(ann, empty), Answer).message
    assert isinstance(shown, Offer)
    assert shown.manifests == (head.envelope,)


def test_a_wrong_kind_of_answer_is_held_against_its_sender(solo: Solo) -> None:
    ann = solo.peer("ann")
    asked = only(solo.fire("antientropy"), Ask)
    for question in asked:
        solo.answer(question, Pong())
    assert solo.node.peers.table[ann.id].refused == {"wrong-answer": 2}
    assert violations(solo, ann) == 2


def test_a_refused_question_is_counted_under_the_peers_own_word(solo: Solo) -> None:
    ann = solo.peer("ann")
    for question in only(solo.fire("antientropy"), Ask):
        solo.answer(question, Refused(code="hello-first"))
    assert solo.node.peers.table[ann.id].refused == {"peer-hello-first": 2}
    assert violations(solo, ann) == 0


def test_without_exchange_nothing_is_offered_asked_for_or_taken() -> None:
    settings = type(SETTINGS)(cycle_seconds=1, local_steps=10, fanout=2, buffer=8, exchange=False)
    solo = Solo(settings=settings).start()
    ann = solo.puppet("ann")
    asks = only(solo.meet(ann), Ask)
    assert [type(a.message) for a in asks] == [ViewSync], "it still learns who is there"
    assert "antientropy" not in solo.timers
    assert not only(solo.trained(), Ask)
    assert one(solo.ask(ann, Have(lineage={}, model=OTHER)), Answer).message == Offer()
    serving = Have(lineage={}, model=OTHER, role="serving")
    assert one(solo.ask(ann, serving), Answer).message == Offer()
    out = solo.offer(ann, ann.update())
    assert fetched(out) == []
    assert wanted(out) == ()
