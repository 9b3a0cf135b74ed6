"""Schedules of what may happen to a swarm, for both ways of learning: made up and shrunk by
hypothesis, which prints the line that runs a failing one again.
"""

from typing import Literal, NamedTuple

from hypothesis import strategies as st

from gossipd.protocol.events import LearningFailed, SetPaused
from gossipd.protocol.lineage import Relation, compare
from gossipd.protocol.peers import LONGEST_PAUSE
from gossipd.protocol.round_events import Leaving
from support.rounds_world import RoundMember, RoundWorld
from support.world import ANTI_ENTROPY_SECONDS, Member, World

SETTLED_SECONDS = LONGEST_PAUSE + 20 * ANTI_ENTROPY_SECONDS
"""The longest pause until all are connected again, then twenty exchanges."""
NEWCOMERS = 2

Kind = Literal[
    "cut",
    "heal",
    "lose",
    "hush",
    "stop",
    "leave",
    "restart",
    "crash",
    "join",
    "pause",
    "resume",
    "refuse",
    "accept",
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]


class Step(NamedTuple):
    """What happens to which node, to which other one, and for how long all go on after it."""

    kind: Kind
    who: int
    other: int
    wait: float


def schedules(nodes: int) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, nodes - 1)
    wait = st.sampled_from([0.0, 0.03, 0.3, 2.0])
    step = st.builds(Step, st.sampled_from(KINDS), number, number, wait)
    return st.lists(step, min_size=3, max_size=12)


def take(world: World, step: Step) -> None:
    """Let it happen."""
    name = f"n{step.who}"
    member, other = world.members[name], world.members[f"n{step.other}"]
    match step.kind:
        case "cut":
            world.split([member], [m for m in world.members.values() if m is not member])
        case "heal":
            world.heal()
        case "lose":
            world.drop(member, other, "reset")
        case "hush" if isinstance(world, RoundWorld):
            world.silent.add(member.id)
        case "stop":
            world.stop(member)
        case "leave" if isinstance(world, RoundWorld) and member.running:
            member.feed(Leaving(member.documents.record((), 100, (50, 50), event="leave")))
            world.run(0.1)
            world.stop(member)
        case "restart":
            world.restart(name)
        case "crash":
            world.restart(name, remember_claims=False)
        case "join" if len(world.members) - NEWCOMERS < len(_founders(world)):
            late = world.add(f"late{len(world.members)}")
            late.start()
            late.knows(member)
        case "pause" | "resume":
            member.feed(SetPaused(step.kind == "pause"))
        case "refuse" | "accept":
            _judge(member, refuses=step.kind == "refuse", gate=bool(step.other % 2))
    world.run(step.wait)


def mend(world: World) -> list[Member]:
    """The end of all faults: everybody runs, hears and accepts."""
    world.heal()
    if isinstance(world, RoundWorld):
        world.silent.clear()
    for name, member in list(world.members.items()):
        if not member.running:
            world.restart(name)
    for member in world.members.values():
        _judge(member, refuses=False, gate=True)
    return list(world.members.values())


def pause(members: list[Member], paused: bool) -> None:
    for member in members:
        member.feed(SetPaused(paused))


def unharmed(world: World, learnt: dict[bytes, int]) -> None:
    """Nothing of what was learnt is lost, nobody honest is blamed, and nobody waits for ever."""
    everybody = list(world.members.values())
    for member in everybody:
        assert compare(learnt, member.lineage) in (Relation.EQUAL, Relation.AHEAD)
    assert not any(m.node.identity_in_use for m in everybody)
    blamed = {
        peer.id: dict(peer.refused)
        for m in everybody
        for peer in m.node.peers.table.values()
        if peer.violations
    }
    assert not blamed, "all were honest"
    world.settle_debts()


def _founders(world: World) -> list[str]:
    return [name for name in world.members if name.startswith("n")]


def _judge(member: Member, *, refuses: bool, gate: bool) -> None:
    if isinstance(member, RoundMember):
        member.refuses_gate = refuses
    else:
        member.failing = LearningFailed("merge", "refused", gate=gate) if refuses else None
