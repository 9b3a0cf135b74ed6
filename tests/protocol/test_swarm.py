"""Several nodes and what happens to them: stories in virtual time, each determined by its seed.

A failing case names its seed in its test id; the same id runs it again.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gossipd.protocol import events
from gossipd.protocol.events import SetPaused
from gossipd.protocol.lineage import Lineage
from gossipd.wire import limits
from gossipd.wire.messages import Have, Offer
from support.solo import only
from support.stories import eventful, fingerprint
from support.world import ANTI_ENTROPY_SECONDS, SETTINGS, Member, World, agree

SEEDS = range(5)
TWENTY_EXCHANGES = 20 * ANTI_ENTROPY_SECONDS


def pause(*members: Member, paused: bool = True) -> None:
    for member in members:
        member.feed(SetPaused(paused))


def covers(member: Member, *others: Member) -> bool:
    return covers_all(member.lineage, others)


def covers_all(lineage: Lineage, authors: Sequence[Member]) -> bool:
    return all(author.me in lineage for author in authors)


def come_to_rest(world: World, *members: Member) -> None:
    """Training is paused; after twenty exchanges everybody must stand on one model."""
    pause(*members)
    world.run(TWENTY_EXCHANGES)
    assert agree(members), f"{world}: {[dict(m.lineage) for m in members]}"
    for member in members:
        counted = sum(
            isinstance(o.message, Have) and o.message.role == "head"
            for o in only(member.outputs, events.Ask)
        )
        assert counted > 0


# --- meeting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_five_nodes_meet_and_learn_from_each_other(seed: int) -> None:
    world = World(seed)
    members = world.swarm(5)
    world.run_until(lambda: all(covers(m, *members) for m in members), 60.0)
    world.run_until(lambda: all(len(m.node.peers.admitted()) == 4 for m in members), 60.0)
    world.run(30.0)
    for member in members:
        assert member.node.peers.refused == {}
        assert member.node.gossip.merged + member.node.gossip.adopted > 0
        newest = {m.me: m.steps for m in members}
        behind = {a: newest[a] - steps for a, steps in member.lineage.items()}
        assert all(steps <= 100 for steps in behind.values()), "about ten cycles at most"


@pytest.mark.parametrize("seed", SEEDS)
def test_with_training_paused_all_end_on_one_model(seed: int) -> None:
    world = World(seed)
    members = world.swarm(5)
    world.run(20.0)
    come_to_rest(world, *members)
    assert set(members[0].lineage) == {m.me for m in members}
    # Who agrees has nothing more to fetch or merge.
    merges = [len(m.merges) for m in members]
    world.run(30.0)
    assert [len(m.merges) for m in members] == merges


@pytest.mark.parametrize("seed", SEEDS)
def test_whom_only_one_knows_all_find(seed: int) -> None:
    world = World(seed)
    members = world.swarm(4)
    hermit = world.add("hermit")
    hermit.start()
    world.run(5.0)
    members[2].knows(hermit)
    world.run_until(lambda: len(hermit.node.peers.admitted()) == 4, 60.0)
    world.run_until(lambda: all(covers(m, hermit, *members) for m in (hermit, *members)), 60.0)
    for member in members:
        assert member.remembered[hermit.id] == (hermit.address,)


def test_a_chain_of_acquaintances_becomes_a_swarm() -> None:
    world = World(7)
    members = [world.add(f"n{i}") for i in range(6)]
    for member in members:
        member.start()
    for one_, next_ in pairwise(members):
        one_.knows(next_)
    world.run_until(lambda: all(len(m.node.peers.admitted()) == 5 for m in members), 120.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_latecomer_adopts_what_the_others_have_learnt(seed: int) -> None:
    world = World(seed)
    members = world.swarm(3)
    world.run(30.0)
    pause(*members)
    world.run(TWENTY_EXCHANGES)
    late = world.add("late", settings=replace(SETTINGS, local_steps=0))
    late.start()
    late.knows(members[0])
    world.run_until(lambda: agree([late, *members]), 30.0)
    assert [m.rule for m in late.merges] == ["adopt"]
    assert late.merges[0].sides[0].serving is not None, "it predicts well from the first minute"


def test_alone_a_node_trains_on_and_dials_for_ever() -> None:
    world = World(1)
    alone = world.add("alone")
    absent = world.add("absent")
    absent.running = False
    alone.start()
    alone.knows(absent)
    world.run(3600.0)
    assert alone.node.gossip.cycles > 3000
    dials = only(alone.outputs, events.Dial)
    assert 60 <= len(dials) <= 140
    absent.running = True
    absent.start()
    world.run_until(lambda: alone.node.peers.is_admitted(absent.id), 61.0)


# --- parting and meeting again -------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_split_swarm_goes_on_in_parts_and_heals(seed: int) -> None:
    world = World(seed)
    members = world.swarm(5)
    world.run(15.0)
    left, right = members[:2], members[2:]
    world.split(left, right)
    parted = {m.name: dict(m.lineage) for m in members}
    world.run(60.0)
    for side, others in ((left, right), (right, left)):
        for member in side:
            assert all(member.lineage[s.me] > parted[member.name][s.me] for s in side)
            assert all(member.lineage[o.me] <= 250 for o in others), "nothing came across"
    world.heal()
    world.run_until(lambda: all(m.lineage[o.me] > 500 for m in members for o in members), 120.0)
    come_to_rest(world, *members)
    world.settle_debts()


@pytest.mark.parametrize("seed", range(10))
def test_islands_that_meet_merge_what_each_has_learnt_serving_models_too(seed: int) -> None:
    world = World(seed)
    left = [world.add(f"left{i}", examples=100, class_counts=(100, 0)) for i in range(2)]
    right = [world.add(f"right{i}", examples=300, class_counts=(0, 300)) for i in range(2)]
    members = left + right
    for member in members:
        member.start()
    left[0].knows(left[1])
    right[0].knows(right[1])
    world.run(30.0)
    before = len(world.merges)
    left[0].knows(right[0])
    world.run_until(lambda: all(covers(m, *members) for m in members), 60.0)

    # Whoever hears of the other island first merges it alone; the rest follow suit.
    first = next(m for _, m in world.merges[before:] if covers_all(m.lineage, members))
    assert first.rule == "concurrent"
    assert first.sides[1].serving is not None
    learnt = {(side.examples, side.class_counts) for side in first.sides}
    assert learnt == {(200, (200, 0)), (600, (0, 600))}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restarted_member_goes_on_where_it_stood(seed: int) -> None:
    world = World(seed)
    members = world.swarm(4)
    world.run(20.0)
    before = members[1]
    stood = dict(before.lineage)
    world.stop(before)
    world.run(10.0)
    again = world.restart("n1")
    assert dict(again.lineage) == stood
    world.run_until(lambda: all(m.lineage[again.me] > stood[again.me] for m in members[2:]), 60.0)
    everybody = list(world.members.values())
    world.run(10.0)
    for member in everybody:
        assert not member.node.identity_in_use
        assert "unproven-lineage" not in member.node.peers.refused
    come_to_rest(world, *everybody)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_that_loses_the_claims_costs_no_trust(seed: int) -> None:
    world = World(seed)
    world.swarm(4)
    world.run(20.0)
    world.restart("n1", remember_claims=False)
    world.run(30.0)
    everybody = list(world.members.values())
    for member in everybody:
        assert not member.node.identity_in_use
        assert all(p.violations == 0 for p in member.node.peers.table.values())
    come_to_rest(world, *everybody)


def test_a_wiped_disk_is_a_new_author_beside_the_old() -> None:
    world = World(2)
    members = world.swarm(3)
    world.run(20.0)
    old = members[0]
    learnt = old.steps
    new = world.wipe("n0")
    new.start()
    new.knows(members[1])
    world.run_until(lambda: all(covers(m, new, old) for m in (new, *members[1:])), 60.0)
    assert not new.node.identity_in_use
    assert new.me != old.me
    for member in (new, *members[1:]):
        assert learnt - 100 <= member.lineage[old.me] <= learnt, "what it taught stays"
    come_to_rest(world, new, *members[1:])


# --- two of the same -----------------------------------------------------------------------------


def test_a_cloned_card_stops_publishing_and_says_so() -> None:
    """The same key and incarnation, twice: the one that is behind hears of the other's steps."""
    world = World(3)
    members = world.swarm(3)
    world.run(10.0)
    behind = members[0]
    twin = Member(world, "n0")
    twin.steps = 10_000
    members[1].node.view.add_claim(twin.documents.claim(10_000))
    world.run_until(lambda: behind.node.identity_in_use, 30.0)
    assert behind.reported("identity-in-use") == [{"incarnation": 1}]

    published = behind.node.offers_sent
    steps = behind.steps
    world.run(30.0)
    assert behind.node.offers_sent == published
    assert behind.steps > steps, "its own learning goes on"
    assert not any(m.node.identity_in_use for m in members[1:])


def test_a_restored_backup_is_found_out() -> None:
    world = World(4)
    members = world.swarm(3)
    world.run(10.0)
    backup = members[0].steps, members[0].node.gossip.head
    world.run(20.0)
    world.stop(members[0])
    old = world.add("n0")
    old.steps, head = backup
    old.node.restore(head, (), ())
    old.start()
    old.knows(*members[1:])
    world.run_until(lambda: old.node.identity_in_use, 30.0)


# --- liars ---------------------------------------------------------------------------------------


def liar_in(world: World, *victims: Member) -> Member:
    """Somebody whose core is honest and whose documents are not."""
    liar = world.add("liar", settings=replace(SETTINGS, local_steps=0))
    liar.start()
    liar.knows(*victims)
    world.run_until(lambda: len(liar.node.peers.admitted()) == len(victims), 60.0)
    liar.steps = 10
    return liar


def tell(world: World, liar: Member, victim: Member, lineage: dict[bytes, int]) -> None:
    update = liar.update(lineage=lineage)
    claim = liar.documents.claim(liar.steps)
    world.say(liar, victim, Offer(manifests=(update.envelope,), claims=(claim.envelope,)))


@pytest.mark.parametrize("above", [0, 1, 10**6])
def test_who_claims_everybodys_work_captures_nobody(above: int) -> None:
    """Were it adopted, it would wipe out what all have learnt, by their own leave."""
    world = World(5)
    members = world.swarm(3)
    liar = liar_in(world, *members)
    world.run(20.0)
    for victim in members:
        everything = {m.me: m.steps + above for m in members} | {liar.me: 10}
        tell(world, liar, victim, everything)
    world.run(5.0)
    for member in members:
        adopted = [
            side.update.author
            for merge in member.merges
            if merge.rule == "adopt"
            for side in merge.sides
            if side.update is not None
        ]
        if above:
            assert liar.id not in adopted
            assert liar.me not in member.lineage
            assert member.node.peers.table[liar.id].violations > 0
        else:
            # True as far as anybody can check; only the gate can judge what it knows.
            assert all(member.lineage[m.me] > 0 for m in members)
    come_to_rest(world, *members)


def test_who_claims_a_billion_examples_weighs_as_ten() -> None:
    world = World(6)
    honest = world.swarm(3)
    boaster = world.add("boaster", examples=10**9, class_counts=(10**9, 0))
    boaster.start()
    world.run(20.0)
    boaster.knows(honest[0])
    world.run_until(lambda: all(covers(m, boaster) for m in honest), 60.0)
    sides = [s for _, merge in world.merges if merge.rule == "concurrent" for s in merge.sides]
    assert sides
    for side in sides:
        assert side.examples <= 10 * 100 + 3 * 100
        assert sum(side.class_counts or ()) <= 10 * 100 + 3 * 100


def test_a_flood_of_hostile_messages_ends_in_a_hold_off() -> None:
    world = World(8)
    members = world.swarm(3)
    liar = liar_in(world, *members)
    world.run(5.0)
    victim = members[0]
    for i in range(limits.VIOLATIONS):
        tell(world, liar, victim, {liar.me: 11 + i})
    world.run(1.0)
    assert victim.reported("peer-dropped") == [{"peer": liar.id, "reason": "lineage-above-steps"}]
    assert not world.are_connected(victim.id, liar.id)
    world.run(limits.HOLD_OFF_SECONDS - 5.0)
    assert not victim.node.peers.is_admitted(liar.id)
    assert all(m.node.peers.is_admitted(victim.id) for m in members[1:]), "nobody else suffers"
    world.run_until(lambda: victim.node.peers.is_admitted(liar.id), 120.0)


def test_garbage_is_counted_and_answered_and_then_no_longer_listened_to() -> None:
    world = World(9)
    members = world.swarm(2)
    liar = liar_in(world, *members)
    for _ in range(limits.VIOLATIONS):
        world.say(liar, members[0], Offer(manifests=(b"not an envelope",)))
    world.run(1.0)
    assert members[0].reported("peer-dropped") == [{"peer": liar.id, "reason": "malformed"}]


def test_an_equivocator_is_exposed_wherever_its_two_faces_meet() -> None:
    world = World(10)
    members = world.swarm(3)
    liar = liar_in(world, *members)
    world.run(5.0)
    claim = liar.documents.claim(10).envelope
    one_face = liar.update(lineage={liar.me: 9})
    other_face = liar.update(lineage={liar.me: 10}, seq=one_face.manifest.seq)
    for victim in members:
        for face in (one_face, other_face):
            world.say(liar, victim, Offer(manifests=(face.envelope,), claims=(claim,)))
    world.run(5.0)
    for member in members:
        assert [(e.peer, e.first, e.second) for e in member.evidence] == [
            (liar.id, one_face.envelope, other_face.envelope)
        ]
        for other in members:
            if other is not member:
                assert member.node.peers.table[other.id].violations == 0
    come_to_rest(world, *members)


# --- what the operator does ----------------------------------------------------------------------


def test_who_is_removed_stays_away_until_it_is_heard_of_again() -> None:
    world = World(11)
    members = world.swarm(2)
    world.run(5.0)
    first, second = members
    second.feed(events.Forgotten(first.id))
    first.feed(events.Forgotten(second.id))
    world.run(60.0)
    assert not world.are_connected(first.id, second.id)
    assert second.id not in first.remembered
    first.knows(second)
    world.run_until(lambda: first.node.peers.is_admitted(second.id), 10.0)


def test_a_new_address_spreads_and_is_dialled() -> None:
    world = World(12)
    members = world.swarm(3)
    world.run(10.0)
    moved = members[0]
    record = moved.documents.record(("/memory/elsewhere",), moved.examples, moved.class_counts)
    moved.feed(events.RecordChanged(record))
    world.run(20.0)
    for member in members[1:]:
        assert member.remembered[moved.id][0] == "/memory/elsewhere"
        known = member.node.view.record_of(moved.id)
        assert known is not None
        assert known.record.seq == record.record.seq


def test_without_exchange_nothing_is_learnt_from_anybody() -> None:
    world = World(13)
    private = replace(SETTINGS, exchange=False)
    members = world.swarm(3)
    hermit = world.add("hermit", settings=private)
    hermit.start()
    hermit.knows(*members)
    world.run(30.0)
    assert set(hermit.lineage) == {hermit.me}
    assert len(hermit.node.peers.admitted()) == 3
    assert not any(hermit.me in m.lineage for m in members)
    assert not any(isinstance(a.message, (Offer, Have)) for a in only(hermit.outputs, events.Ask))


# --- every run -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_every_question_is_answered_once_and_every_request_too(seed: int) -> None:
    world = eventful(seed)
    assert agree([m for m in world.members.values() if m.running]), world
    world.settle_debts()


def test_the_same_seed_makes_the_same_run_in_any_process() -> None:
    """No set order, no address in memory, no clock: only the seed."""
    here = fingerprint(3)
    assert fingerprint(3) == here
    assert fingerprint(4) != here
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", "from support.stories import *; print(fingerprint(3))"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert run.stdout.strip() == here
