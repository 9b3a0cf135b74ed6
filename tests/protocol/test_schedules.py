"""Whatever happens in whatever order: no live node's lineage shrinks, and in the end all agree.

That no lineage shrinks is seen to by the world at every step.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipd.protocol.gossip import RETRY_CYCLES
from gossipd.protocol.lineage import Relation, compare, join
from support.properties import properties
from support.schedules import SETTLED_SECONDS, Step, mend, pause, schedules, take, unharmed
from support.world import World, agree

NODES = 4


@settings(properties, max_examples=100, print_blob=True)
@given(st.integers(0, 2**16), schedules(NODES))
def test_after_any_schedule_the_reachable_end_equal_and_nothing_is_lost(
    seed: int, schedule: list[Step]
) -> None:
    world = World(seed)
    world.swarm(NODES)
    world.run(3.0)
    for step in schedule:
        take(world, step)
    everybody = mend(world)
    if any(m.node.gossip.gated for m in everybody):
        # What a gate refused is tried again after further training, not before.
        pause(everybody, False)
        world.run(RETRY_CYCLES * 1.5)
    pause(everybody, True)
    world.run(1.0)
    learnt = join(*(m.lineage for m in everybody))

    world.run_until(lambda: agree(everybody), SETTLED_SECONDS)
    assert compare(learnt, everybody[0].lineage) is Relation.EQUAL
    unharmed(world, learnt)
