"""Islands that meet while both have rounds going on, told in virtual time."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest
import torch

from gossipd.config import Config
from gossipd.learning.digits import Digits
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples
from gossipd.protocol.bases import Bases
from gossipd.protocol.events import Output
from gossipd.protocol.gossip import ISLAND_SHARE
from gossipd.protocol.islands import RUMOUR_PEERS
from gossipd.protocol.lineage import Lineage
from gossipd.protocol.plan import Planner, news
from gossipd.protocol.round_events import Aggregate, Blended, RoundAggregated
from gossipd.protocol.tasks import Delivery
from gossipd.protocol.view import SwarmView
from gossipd.protocol.work import Work
from gossipd.simulation.world import Simulation
from gossipd.wire.clicks import item_of_peer
from gossipd.wire.messages import Offer, Update
from support.rounds_world import RoundMember, RoundWorld
from support.simulated import options
from support.solo import Solo

LOW, HIGH = (50, 50, 0, 0), (0, 0, 50, 50)


def island(
    world: RoundWorld, letter: str, count: int, labels: tuple[int, ...]
) -> list[RoundMember]:
    """Started members that all know each other and nobody else."""
    members = [world.add(f"{letter}{i}", class_counts=labels) for i in range(count)]
    for member in members:
        member.training_seconds = 0.5
        member.start()
    for member in members:
        member.knows(*(m for m in members if m is not member))
    return members


def two_islands(
    world: RoundWorld, left: int = 6, right: int = 4
) -> tuple[list[RoundMember], list[RoundMember]]:
    """Both have had rounds of their own; one of the first is told of one of the second."""
    first, second = island(world, "l", left, LOW), island(world, "r", right, HIGH)
    world.run(7.0)
    first[0].knows(second[0])
    return first, second


def authors(update: Update | None) -> set[bytes]:
    return set() if update is None else set(update.manifest.lineage)


def knows_both(member: RoundMember, *islands: list[RoundMember]) -> bool:
    serving = authors(member.rounds.bases.serving)
    return all(serving & {m.me for m in members} for members in islands)


# --- what becomes known, and how fast -------------------------------------------------------------


def test_everybody_predicts_with_both_islands_before_the_rounds_have_mixed() -> None:
    world = RoundWorld(2)
    left, right = two_islands(world)
    met = world.now
    world.run_until(lambda: all(knows_both(m, left, right) for m in (*left, *right)), 10.0)
    assert world.now - met < 2.0
    assert sum(len(m.blends) for m in (*left, *right)) >= len(left)


def test_the_other_islands_base_enters_a_round_once_and_in_full() -> None:
    world = RoundWorld(2)
    left, right = two_islands(world)
    before = {id(plan) for m in (*left, *right) for plan in m.aggregates}
    world.run(7.0)
    plans = [p for m in (*left, *right) for p in m.aggregates if id(p) not in before]
    merges = [p for p in plans if any(o.serving is not None for o in p.offered)]
    assert merges
    first = min(merges, key=lambda plan: plan.round)
    assert {m.me for m in (*left, *right)} <= set(first.lineage)
    (guest,) = (o for o in first.offered if o.serving is not None)
    assert guest.fresh == pytest.approx(1.0)
    assert guest.class_counts is not None
    assert guest.class_counts[0] == 0 or guest.class_counts[3] == 0
    # Each island's aggregator may merge the other's. Whatever comes after them has met it already:
    # at most what one round has trained.
    later = [p for p in plans if p.round > first.round + 1]
    assert later
    assert all(o.fresh < ISLAND_SHARE for plan in later for o in plan.offered)


def test_both_islands_go_on_by_one_clock() -> None:
    world = RoundWorld(2)
    left, right = two_islands(world)
    world.run(8.0)
    proven = [m.proven for m in (*left, *right)]
    assert max(proven) - min(proven) <= 3
    trained = [m for m in (*left, *right) if len(m.rounds.sample) > 0]
    samples = [set(m.rounds.sample) for m in trained]
    assert any(s & {m.id for m in left} and s & {m.id for m in right} for s in samples)


def test_a_rumour_of_an_island_is_passed_on_by_each_to_a_few() -> None:
    world = RoundWorld(2)
    left, right = two_islands(world, 9, 5)
    world.run(8.0)
    told = world.asked["Offer"]
    assert 0 < told <= 2 * RUMOUR_PEERS * len((*left, *right))


def test_a_lone_newcomer_disturbs_nobody_and_is_merged_all_the_same() -> None:
    world = RoundWorld(3)
    members = island(world, "l", 10, LOW)
    (lone,) = island(world, "r", 1, HIGH)
    lone.examples = 90
    world.run(5.0)
    learnt = lone.lineage[lone.me]
    assert learnt
    lone.knows(members[0])
    world.run_until(lambda: sum(lone.me in m.lineage for m in members) >= 3, 60.0)
    assert not any(m.blends for m in members)
    assert all(m.lineage[lone.me] >= learnt for m in members if lone.me in m.lineage)


def test_islands_that_rest_merge_when_they_meet() -> None:
    world = RoundWorld(2)
    first, second = island(world, "l", 3, LOW), island(world, "r", 3, HIGH)
    world.run(7.0)
    for member in (*first, *second):
        member.rounds.set_paused(True, world.now, [])
    world.run(20.0)
    first[0].knows(second[0])
    world.run_until(lambda: len({m.model for m in (*first, *second)}) == 1, 60.0)
    assert {m.me for m in (*first, *second)} <= set(first[1].lineage)


def test_a_made_up_island_is_neither_fetched_nor_passed_on() -> None:
    world = RoundWorld(1)
    villain, victim, *others = island(world, "l", 4, LOW)
    world.run(6.0)
    ghosts = {world.add(f"ghost{i}").me: 1000 for i in range(8)}
    base = villain.update(role="base", lineage=ghosts, round=5, steps=0)
    told = world.asked["Offer"]
    world.say(villain, victim, Offer(manifests=(base.envelope,)))
    world.run(3.0)
    assert victim.node.peers.table[villain.id].refused["unproven-lineage"] == 1
    assert base.id not in victim.updates
    assert victim.rounds.islands.guests == []
    assert world.asked["Offer"] <= told + 1
    assert not any(m.blends for m in (victim, *others))


# --- what a side weighs ---------------------------------------------------------------------------


def seen(world: RoundWorld) -> tuple[SwarmView, list[RoundMember]]:
    """A view with the records and claims of four, two of each kind."""
    members = [*island(world, "l", 2, LOW), *island(world, "r", 2, HIGH)]
    view = SwarmView()
    for member in members:
        member.steps = 100
        record = member.documents.record((member.address,), member.examples, member.class_counts)
        view.add_record(record)
        view.add_claim(member.documents.claim(100))
    return view, members


def test_what_is_new_counts_by_its_share_and_the_rest_is_shared() -> None:
    view, (ann, bob, eve, dan) = seen(RoundWorld())
    theirs: Lineage = {ann.me: 100, eve.me: 100, dan.me: 50}
    own: Lineage = {ann.me: 100, bob.me: 70, eve.me: 80}
    found = news(view, theirs, own)
    assert found.examples == 20 + 100
    assert found.class_counts == (0, 0, 60, 60)
    assert found.fresh == pytest.approx(120 / 200)
    assert found.shared == (50, 50, 40, 40)
    apart = news(view, {eve.me: 10}, {ann.me: 5})
    assert (apart.examples, apart.fresh) == (100, 1.0)


def planned(
    view: SwarmView,
    members: list[RoundMember],
    guest: tuple[Update, Update | None],
    chain: Update,
) -> Update | None:
    """The serving model with which a guest enters the round of a trainer of the first two."""
    trainer = members[0]
    sample = trainer.documents.sample(5, (trainer.id,), b"m" * 32)
    head = trainer.update(lineage={m.me: 90 for m in members[:2]}, base=b"m" * 32, round=6)
    planner = Planner(view, lambda: (None, chain), lambda: [guest], lambda update: True)
    plan = planner.plan([Delivery(6, sample, head)], chain)
    (offered,) = plan.offered
    assert offered.base == guest[0]
    return offered.serving


def test_a_serving_model_made_after_the_meeting_does_not_count_the_chain_twice() -> None:
    view, members = seen(RoundWorld())
    low, high = members[:2], members[2:]
    chain = low[0].update(role="serving", lineage={m.me: 80 for m in low})
    base = high[0].update(role="base", lineage={m.me: 90 for m in high})
    own = high[0].update(role="serving", lineage={m.me: 80 for m in high})
    mixed = high[1].update(role="serving", lineage={m.me: 80 for m in members})
    assert planned(view, members, (base, own), chain) == own
    assert planned(view, members, (base, mixed), chain) == base
    assert planned(view, members, (base, None), chain) == base
    blended = low[1].update(role="serving", lineage={m.me: 90 for m in members})
    assert planned(view, members, (base, own), blended) is None


def test_of_two_concurrent_serving_models_the_one_that_has_learnt_more_stays() -> None:
    view, (ann, bob, eve, _) = seen(RoundWorld())
    bases = Bases(view, Work(), lambda authors, gain, now: None)
    newer = ann.update(role="serving", round=9, lineage={ann.me: 100, bob.me: 80})
    wider = ann.update(role="serving", round=5, lineage={ann.me: 90, bob.me: 90, eve.me: 90})
    apart = eve.update(role="serving", round=9, lineage={eve.me: 90})
    for own, other, better in ((newer, wider, True), (wider, newer, False), (newer, apart, False)):
        bases.serving = own
        assert bases.is_fresher(other) is better
    assert bases.is_foreign(apart)


@pytest.mark.parametrize(("gain", "clicked"), [(0.2, True), (-0.2, False), (None, False)])
def test_a_merge_or_blend_that_lowered_the_loss_is_a_click_for_whose_model_was_in_it(
    gain: float | None, clicked: bool
) -> None:
    view, (ann, bob, eve, dan) = seen(RoundWorld())
    work, node = Work(), Solo(click_seconds=1.0).start().node
    bases = Bases(view, work, node.clicks.merged)
    here, there = {m.me: 90 for m in (ann, bob)}, {m.me: 90 for m in (eve, dan)}
    bases.serving = ann.update(role="serving", lineage=here)
    bases.base = ann.update(role="base", lineage=here)
    made = bob.update(role="serving", lineage=here | there)
    out: list[Output] = []
    bases.blend(eve.update(role="serving", lineage=there), 3, 0.0, out)
    work.ended(Blended(1, made, gain), 0.0, out)
    bases.merge(dan.update(role="base", lineage=there), None, 3, 0.0, out)
    merge = next(output for output in out if isinstance(output, Aggregate))
    work.ended(RoundAggregated(merge.ticket, made, made, gain), 0.0, out)
    chosen = {one.item for one in node.clicks.ranking.rank("label/0")}
    chosen |= {one.item for one in node.clicks.ranking.rank("label/1")}
    voted = {peer for peer in (eve.id, dan.id) if item_of_peer(peer) in chosen}
    assert voted == ({eve.id, dan.id} if clicked else set())


# --- real learning --------------------------------------------------------------------------------


class Half(Digits):
    """Digits of some classes, a part of them."""

    def __init__(self, classes: tuple[int, ...], part: int, parts: int) -> None:
        super().__init__()
        self._mine = classes, part, parts

    def train_data(self, shard: Shard) -> Examples:
        classes, part, parts = self._mine
        inputs, labels = super().train_data(shard)
        rows = np.flatnonzero(np.isin(labels.numpy(), classes))[part::parts]
        return inputs[rows], labels[torch.from_numpy(rows)]


def test_a_few_rounds_after_they_met_people_of_both_islands_predict_with_all_classes() -> None:
    shipped = options(Config(mode="rounds")).rounds
    assert shipped is not None
    settings = options(rounds=replace(shipped, round_seconds=1.0, local_steps=13))
    with Simulation(3) as sim:
        islands = {"l": tuple(range(5)), "r": tuple(range(5, 10))}
        for letter, classes in islands.items():
            names = [f"{letter}{i}" for i in range(3)]
            for place, name in enumerate(names):
                learner = TorchLearner(Half(classes, place, 3), Shard(), lr=0.1, seed=place)
                sim.add(name, learner, settings)
            sim.introduce(*names)
        sim.start(*sim.nodes)
        sim.run(12.0)
        alone = max(sim.accuracies().values())
        sim.tell("l0", "r0")
        sim.run(5.5)  # five rounds: wherever in a round they met, and whichever two of them
        together = median(sim.accuracies().values())
    assert alone < 0.55
    assert together > 0.65
