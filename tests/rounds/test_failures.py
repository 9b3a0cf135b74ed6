"""What fails inside a node, or on the way to it, costs its own part of a round and no more."""

from dataclasses import replace

from gossipd.protocol import events
from gossipd.protocol.round_events import Adopt, Aggregate, RoundWorkFailed
from gossipd.protocol.trainer import Phase
from gossipd.wire.messages import Update
from support.rounds_world import ROUNDS, RoundMember, RoundWorld


def going(count: int = 5, seed: int = 1) -> tuple[RoundWorld, list[RoundMember]]:
    world = RoundWorld(seed)
    members = world.swarm(count)
    world.run_until(lambda: members[0].proven >= 3, 20.0)
    return world, members


def goes_on(world: RoundWorld, members: list[RoundMember], rounds: int = 4) -> None:
    before = max(m.proven for m in members)
    world.run_until(lambda: max(m.proven for m in members) >= before + rounds, 60.0)


def reasons(member: RoundMember) -> set[str]:
    return {fields["reason"] for fields in member.reported("round-declined")}


def test_a_trainer_that_cannot_get_the_model_declines() -> None:
    world, members = going()
    members[0].unreachable = True
    goes_on(world, members)
    assert reasons(members[0]) == {"no-model"}


def test_an_aggregator_that_cannot_get_a_trained_model_goes_on_without() -> None:
    world, members = going(3)
    world.run_until(lambda: any(m.rounds.aggregator.is_busy for m in members), 10.0)
    for member in members:
        member.unreachable = True
    world.run(0.2)
    for member in members:
        member.unreachable = False
    goes_on(world, members)


def test_a_trainer_whose_disk_is_full_declines_and_says_why() -> None:
    world, members = going()
    broken = members[0]
    broken.failing_work = "storage: no space left on device"
    goes_on(world, members[1:])
    assert reasons(broken) <= {"training"}
    assert broken.rounds.last_failure == "adopt: storage: no space left on device"
    broken.failing_work = None
    goes_on(world, members)
    assert broken.rounds.last_failure is None


def test_an_aggregator_that_has_forgotten_is_told_again() -> None:
    world, members = going()
    world.run_until(
        lambda: (
            any(m.rounds.aggregator._open for m in members)
            and any(m.rounds.trainer.phase is Phase.WAITING for m in members)
        ),
        10.0,
    )
    for member in members:
        member.rounds.aggregator._open.clear()
    goes_on(world, members)


def test_when_its_gate_refuses_every_average_the_swarm_goes_on_from_the_base() -> None:
    world, members = going(3)
    for member in members:
        member.refuses_gate = True
    world.run(15.0)
    assert all(m.rounds.gated > 0 for m in members)
    for member in members:
        member.refuses_gate = False
    goes_on(world, members)


def test_a_refused_offer_leaves_the_rest_of_the_round() -> None:
    """Once without the island's base, when the whole is refused."""
    world, members = going(4)
    left, right = members[:2], members[2:]
    world.split(left, right)
    world.run(10.0)
    plans = [len(m.aggregates) for m in members]
    refused: list[str] = []

    def pick(member: RoundMember, output: Aggregate) -> None:
        if output.offered and output.groups:
            refused.append(member.name)
            failed = RoundWorkFailed(output.ticket, "refused", gate=True)
            world.at(0.05, lambda: member.feed(failed))
        else:
            original(member, output)

    original = world._on_Aggregate
    world._on_Aggregate = pick  # type: ignore[method-assign]
    world.heal()
    world.run(70.0)
    goes_on(world, members)
    assert [len(m.aggregates) for m in members] != plans


def test_who_exchanges_nothing_trains_alone_and_gives_nothing() -> None:
    world, members = going(3)
    loner = world.add("loner", rounds=replace(ROUNDS, exchange=False))
    loner.start()
    loner.knows(*members)
    world.run(10.0)
    assert set(loner.lineage) == {loner.me}
    assert loner.lineage[loner.me] > 100
    assert all(loner.me not in m.lineage for m in members)
    goes_on(world, members)


def test_a_node_with_a_twin_no_longer_takes_part() -> None:
    world, members = going(4)
    twin = world.restart("n0")
    twin.seq.value += 5000
    record = twin.documents.record((twin.address,), 100, (50, 50))
    victim = members[1]
    copy = RoundMember(world, "n1")
    copy.seq.value = victim.seq.value + 5000
    forged = copy.documents.record((victim.address,), 100, (50, 50))
    victim.feed(events.RecordChanged(victim.documents.record((), 100, (50, 50))))
    assert record.author == twin.id
    for document in (forged,):
        victim.node._take(members[2].id, (document,), world.now, [])
    assert victim.node.identity_in_use
    steps = victim.steps
    world.run(5.0)
    assert victim.steps <= steps + ROUNDS.local_steps
    goes_on(world, members[2:])


def test_what_a_node_says_of_its_rounds() -> None:
    world, members = going()
    rounds = members[0].rounds
    assert {m.rounds.role for m in members} <= {"idle", "trainer", "aggregator"}
    assert rounds.round in (rounds.clock.proven, rounds.clock.next)
    assert set(rounds.sample) <= {m.id for m in members}
    assert rounds.cycles > 0
    assert rounds.loss == 1.0
    assert rounds.adopted > 0
    assert sum(m.rounds.merged for m in members) > 0
    assert rounds.gated == 0
    assert rounds.last_failure is None
    world.run_until(lambda: bool(rounds.trainer.aggregators), 10.0)


def test_messages_of_the_other_mode_are_answered_in_words() -> None:
    world, members = going(2)
    from gossipd.wire.messages import Offer

    world.say(members[0], members[1], Offer())
    goes_on(world, members)


def test_what_the_few_have_made_is_no_good_for_the_many_until_they_train_on_it() -> None:
    """Three of five were away. Would they leave it at what their gates say, no round were proven
    any more, two of five being too few, and what the two make would move away from them for ever.
    """
    world, members = going(5)
    few, many = members[:2], members[2:]
    for member in many:
        member.feed(events.SetPaused(True))
    before = {m.me: max(other.lineage[m.me] for other in members) for m in members}

    def is_theirs_alone(base: Update) -> bool:
        lineage = base.manifest.lineage
        taught = any(lineage.get(m.me, 0) > before[m.me] for m in many)
        return not taught and any(lineage.get(m.me, 0) > before[m.me] for m in few)

    def adopt(member: RoundMember, output: Adopt) -> None:
        if member in many and output.base is not None and is_theirs_alone(output.base):
            failed = RoundWorkFailed(output.ticket, "refused", gate=True)
            world.at(0.01, lambda: member.feed(failed))
        else:
            original(member, output)

    original = world._on_Adopt
    world._on_Adopt = adopt  # type: ignore[method-assign]
    goes_on(world, few)
    for member in many:
        member.feed(events.SetPaused(False))
    goes_on(world, members)
    assert all(m.rounds.gated > 0 for m in many)
    world.run_until(lambda: len({m.model for m in members}) == 1, 20.0)
