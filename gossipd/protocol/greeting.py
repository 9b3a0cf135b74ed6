"""Hello: who may stay on a connection, and what the other is told when not."""

from dataclasses import dataclass

from gossipd.wire.messages import VERSION, Hello, Refused


@dataclass(frozen=True, slots=True)
class Swarm:
    """What two peers must share to work together."""

    id: bytes
    task: bytes
    """Digest of the task description."""
    layout: bytes
    genesis: bytes
    agent: str
    """Program and version, for people."""


def refusal(swarm: Swarm, hello: Hello) -> Refused | None:
    """Why the sender does not belong here, in words for both sides; None when it does."""
    if hello.version != VERSION:
        return Refused(
            code="version",
            reason=f"wire version {hello.version} meets {VERSION}: upgrade the older of the two",
        )
    if hello.swarm != swarm.id:
        return Refused(code="foreign-swarm", reason=f"this is swarm {swarm.id.hex()[:16]}")
    if hello.layout != swarm.layout:
        return Refused(
            code="wrong-layout", reason="the models differ in shape: check task and data of both"
        )
    if hello.genesis != swarm.genesis:
        return Refused(code="wrong-genesis", reason="the initial models differ")
    if hello.task != swarm.task:
        return Refused(code="foreign-task", reason="the tasks differ")
    return None
