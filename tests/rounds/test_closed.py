"""Rounds in a closed swarm: they are made by members, and go on when one is shut out."""

from gossipd.protocol.events import MemberRevoked
from support.closed import Founder
from support.rounds_world import RoundMember, RoundWorld

FOUNDER = Founder("n0")


def closed(world: RoundWorld, count: int) -> list[RoundMember]:
    members = [world.add(f"n{i}", **FOUNDER.options(f"n{i}")) for i in range(count)]
    for member in members:
        member.start()
    for member in members:
        member.knows(*(m for m in members if m is not member))
    return members


def test_rounds_are_made_by_members_and_go_on_when_one_is_shut_out() -> None:
    world = RoundWorld(11)
    members = closed(world, 6)
    world.run_until(lambda: all(m.proven >= 4 for m in members), 60.0)
    founder, *_, villain = members
    staying = members[:-1]
    founder.feed(MemberRevoked(FOUNDER.revoke(villain.id)))
    world.run_until(lambda: not villain.node.peers.admitted(), 10.0)
    before = max(m.proven for m in staying)
    world.run_until(lambda: min(m.proven for m in staying) > before + 6, 120.0)
    for member in staying:
        assert villain.id not in member.rounds.sample
        assert villain.id not in member.rounds.activity.order(member.proven)
    assert villain.proven <= before + 2
