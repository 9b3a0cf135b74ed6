"""Whatever happens in whatever order: nobody waits for ever, no lineage shrinks, all agree.

Hypothesis makes up the schedules and shrinks one that fails; the blob that it prints runs it again.
"""

from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipd.protocol.events import SetPaused
from gossipd.protocol.lineage import Relation, compare, join
from gossipd.protocol.peers import LONGEST_PAUSE
from gossipd.protocol.trainer import Phase
from support.properties import properties
from support.rounds_world import RoundWorld
from support.world import ANTI_ENTROPY_SECONDS, agree

NODES = 5
Kind = Literal["cut", "heal", "stop", "restart", "crash", "hush", "pause", "resume", "refuse"]


class Step(NamedTuple):
    kind: Kind
    who: int
    wait: float


steps = st.builds(
    Step,
    st.sampled_from(Kind.__args__),  # type: ignore[attr-defined]
    st.integers(0, NODES - 1),
    st.sampled_from([0.0, 0.03, 0.3, 2.0]),
)


def take(world: RoundWorld, step: Step) -> None:
    name = f"n{step.who}"
    member = world.members[name]
    match step.kind:
        case "cut":
            world.split([member], [m for m in world.members.values() if m is not member])
        case "heal":
            world.heal()
            world.silent.clear()
        case "stop":
            world.stop(member)
        case "restart":
            world.restart(name)
        case "crash":
            world.restart(name, remember_claims=False)
        case "hush":
            world.silent.add(member.id)
        case "pause" | "resume":
            member.feed(SetPaused(step.kind == "pause"))
        case "refuse":
            member.refuses_gate = not member.refuses_gate  # type: ignore[attr-defined]
    world.run(step.wait)


def mend(world: RoundWorld) -> None:
    """The end of all faults: everybody runs, hears and accepts."""
    world.heal()
    world.silent.clear()
    for name, member in list(world.members.items()):
        if not member.running:
            world.restart(name)
    for member in world.members.values():
        member.refuses_gate = False  # type: ignore[attr-defined]


@pytest.mark.slow
@settings(properties, max_examples=20, print_blob=True)
@given(st.integers(0, 2**16), st.lists(steps, min_size=3, max_size=12))
def test_after_any_schedule_the_reachable_agree(seed: int, schedule: list[Step]) -> None:
    world = RoundWorld(seed)
    world.swarm(NODES)
    world.run(4.0)
    for step in schedule:
        take(world, step)
    mend(world)
    everybody = list(world.members.values())
    for member in everybody:
        member.feed(SetPaused(True))
    world.run(1.0)
    learnt = join(*(m.lineage for m in everybody))

    def settled() -> bool:
        rounds = {m.proven for m in everybody}  # type: ignore[attr-defined]
        return agree(everybody) and len(rounds) == 1

    # The longest pause until all are connected again, then twenty exchanges.
    world.run_until(settled, LONGEST_PAUSE + 20 * ANTI_ENTROPY_SECONDS)
    assert compare(learnt, everybody[0].lineage) in (Relation.EQUAL, Relation.AHEAD)
    assert not any(m.node.identity_in_use for m in everybody)
    blamed = {
        peer.id: dict(peer.refused)
        for m in everybody
        for peer in m.node.peers.table.values()
        if peer.violations
    }
    assert not blamed, "all were honest"
    world.settle_debts()


@pytest.mark.slow
@settings(properties, max_examples=20, print_blob=True)
@given(st.integers(0, 2**16), st.lists(steps, min_size=3, max_size=12))
def test_after_any_schedule_rounds_go_on(seed: int, schedule: list[Step]) -> None:
    world = RoundWorld(seed)
    world.swarm(NODES)
    world.run(4.0)
    for step in schedule:
        take(world, step)
    mend(world)
    everybody = list(world.members.values())
    for member in everybody:
        member.feed(SetPaused(False))
    before = max(m.proven for m in everybody)  # type: ignore[attr-defined]
    world.run_until(
        lambda: all(m.proven > before + 3 for m in everybody),  # type: ignore[attr-defined]
        LONGEST_PAUSE + 60.0,
    )
    phases = {m.rounds.trainer.phase for m in everybody}  # type: ignore[attr-defined]
    assert phases <= set(Phase)
