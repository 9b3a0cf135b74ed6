"""Whatever happens in whatever order: nobody waits for ever, no lineage shrinks, all agree, and
rounds go on.

That no lineage shrinks is seen to by the world at every step.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipd.protocol.lineage import join
from gossipd.protocol.peers import LONGEST_PAUSE
from support.properties import properties
from support.rounds_world import RoundMember, RoundWorld
from support.schedules import SETTLED_SECONDS, Step, mend, pause, schedules, take, unharmed
from support.world import Member, agree

NODES = 5


def after(seed: int, schedule: list[Step]) -> tuple[RoundWorld, list[Member]]:
    world = RoundWorld(seed)
    world.swarm(NODES)
    world.run(4.0)
    for step in schedule:
        take(world, step)
    return world, mend(world)


def proven(members: list[Member]) -> list[int]:
    return [member.proven for member in members if isinstance(member, RoundMember)]


@pytest.mark.slow
@settings(properties, max_examples=20, print_blob=True)
@given(st.integers(0, 2**16), schedules(NODES))
def test_after_any_schedule_the_reachable_agree(seed: int, schedule: list[Step]) -> None:
    world, everybody = after(seed, schedule)
    pause(everybody, True)
    world.run(1.0)
    learnt = join(*(m.lineage for m in everybody))
    world.run_until(lambda: agree(everybody) and len(set(proven(everybody))) == 1, SETTLED_SECONDS)
    unharmed(world, learnt)


@pytest.mark.slow
@settings(properties, max_examples=20, print_blob=True)
@given(st.integers(0, 2**16), schedules(NODES))
def test_after_any_schedule_rounds_go_on(seed: int, schedule: list[Step]) -> None:
    world, everybody = after(seed, schedule)
    pause(everybody, False)
    goal = max(proven(everybody)) + 3
    world.run_until(lambda: min(proven(everybody)) > goal, LONGEST_PAUSE + 60.0)
