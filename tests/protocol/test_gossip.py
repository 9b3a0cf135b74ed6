"""Cycles of one node, and what becomes of the heads that arrived meanwhile."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gossipd.protocol.events import (
    Ask,
    LearningFailed,
    Merge,
    Merged,
    Output,
    SetPaused,
    SetTimer,
    Side,
    Train,
    Trained,
)
from gossipd.protocol.gossip import (
    CYCLE_TIMER,
    FAILURE_PAUSE,
    RETRY_CYCLES,
    SET_ASIDE,
    Phase,
)
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Offer, Update
from support.solo import Solo, one, only
from support.world import SETTINGS, Member

SMALL, LARGE = b"\x00" * 32, b"\xff" * 32


@pytest.fixture
def solo() -> Solo:
    return Solo().start()


def with_settings(**changes: Any) -> Solo:
    return Solo(settings=replace(SETTINGS, **changes)).start()


def cycle(solo: Solo) -> list[Output]:
    return solo.fire(CYCLE_TIMER)


def train(solo: Solo) -> None:
    """One cycle in which nothing but training happens."""
    assert one(cycle(solo), Train)
    solo.trained()


def merge_of(outputs: list[Output]) -> Merge:
    assert not only(outputs, Train), "training waits for the merge"
    return one(outputs, Merge)


def updates_of(merge: Merge) -> list[Update | None]:
    return [side.update for side in merge.sides]


def neighbours(solo: Solo, *names: str) -> list[Member]:
    """Peers that the node has trained with, so that none of them is an island."""
    peers = [solo.peer(name, steps=100) for name in names]
    everything = {**solo.node.gossip.lineage, **{p.me: 100 for p in peers}}
    carrier = peers[0]
    solo.bring(carrier, carrier.update(lineage=everything), *peers)
    solo.merged(merge_of(cycle(solo)))
    solo.trained()
    return peers


def next_head(solo: Solo, peer: Member, *, model: bytes | None = None) -> Update:
    """What `peer` has after some more steps from where the node stands."""
    peer.steps += 10
    lineage = {**solo.node.gossip.lineage, peer.me: peer.steps}
    return peer.update(lineage=lineage, **({} if model is None else {"model": model}))


# --- cycles --------------------------------------------------------------------------------------


def test_daemons_started_together_do_not_work_in_step() -> None:
    first = {
        Solo(settings=SETTINGS, incarnation=i).start().timers[CYCLE_TIMER] for i in range(1, 4)
    }
    assert all(0.0 <= at <= SETTINGS.cycle_seconds for at in first)


def test_a_cycle_trains_shows_the_head_to_a_few_and_rests(solo: Solo) -> None:
    peers = [solo.peer(name) for name in ("ann", "bob", "cem")]
    begun = solo.timers[CYCLE_TIMER]
    plan = one(cycle(solo), Train)
    assert plan == Train(lineage={}, steps=10, fold=True)
    assert solo.node.gossip.phase.value == "training"
    out = solo.trained()
    offers = [a for a in only(out, Ask) if isinstance(a.message, Offer)]
    assert len({a.peer for a in offers}) == SETTINGS.fanout
    assert {a.peer for a in offers} <= {p.id for p in peers}
    assert solo.node.offers_sent == 2
    assert solo.node.gossip.phase.value == "idle"
    interval = solo.timers[CYCLE_TIMER] - begun
    assert 0.8 <= interval <= 1.2, "a cycle is counted from its beginning, with jitter"
    assert (solo.node.gossip.cycles, solo.node.gossip.loss) == (1, 1.0)


def test_intervals_jitter_about_the_cycle() -> None:
    solo = Solo().start()
    begun = []
    for _ in range(30):
        begun.append(solo.timers[CYCLE_TIMER])
        train(solo)
    intervals = [b - a for a, b in pairwise(begun)]
    assert all(0.8 <= i <= 1.2 for i in intervals)
    assert max(intervals) - min(intervals) > 0.2


def test_training_that_takes_longer_than_a_cycle_is_followed_by_the_next_at_once(
    solo: Solo,
) -> None:
    cycle(solo)
    solo.now += 10.0
    solo.trained()
    assert solo.timers[CYCLE_TIMER] == solo.now


def test_a_timer_in_the_middle_of_work_changes_nothing(solo: Solo) -> None:
    cycle(solo)
    solo.timers[CYCLE_TIMER] = solo.now
    assert cycle(solo) == []


def test_every_head_goes_on_from_the_one_before(solo: Solo) -> None:
    train(solo)
    assert one(cycle(solo), Train).lineage == {solo.node.me: 10}


# --- merging: what follows from the lineages -----------------------------------------------------


def test_who_is_ahead_is_adopted(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann", steps=50)
    ahead = ann.update(lineage={solo.node.me: 10, ann.me: 50})
    solo.bring(ann, ahead)
    merge = merge_of(cycle(solo))
    assert merge.rule == "adopt"
    assert updates_of(merge) == [ahead]
    assert merge.lineage == ahead.manifest.lineage
    out = solo.merged(merge)
    assert solo.node.gossip.head == ahead
    assert solo.node.gossip.adopted == 1
    plan = one(out, Train)
    assert plan.lineage == ahead.manifest.lineage
    assert plan.fold is False, "the merge is in the serving average already"
    solo.trained()
    assert one(cycle(solo), Train).fold is True


def test_a_newcomer_adopts_what_it_finds_with_its_serving_model(solo: Solo) -> None:
    ann = solo.peer("ann")
    head, serving = ann.update(), ann.update(role="serving")
    solo.offer(ann, head)
    asked = one(solo.arrive(ann, head), Ask)
    solo.answer(asked, Offer(manifests=(serving.envelope,)), serving)
    solo.arrive(ann, serving)
    assert merge_of(cycle(solo)) == Merge(
        "adopt", (Side(head, 0, None, serving),), head.manifest.lineage
    )


def test_between_equal_lineages_the_smaller_hash_is_adopted(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann")
    same = dict(solo.node.gossip.lineage)
    larger = ann.update(lineage=same, model=LARGE)
    assert not only(solo.offer(ann, larger), Merge)
    assert solo.node.exchange.counts.redundant == 1
    smaller = ann.update(lineage=same, model=SMALL)
    solo.bring(ann, smaller)
    merge = merge_of(cycle(solo))
    assert (merge.rule, updates_of(merge), merge.lineage) == ("adopt", [smaller], same)


def test_concurrent_heads_are_averaged_with_the_own(solo: Solo) -> None:
    ann, bob = neighbours(solo, "ann", "bob")
    first, second = next_head(solo, ann), next_head(solo, bob)
    solo.trained()
    own = dict(solo.node.gossip.lineage)
    solo.bring(ann, first)
    solo.bring(bob, second)
    merge = merge_of(cycle(solo))
    assert merge.rule == "buffer"
    assert updates_of(merge) == [None, first, second]
    assert merge.lineage == {**own, ann.me: 110, bob.me: 110}
    solo.merged(merge)
    assert solo.node.gossip.merged == 2


def test_what_another_contains_is_dropped(solo: Solo) -> None:
    ann, bob = neighbours(solo, "ann", "bob")
    contained = next_head(solo, ann)
    bob.steps += 10
    newer = bob.update(lineage={**contained.manifest.lineage, bob.me: bob.steps})
    solo.trained()
    solo.bring(ann, contained)
    solo.bring(bob, newer, ann)
    assert updates_of(merge_of(cycle(solo))) == [None, newer]
    assert not solo.node.gossip.holds(contained.id)


def test_what_became_old_news_while_it_waited_is_dropped(solo: Solo) -> None:
    ann, bob = neighbours(solo, "ann", "bob")
    stale = next_head(solo, ann)
    assert one(cycle(solo), Train)
    solo.bring(ann, stale)
    solo.node.gossip.head = bob.update(lineage={**stale.manifest.lineage, bob.me: 100})
    solo.trained()
    assert one(cycle(solo), Train), "there is nothing to merge"
    assert not solo.node.gossip.holds(stale.id)


def test_of_several_heads_with_one_lineage_one_is_merged(solo: Solo) -> None:
    ann, bob, cem = neighbours(solo, "ann", "bob", "cem")
    first = next_head(solo, ann, model=LARGE)
    lineage = first.manifest.lineage
    second = bob.update(lineage=lineage, model=SMALL)
    third = cem.update(lineage=lineage, model=SMALL)
    solo.trained()
    for carrier, update in ((ann, first), (bob, second), (cem, third)):
        solo.bring(carrier, update, ann)
    [own, chosen] = updates_of(merge_of(cycle(solo)))
    assert own is None
    assert chosen == min((second, third), key=lambda u: u.author)


def test_with_one_ahead_and_others_beside_it_the_own_head_is_not_counted_twice(
    solo: Solo,
) -> None:
    ann, bob = neighbours(solo, "ann", "bob")
    beside = next_head(solo, bob)
    solo.trained()
    ahead = next_head(solo, ann)
    solo.bring(bob, beside)
    solo.bring(ann, ahead)
    merge = merge_of(cycle(solo))
    assert merge.rule == "buffer"
    assert updates_of(merge) == [beside, ahead], "the own head is contained in the one ahead"


def test_the_newest_of_an_author_waits_whatever_order_they_arrive_in(solo: Solo) -> None:
    ann, bob = neighbours(solo, "ann", "bob")
    old, new = next_head(solo, ann), next_head(solo, ann)
    solo.trained()
    solo.bring(ann, new)
    solo.bring(bob, old, ann)
    assert updates_of(merge_of(cycle(solo))) == [None, new]


def test_a_newer_head_replaces_the_one_that_waits(solo: Solo) -> None:
    (ann,) = neighbours(solo, "ann")
    old, new = next_head(solo, ann), next_head(solo, ann)
    solo.trained()
    solo.bring(ann, old)
    solo.bring(ann, new)
    assert updates_of(merge_of(cycle(solo))) == [None, new]


def test_a_full_buffer_is_merged_at_once_and_begins_a_cycle() -> None:
    solo = with_settings(buffer=2)
    ann, bob = neighbours(solo, "ann", "bob")
    first, second = next_head(solo, ann), next_head(solo, bob)
    solo.trained()
    solo.now += 0.3
    assert not only(solo.bring(ann, first), Merge)
    merge = merge_of(solo.bring(bob, second))
    assert solo.node.gossip.phase is Phase.MERGING
    begun = solo.now
    solo.merged(merge)
    solo.trained()
    assert solo.timers[CYCLE_TIMER] - begun >= 0.8, "not two cycles' training in the time of one"


def test_a_buffer_that_fills_up_during_work_waits_for_its_end() -> None:
    solo = with_settings(buffer=1)
    ann = solo.peer("ann")
    cycle(solo)
    assert not only(solo.bring(ann, ann.update()), Merge)
    solo.trained()
    assert merge_of(cycle(solo))


def test_a_liars_examples_weigh_ten_times_the_median_at_most(solo: Solo) -> None:
    ann, bob, mallory = neighbours(solo, "ann", "bob", "mallory")
    honest, lies = next_head(solo, ann), next_head(solo, mallory)
    solo.trained()
    solo.bring(ann, honest)
    solo.bring(mallory, lies)
    mallory.examples = 10**9
    solo.node.view.add_record(solo.record_of(mallory))
    merge = merge_of(cycle(solo))
    assert updates_of(merge) == [None, honest, lies]
    assert [side.examples for side in merge.sides] == [0, 100, 1000]
    assert solo.node.view.examples_of((bob.me,)) == 100


# --- islands -------------------------------------------------------------------------------------


def meet_island(solo: Solo) -> tuple[Update, Update]:
    """Somebody who has learnt with others, far away, what nobody here has seen."""
    ann = solo.peer("ann", steps=80, examples=300, class_counts=(0, 300))
    far = solo.puppet("far", steps=70, examples=200, class_counts=(20, 180))
    solo.node.view.add_record(solo.record_of(far))
    head = ann.update(lineage={ann.me: 80, far.me: 70})
    serving = ann.update(lineage={ann.me: 80, far.me: 70}, role="serving")
    solo.offer(ann, head, proven_by=(far,))
    asked = one(solo.arrive(ann, head), Ask)
    solo.answer(asked, Offer(manifests=(serving.envelope,)), serving)
    solo.arrive(ann, serving)
    return head, serving


def test_an_island_is_merged_alone_by_what_each_side_has_learnt(solo: Solo) -> None:
    train(solo)
    (bob,) = neighbours(solo, "bob")
    near = next_head(solo, bob)
    solo.trained()
    head, serving = meet_island(solo)
    solo.bring(bob, near)

    merge = merge_of(cycle(solo))
    assert merge.rule == "concurrent"
    mine, theirs = merge.sides
    # The node and bob have 100 examples each, 50 of each class.
    assert mine == Side(None, 200, (100, 100))
    assert theirs == Side(head, 500, (20, 480), serving)
    assert merge.lineage == {**solo.node.gossip.lineage, **head.manifest.lineage}
    solo.merged(merge)
    solo.trained()
    assert updates_of(merge_of(cycle(solo))) == [None, near], "the neighbour's turn comes next"


def test_what_both_sides_have_learnt_weighs_for_neither(solo: Solo) -> None:
    train(solo)
    (bob,) = neighbours(solo, "bob")
    ann = solo.peer("ann", steps=80, examples=900)
    head = ann.update(lineage={bob.me: 100, ann.me: 80})
    solo.bring(ann, head, bob)
    merge = merge_of(cycle(solo))
    assert merge.rule == "concurrent"
    assert [side.examples for side in merge.sides] == [100, 900]


def test_an_island_waits_while_the_own_work_is_taken_up_again(solo: Solo) -> None:
    train(solo)
    (bob,) = neighbours(solo, "bob")
    island, serving = meet_island(solo)
    ahead = next_head(solo, bob)
    solo.bring(bob, ahead)
    merge = merge_of(cycle(solo))
    assert (merge.rule, updates_of(merge)) == ("adopt", [ahead])
    solo.merged(merge)
    solo.trained()
    merge = merge_of(cycle(solo))
    assert merge.rule == "concurrent"
    assert merge.sides[1].serving == serving
    assert merge.sides[1].update == island


def test_secret_class_counts_stay_secret(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann", class_counts=None)
    solo.bring(ann, ann.update())
    mine, theirs = merge_of(cycle(solo)).sides
    assert mine.class_counts == (50, 50)
    assert theirs.class_counts is None


# --- the gate, and other failures ----------------------------------------------------------------

GATE = LearningFailed("merge", "worse than a guess", gate=True)


def test_what_the_gate_refuses_is_set_aside_and_tried_again_after_more_training(
    solo: Solo,
) -> None:
    train(solo)
    ann = solo.peer("ann")
    update = ann.update()
    solo.bring(ann, update)
    merge_of(cycle(solo))
    out = solo.feed(GATE)
    assert one(out, Train), "training goes on without it"
    assert solo.node.gossip.gated == 1
    assert solo.node.gossip.last_failure is None
    solo.trained()
    assert not only(solo.offer(ann, update), Ask), "it is here, so it is a duplicate"
    for _ in range(RETRY_CYCLES - 1):
        train(solo)
    assert updates_of(merge_of(cycle(solo))) == [None, update]
    assert not solo.node.peers.table[ann.id].violations


def test_a_newer_head_is_tried_in_place_of_the_refused_one(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann", steps=20)
    old, new = ann.update(lineage={ann.me: 10}), ann.update(lineage={ann.me: 20})
    solo.bring(ann, old)
    merge_of(cycle(solo))
    solo.feed(GATE)
    solo.trained()
    for _ in range(RETRY_CYCLES - 1):
        train(solo)
    solo.bring(ann, new)
    assert updates_of(merge_of(cycle(solo))) == [None, new]
    assert not solo.node.gossip.holds(old.id)


def test_only_so_much_is_set_aside(solo: Solo) -> None:
    train(solo)
    solo.feed(SetPaused(True))
    ann = solo.peer("ann", steps=SET_ASIDE + 2)
    updates = [ann.update(lineage={ann.me: 1 + i}) for i in range(SET_ASIDE + 2)]
    for update in updates:
        solo.bring(ann, update)
        merge_of(cycle(solo))
        solo.feed(GATE)
    assert [solo.node.gossip.holds(u.id) for u in updates] == [False] * 2 + [True] * SET_ASIDE


@pytest.mark.parametrize("task", ["train", "merge"])
def test_after_a_failure_a_node_rests_a_while(solo: Solo, task: Any) -> None:
    train(solo)
    ann = solo.peer("ann")
    update = ann.update()
    if task == "merge":
        solo.bring(ann, update)
    cycle(solo)
    failed = solo.now
    solo.feed(LearningFailed(task, "no space left on device"))
    assert solo.timers[CYCLE_TIMER] >= failed + FAILURE_PAUSE
    assert solo.node.gossip.last_failure == f"{task}: no space left on device"
    assert solo.reports("learning-failed") == [
        {"task": task, "reason": "no space left on device", "gate": False}
    ]
    assert not solo.node.gossip.holds(update.id), "what failed may be fetched again"
    train(solo)
    assert solo.node.gossip.last_failure is None


# --- paused, or without data ---------------------------------------------------------------------


def test_a_paused_node_merges_and_does_not_train(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann")
    solo.feed(SetPaused(True))
    assert not only(cycle(solo), Train)
    update = ann.update()
    solo.bring(ann, update)
    merge = merge_of(cycle(solo))
    out = solo.merged(merge)
    assert not only(out, Train)
    assert one(out, SetTimer).key == CYCLE_TIMER
    assert solo.node.gossip.lineage == {solo.node.me: 10, ann.me: 10}


def test_whoever_resumes_trains_at_once(solo: Solo) -> None:
    solo.feed(SetPaused(True))
    cycle(solo)
    solo.now += 0.1
    assert one(solo.feed(SetPaused(False)), SetTimer) == SetTimer(CYCLE_TIMER, solo.now)
    assert one(cycle(solo), Train)
    # Resuming what goes on, or in the middle of work, starts nothing twice.
    assert solo.feed(SetPaused(False)) == []
    solo.feed(SetPaused(True))
    assert solo.feed(SetPaused(False)) == []


def test_training_that_was_under_way_when_paused_still_counts(solo: Solo) -> None:
    ann = solo.peer("ann")
    cycle(solo)
    solo.feed(SetPaused(True))
    offers = only(solo.trained(), Ask)
    assert [a.peer for a in offers] == [ann.id]
    assert not only(cycle(solo), Train)


def test_a_node_without_data_relays_what_others_learn() -> None:
    solo = Solo(settings=replace(SETTINGS, local_steps=0), examples=0, class_counts=None).start()
    ann, bob = solo.peer("ann"), solo.peer("bob")
    assert not only(cycle(solo), Train)
    first, second = ann.update(), bob.update()
    solo.bring(ann, first)
    solo.bring(bob, second)
    merge = merge_of(cycle(solo))
    assert (merge.rule, updates_of(merge)) == ("buffer", [first, second])
    out = solo.merged(merge)
    assert not only(out, Train)
    assert solo.node.gossip.lineage == {ann.me: 10, bob.me: 10}
    assert solo.node.me not in solo.node.gossip.lineage


# --- one's own name ------------------------------------------------------------------------------


def test_hearing_ones_own_merge_again_is_no_clone(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann")
    solo.feed(SetPaused(True))
    solo.bring(ann, ann.update())
    solo.merged(merge_of(cycle(solo)))
    own = solo.node.gossip.head
    assert own is not None
    assert own.author == solo.member.id
    solo.offer(ann, own)
    assert not solo.node.identity_in_use


@pytest.mark.parametrize("what", ["claim", "record", "manifest", "incarnation"])
def test_hearing_of_what_one_never_said_means_a_clone(solo: Solo, what: str) -> None:
    train(solo)
    ann = solo.peer("ann")
    twin = Solo(incarnation=2 if what == "incarnation" else 1).member
    twin.steps = 50
    twin.seq.value = 1000
    said: dict[str, list[Any]] = {
        "claim": [twin.documents.claim(50)],
        "record": [twin.documents.record((), 1, None)],
        "manifest": [twin.update(lineage={ann.me: 10})],
        "incarnation": [twin.documents.claim(1)],
    }
    documents = said[what]
    solo.ask(ann, Offer(), *documents)
    assert solo.node.identity_in_use
    assert solo.reports("identity-in-use") == [{"incarnation": twin.incarnation}]
    assert one(cycle(solo), Train), "learning goes on"
    assert not only(solo.trained(), Ask), "but nothing of it is published"
    solo.ask(ann, Offer(), *documents)
    assert len(solo.reports("identity-in-use")) == 1


def test_ones_own_words_coming_back_mean_nothing(solo: Solo) -> None:
    train(solo)
    ann = solo.peer("ann")
    old_life = Solo().member
    record = solo.node.view.record_of(solo.member.id)
    solo.ask(ann, Offer(), solo.member.documents.claim(10), record, old_life.documents.claim(3))
    assert not solo.node.identity_in_use


def test_standing_on_the_work_of_a_former_life_blinds_nobody_to_a_clone() -> None:
    solo = Solo(incarnation=2).start()
    former, twin = Solo().member, Solo(incarnation=2).member
    former.seq.value, twin.seq.value = 1_000_000, 1000
    former.steps = 10
    ann = solo.peer("ann")
    solo.bring(ann, former.update(), former)
    solo.merged(merge_of(cycle(solo)))
    assert not solo.node.identity_in_use
    solo.ask(ann, Offer(), twin.documents.record((), 1, None))
    assert solo.node.identity_in_use


def test_a_report_tells_what_happened(solo: Solo) -> None:
    train(solo)
    assert solo.reports("trained") == [{"steps": 10, "loss": 1.0}]
    head = solo.node.gossip.head
    assert head is not None
    solo.feed(Merged(head))
    assert solo.reports("merged") == [{"models": 0, "head": head.manifest.model.hex()}]
    again = solo.member.update(lineage={solo.node.me: 20}, steps=20, model=digest(b"again"))
    solo.feed(Trained(again, solo.member.documents.claim(20), 0.5))
    assert solo.node.gossip.loss == 0.5
