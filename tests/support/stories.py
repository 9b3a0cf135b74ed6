"""Runs of a small swarm in which much happens, for what must hold in every run."""

from gossipd.protocol.events import LearningFailed, SetPaused
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Ping, ViewSync
from support.world import World


def eventful(seed: int) -> World:
    """Links are cut, a daemon crashes, a gate refuses, one is late, and in the end all rest."""
    world = World(seed)
    members = world.swarm(4)
    world.run(8.0)
    world.split(members[:2], members[2:])
    world.run(8.0)
    world.restart("n1", remember_claims=bool(seed % 2))
    world.heal()
    late = world.add("late")
    late.start()
    late.knows(members[0])
    members[3].feed(SetPaused(True))
    world.run(10.0)
    members[0].failing = LearningFailed("merge", "worse than a guess", gate=True)
    world.say(late, members[0], Ping())
    world.say(late, members[2], ViewSync())
    world.run(10.0)
    members[0].failing = None
    world.stop(late)
    for member in world.members.values():
        member.feed(SetPaused(True))
    world.run(60.0)
    return world


def fingerprint(seed: int) -> str:
    """All that the nodes of an eventful run put out, in one hash."""
    return digest("\n".join(eventful(seed).log).encode()).hex()
