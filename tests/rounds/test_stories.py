"""Sampled rounds, told as stories in virtual time."""

from dataclasses import replace

import pytest

from gossipd.protocol.events import SetPaused
from gossipd.protocol.lineage import join
from gossipd.protocol.round_events import Leaving
from gossipd.protocol.trainer import Phase
from support.rounds_world import ROUNDS, RoundMember, RoundWorld


def top(members: list[RoundMember]) -> int:
    return max(member.proven for member in members)


def go_on(world: RoundWorld, members: list[RoundMember], rounds: int, seconds: float) -> float:
    """Until somebody can prove so many rounds more; the seconds that it took."""
    began, goal = world.now, top(members) + rounds
    world.run_until(lambda: top(members) >= goal, seconds)
    return world.now - began


def collecting(members: list[RoundMember]) -> list[RoundMember]:
    return [m for m in members if m.rounds.aggregator.is_busy]


# --- swarms of any size ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 20])
def test_a_swarm_of_any_size_makes_progress(count: int) -> None:
    world = RoundWorld(count)
    members = world.swarm(count)
    go_on(world, members, 10, 15.0)
    sizes = {len(m.rounds.sample) for m in members if m.rounds.sample}
    assert sizes <= {min(count, ROUNDS.sample)}
    assert sum(len(m.reported("round-opened")) for m in members) == 1
    assert not any(m.node.peers.refused for m in members)


def test_a_lone_node_trains_on_without_counting() -> None:
    world = RoundWorld()
    (solo,) = world.swarm(1)
    world.run(20.0)
    assert solo.proven == 0
    assert solo.lineage[solo.me] > 50 * ROUNDS.local_steps
    assert solo.rounds.round == 1


def test_lone_nodes_that_meet_keep_what_each_has_learnt() -> None:
    world = RoundWorld()
    members = [world.add(name) for name in ("ann", "bob", "eve")]
    for member in members:
        member.start()
    world.run(10.0)
    learnt = join(*(m.lineage for m in members))
    assert len(learnt) == 3
    for member in members:
        member.knows(*(m for m in members if m is not member))
    go_on(world, members, 3, 20.0)
    world.run(5.0)
    for member in members:
        assert all(member.lineage[author] >= steps for author, steps in learnt.items())


def test_a_node_without_data_is_never_sampled_but_predicts() -> None:
    world = RoundWorld()
    members = world.swarm(4)
    relay = world.add("relay", rounds=replace(ROUNDS, local_steps=0), examples=0)
    relay.start()
    relay.knows(*members)
    go_on(world, members, 10, 20.0)
    world.run(3.0)
    assert relay.rounds.bases.serving is not None
    assert relay.steps == 0
    assert all(relay.id not in m.rounds.sample for m in members)


def test_a_paused_node_is_skipped_and_not_suspected() -> None:
    world = RoundWorld()
    members = world.swarm(6)
    go_on(world, members, 3, 10.0)
    resting = members[0]
    resting.feed(SetPaused(True))
    world.run(2.0)
    steps = resting.steps
    go_on(world, members[1:], 10, 20.0)
    assert resting.steps == steps
    assert not any(m.rounds.activity.is_suspect(resting.id) for m in members[1:])
    resting.feed(SetPaused(False))
    world.run_until(lambda: resting.steps > steps, 20.0)


def test_all_train_in_turn() -> None:
    world = RoundWorld()
    members = world.swarm(12)
    go_on(world, members, 40, 60.0)
    assert all(m.steps > 0 for m in members)


# --- what dies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_dead_aggregator_loses_nothing(seed: int, silently: bool) -> None:
    world = RoundWorld(seed)
    members = world.swarm(10)
    go_on(world, members, 5, 20.0)
    world.run_until(lambda: bool(collecting(members)), 10.0)
    dead = collecting(members)
    live = [m for m in members if m not in dead]
    for member in dead:
        if silently:
            world.silent.add(member.id)
        else:
            world.stop(member)
    median = live[0].rounds.pace.median_round
    assert median is not None
    assert go_on(world, live, 1, 20.0) <= 3.0 * median + 2.0


@pytest.mark.parametrize("silently", [False, True])
def test_a_whole_sample_may_die_in_mid_round(silently: bool) -> None:
    world = RoundWorld(1)
    members = world.swarm(20)
    go_on(world, members, 10, 20.0)
    world.run_until(lambda: any(m.rounds.trainer.phase is Phase.TRAINING for m in members), 5.0)
    training = next(m for m in members if m.rounds.trainer.phase is Phase.TRAINING)
    sample = training.rounds.sample
    live = [m for m in members if m.id not in sample]
    for member in members:
        if member.id in sample:
            if silently:
                world.silent.add(member.id)
            else:
                world.stop(member)
    assert go_on(world, live, 1, 20.0) < 6.0
    go_on(world, live, 5, 20.0)


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_of_five_die_and_the_rest_go_on(seed: int, silently: bool) -> None:
    """See benchmarks.blackout for a hundred nodes and links of all kinds."""
    world = RoundWorld(seed)
    members = world.swarm(30)
    go_on(world, members, 10, 30.0)
    world.run_until(lambda: any(m.rounds.trainer.phase is Phase.TRAINING for m in members), 5.0)
    median, ping = members[-1].rounds.pace.median_round, members[-1].rounds.pace.ping_seconds
    assert median is not None
    for member in members[:24]:
        if silently:
            world.silent.add(member.id)
        else:
            world.stop(member)
    assert go_on(world, members[24:], 1, 20.0) <= 3.0 * (ping + median) + 1.0
    go_on(world, members[24:], 10, 30.0)


def test_a_crowd_that_returns_at_once_stops_nobody() -> None:
    world = RoundWorld(1)
    members = world.swarm(30, rounds=replace(ROUNDS, activity_window=8))
    go_on(world, members, 5, 20.0)
    for member in members[5:]:
        world.stop(member)
    go_on(world, members[:5], 12, 40.0)
    order = members[0].rounds.activity.order(members[0].rounds.clock.next)
    assert len(order) < 30, "who is away for long is no candidate any more"
    back = [world.restart(f"n{number}") for number in range(5, 30)]
    began = top(members[:5])
    everybody = {m.id for m in world.members.values()}

    def in_the_order() -> bool:
        orders = (set(m.rounds.activity.order(m.rounds.clock.next)) for m in collecting(back))
        return any(everybody <= order for order in orders)

    world.run_until(in_the_order, 60.0)
    assert top(members[:5]) - began <= 10, "whoever aggregates knows all again within ten rounds"
    go_on(world, members[:5], 5, 20.0)


def test_a_model_whose_sender_fell_silent_is_not_waited_for() -> None:
    """The transport's patience is longer than a round's."""
    world = RoundWorld(2)
    members = world.swarm(8)
    go_on(world, members, 5, 20.0)
    world.run_until(lambda: any(m.rounds.trainer.phase is Phase.PREPARING for m in members), 10.0)
    waiting = next(m for m in members if m.rounds.trainer.phase is Phase.PREPARING)
    task = waiting.rounds.trainer.task
    assert task is not None
    world.silent.add(task.sender)
    live = [m for m in members if m.id != task.sender]
    assert go_on(world, live, 1, 20.0) < 4.0


def test_a_stray_trainer_hands_its_work_to_the_first_aggregator_that_asks() -> None:
    world = RoundWorld(1)
    members = world.swarm(6)
    go_on(world, members, 3, 20.0)
    world.run_until(lambda: any(m.rounds.trainer.phase is Phase.WAITING for m in members), 10.0)
    stray = next(m for m in members if m.rounds.trainer.phase is Phase.WAITING)
    trainer = stray.rounds.trainer
    task, search = trainer.task, trainer._search
    assert task is not None
    assert search is not None
    order = stray.rounds.activity.sort([m.id for m in members], task.round + 1)
    search.targets = {order[-1]: next(iter(search.targets.values()))}
    assert trainer.reports_to(order[0], task.sample.id, world.now, [])
    assert trainer.aggregators == (order[0],)
    assert trainer.reports_to(order[-1], task.sample.id, world.now, [])
    assert trainer.aggregators == (order[0],), "not back to a later one"


def test_the_dead_return_into_the_order() -> None:
    world = RoundWorld(1)
    members = world.swarm(10, rounds=replace(ROUNDS, activity_window=8))
    go_on(world, members, 5, 20.0)
    for member in members[:3]:
        world.stop(member)
    go_on(world, members[3:], 12, 40.0)
    back = [world.restart(f"n{i}") for i in range(3)]
    world.run_until(lambda: all(len(m.node.peers.admitted()) == 9 for m in back), 70.0)
    go_on(world, members[3:], 10, 40.0)
    world.run(3.0)
    for member in members[3:]:
        order = member.rounds.activity.order(member.rounds.clock.next)
        assert {m.id for m in back} <= set(order)
    proven = min(m.proven for m in members[3:])
    assert all(m.proven >= proven - 5 for m in back), "they know which round it is"


def test_three_aggregators_make_one_model_though_two_die() -> None:
    world = RoundWorld(1)
    members = world.swarm(12, rounds=replace(ROUNDS, aggregators=3))
    go_on(world, members, 5, 20.0)
    world.run_until(lambda: len(collecting(members)) >= 3, 10.0)
    dead = collecting(members)[:2]
    for member in dead:
        world.stop(member)
    live = [m for m in members if m not in dead]
    assert go_on(world, live, 1, 20.0) < 3.0
    go_on(world, live, 5, 20.0)


def test_who_leaves_is_no_candidate_any_more() -> None:
    world = RoundWorld(1)
    members = world.swarm(8)
    go_on(world, members, 3, 20.0)
    leaver = members[0]
    record = leaver.documents.record((), 100, (50, 50), event="leave")
    leaver.feed(Leaving(record))
    world.run(0.5)
    world.stop(leaver)
    go_on(world, members[1:], 8, 30.0)
    for member in members[1:]:
        assert leaver.id not in member.rounds.activity.order(member.rounds.clock.next)
    # With its next record it is back.
    back = world.restart("n0")
    go_on(world, members[1:], 12, 90.0)
    assert all(back.id in m.rounds.activity.order(m.rounds.clock.next) for m in members[1:])


# --- slow ones, refusals --------------------------------------------------------------------------


def test_a_slow_trainer_is_waited_for_while_it_trains() -> None:
    world = RoundWorld(1)
    members = world.swarm(5)
    go_on(world, members, 3, 20.0)
    members[0].training_seconds = 1.5
    go_on(world, members, 4, 60.0)
    last = next(m for m in members if m.aggregates).aggregates[-1]
    assert sum(len(group.heads) for group in last.groups) == 5


def test_after_the_first_time_out_half_of_a_sample_is_enough() -> None:
    world = RoundWorld(1)
    members = world.swarm(5)
    go_on(world, members, 3, 20.0)
    members[0].training_seconds = members[1].training_seconds = 10_000.0
    go_on(world, members, 2, 60.0)
    assert not world.silent


def test_a_trainer_whose_gate_refuses_the_model_trains_on_it_and_does_not_stand_on_it() -> None:
    world = RoundWorld(1)
    members = world.swarm(5)
    go_on(world, members, 3, 20.0)
    wary = members[0]
    wary.refuses_gate = True
    stands_on, steps = wary.model, wary.steps
    go_on(world, members[1:], 6, 60.0)
    assert wary.rounds.gated > 0
    assert wary.model == stands_on
    assert wary.steps > steps + ROUNDS.local_steps
    assert all(m.lineage[wary.me] > steps for m in members[1:])


def test_work_that_missed_its_round_is_never_claimed() -> None:
    world = RoundWorld(1)
    members = world.swarm(6)
    go_on(world, members, 3, 20.0)
    slow = members[0]
    slow.training_seconds = 30.0
    world.run(40.0)
    claimed = slow.node.view.steps_of(slow.me)
    assert claimed <= slow.steps
    assert all(m.node.view.steps_of(slow.me) <= claimed for m in members)


# --- islands --------------------------------------------------------------------------------------


def test_islands_that_meet_agree_on_the_round_and_lose_nothing() -> None:
    world = RoundWorld(3)
    members = world.swarm(12)
    go_on(world, members, 5, 20.0)
    left, right = members[:8], members[8:]
    world.split(left, right)
    world.run(20.0)
    assert top(left) > 20
    assert top(right) > 20
    learnt = join(*(m.lineage for m in members))
    numbers = top(left), top(right)
    world.heal()
    world.run_until(lambda: min(m.proven for m in members) >= max(numbers), 90.0)
    go_on(world, members, 5, 20.0)
    world.run_until(
        lambda: any(
            all(m.lineage.get(a, 0) >= steps for a, steps in learnt.items()) for m in members
        ),
        20.0,
    )
    for member in members:
        member.feed(SetPaused(True))
    world.run_until(
        lambda: len({(m.model, m.proven) for m in members}) == 1,
        60.0,
    )
    assert all(members[0].lineage[a] >= steps for a, steps in learnt.items())


def test_an_islands_base_enters_a_round_once_with_its_serving_model() -> None:
    world = RoundWorld(2)
    members = world.swarm(10)
    go_on(world, members, 5, 20.0)
    left, right = members[:5], members[5:]
    world.split(left, right)
    world.run(15.0)
    world.heal()
    world.run_until(lambda: all(len(m.node.peers.admitted()) == 9 for m in members), 90.0)
    world.run(10.0)
    merged = [a for m in members for a in m.aggregates if a.offered]
    assert merged
    for plan in merged:
        models = [o.base.manifest.model for o in plan.offered]
        assert len(models) == len(set(models))
    assert any(o.serving is not None for plan in merged for o in plan.offered)
