"""Each known peer, asked by the doctor itself while the daemon is down.

It says Hello with this device's key and membership, and with no record: a peer that finds all else
right then says that the record is missing, and nothing of this device enters its view.
"""

import asyncio
from collections.abc import Iterator, Sequence

from gossipd.config import Config, Paths
from gossipd.doctor import known
from gossipd.doctor.findings import Finding, skipped
from gossipd.doctor.known import CAUSES, DEAD, Cause, failed, passed
from gossipd.errors import OperatorError
from gossipd.members.identity import Identity
from gossipd.members.membership import Books
from gossipd.network.asking import asking
from gossipd.network.interface import NetworkError, Transport
from gossipd.storage import peek
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_response, encode_message
from gossipd.wire.identifiers import open_swarm, task_digest
from gossipd.wire.messages import Hello, Refused

SECONDS = 5.0
"""For a dial, and for an answer: ours; whoever needs longer is hardly of use in a round."""
COMPLETE = "forged-hello"
"""What a peer says to a Hello that lacks nothing but its record."""


def targets(paths: Paths, config: Config) -> list[tuple[str, tuple[str, ...]]]:
    """[(peer, addresses)] that the daemon would dial: the configured ones, then the remembered."""
    found: dict[str, tuple[str, ...]] = {}
    for address in config.network.peers:
        peer = address.rpartition("/p2p/")[2]
        found[peer] = (*found.get(peer, ()), address)
    for peer, addresses in peek.peers(paths.database, known.PEERS):
        found[peer] = tuple(dict.fromkeys((*found.get(peer, ()), *addresses)))
    return [(peer, addresses) for peer, addresses in found.items() if addresses][: known.PEERS]


def examine(paths: Paths, config: Config, identity: Identity) -> Iterator[Finding]:
    """The caller holds the home's lock: nobody else uses this key meanwhile. Loads torch and
    libp2p, and the task's data."""
    peers = targets(paths, config)
    if not peers:
        yield skipped("tcp", "no peer is known: mDNS, an invitation or `gossipd peers add` tell")
        return
    try:
        hello = _hello(paths, config, identity)
    except OperatorError as error:
        yield skipped("tcp", f"{error.message} ({error.hint})")
        return
    yield from asyncio.run(_examine(peers, hello, identity))


def _hello(paths: Paths, config: Config, identity: Identity) -> Hello:
    from gossipd.learning.build import learner_from_config
    from gossipd.learning.errors import LearningError
    from gossipd.tensors.layout import content_hash

    try:
        learner = learner_from_config(config.task, config.learning, home=paths.home)
        layout, genesis = learner.layout.hash, content_hash(learner.genesis())
    except LearningError as error:
        raise OperatorError("task", str(error), error.hint) from None
    task = task_digest(learner.task, layout, genesis)
    own = Books(paths.members, identity, paths.database).own()
    swarm = Books(paths.members, identity, paths.database).swarm()
    return Hello(
        swarm=swarm or bytes.fromhex(config.swarm.id) or open_swarm(task),
        task=task,
        layout=layout,
        genesis=genesis,
        membership=b"" if own is None else own.envelope,
        record=b"",
        claim=b"",
        agent="gossipd doctor",
        mode=config.mode,
    )


async def _examine(
    peers: Sequence[tuple[str, tuple[str, ...]]], hello: Hello, identity: Identity
) -> list[Finding]:
    why = "this device's daemon is down"
    async with asking(identity.seed, why, peers=known.PEERS, dial_timeout=SECONDS) as transport:
        asked = [_ask(transport, peer, addresses, hello) for peer, addresses in peers]
        return [finding for found in await asyncio.gather(*asked) for finding in found]


async def _ask(
    transport: Transport, peer: str, addresses: Sequence[str], hello: Hello
) -> list[Finding]:
    where = ", ".join(address.partition("/p2p/")[0] for address in addresses)
    try:
        await transport.dial(peer, addresses, SECONDS)
    except NetworkError as error:
        cause = CAUSES.get(error.reason, Cause("tcp", "peer-dead", DEAD))
        return list(failed(peer, cause, f"nobody of that name answers at {where}: {error.reason}"))
    try:
        payload = await transport.request(peer, encode_message(hello), SECONDS)
        answer = decode_response(payload)
    except (NetworkError, WireError) as error:
        cause = Cause("protocol", "no-answer", "see that peer's log: `gossipd logs` there")
        return list(failed(peer, cause, f"no answer to a Hello: {error}"))
    if isinstance(answer, Refused) and answer.code != COMPLETE:
        cause = CAUSES.get(answer.code, Cause("protocol", answer.code, "see that peer's log"))
        return list(failed(peer, cause, f"{answer.code}: {answer.reason}"))
    if isinstance(answer, Hello) and (answer.layout, answer.task) != (hello.layout, hello.task):
        words = f"{answer.introduction.about or 'another task'} there"
        return list(failed(peer, CAUSES["wrong-layout"], words))
    return list(passed(peer, f"answers at {where}", len(known.STEPS)))
