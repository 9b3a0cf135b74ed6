"""Whatever happens in whatever order: no live node's lineage shrinks, and in the end all agree.

Hypothesis makes up the schedules and shrinks one that fails; the blob that it prints runs it again.
"""

from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipd.protocol.events import LearningFailed, SetPaused
from gossipd.protocol.gossip import RETRY_CYCLES
from gossipd.protocol.lineage import Relation, compare, join
from gossipd.protocol.peers import LONGEST_PAUSE
from support.properties import properties
from support.world import ANTI_ENTROPY_SECONDS, Member, World, agree

NODES = 4
Kind = Literal["cut", "heal", "stop", "restart", "crash", "pause", "resume", "refuse", "accept"]


class Step(NamedTuple):
    kind: Kind
    who: int
    other: int
    wait: float


steps = st.builds(
    Step,
    st.sampled_from(Kind.__args__),  # type: ignore[attr-defined]
    st.integers(0, NODES - 1),
    st.integers(0, NODES - 1),
    st.sampled_from([0.0, 0.03, 0.3, 2.0]),
)


def take(world: World, step: Step) -> None:
    name = f"n{step.who}"
    member = world.members[name]
    match step.kind:
        case "cut":
            world.split([member], [m for m in world.members.values() if m is not member])
        case "heal":
            world.heal()
        case "stop":
            world.stop(member)
        case "restart":
            world.restart(name)
        case "crash":
            world.restart(name, remember_claims=False)
        case "pause" | "resume":
            member.feed(SetPaused(step.kind == "pause"))
        case "refuse":
            member.failing = LearningFailed("merge", "refused", gate=bool(step.other % 2))
        case "accept":
            member.failing = None
    world.run(step.wait)


def pause(members: list[Member], paused: bool) -> None:
    for member in members:
        member.feed(SetPaused(paused))


@settings(properties, max_examples=100, print_blob=True)
@given(st.integers(0, 2**16), st.lists(steps, min_size=3, max_size=12))
def test_after_any_schedule_the_reachable_end_equal_and_nothing_is_lost(
    seed: int, schedule: list[Step]
) -> None:
    world = World(seed)
    world.swarm(NODES)
    world.run(3.0)
    for step in schedule:
        take(world, step)

    world.heal()
    for name, member in list(world.members.items()):
        if not member.running:
            world.restart(name)
    everybody = list(world.members.values())
    for member in everybody:
        member.failing = None
    if any(m.node.gossip.gated for m in everybody):
        # What a gate refused is tried again after further training, not before.
        pause(everybody, False)
        world.run(RETRY_CYCLES * 1.5)
    pause(everybody, True)
    world.run(1.0)
    learnt = join(*(m.lineage for m in everybody))

    # The longest pause until all are connected again, then twenty exchanges.
    world.run_until(lambda: agree(everybody), LONGEST_PAUSE + 20 * ANTI_ENTROPY_SECONDS)
    assert compare(learnt, everybody[0].lineage) is Relation.EQUAL
    assert not any(m.node.identity_in_use for m in everybody)
    blamed = {
        peer.id: dict(peer.refused)
        for m in everybody
        for peer in m.node.peers.table.values()
        if peer.violations
    }
    assert not blamed, "all were honest"
    world.settle_debts()
