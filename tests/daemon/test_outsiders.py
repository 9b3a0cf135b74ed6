"""A thousand attempts by outsiders at a closed swarm's port get nothing but a refusal."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.members.identity import load_or_create
from gossipd.members.membership import at_rest, envelope_of
from gossipd.network.interface import NetworkError
from gossipd.wire.messages import Refused, ViewSync
from gossipd_scenarios.fleet import Fleet, Member
from support.closed import Founder
from support.hostile import Outsider
from support.keys import key_from

pytestmark = pytest.mark.asyncio(loop_scope="module")

WALL = 1_800_000_000.0
KEYS, EACH = 8, 25
"""Two hundred of each kind. A key that goes on with what is hostile finds a closed door."""

KINDS = {
    "none": "no-membership",
    "expired": "membership-expired",
    "revoked": "membership-revoked",
    "forged": "forged-membership",
    "replayed": "stolen-membership",
}
"""What is shown, and as what the daemon counts it."""


async def issued(client: Client, peer: str, days: float | None = None) -> bytes:
    made = await asyncio.to_thread(client.issue_membership, peer, "", days)
    return envelope_of(made["membership"])


async def papers(kind: str, client: Client, peer: str) -> bytes:
    """What an outsider of this kind has to show."""
    if kind == "none":
        return b""
    if kind == "expired":
        return await issued(client, peer, days=1e-9)
    if kind == "forged":
        return Founder("forger").issue(peer)
    if kind == "replayed":  # a member's, overheard
        return await issued(client, key_from("robbed")[1])
    good = await issued(client, peer)
    await asyncio.to_thread(client.revoke_member, peer)
    return good


async def attempt(outsider: Outsider, daemon: Member) -> object:
    """What one Hello, and a question after it, bring in; None: a closed connection."""
    try:
        greeted = await outsider.ask(daemon.peer_id, outsider.hello())
        asked = await outsider.ask(daemon.peer_id, ViewSync())
    except NetworkError:
        return None
    return greeted if isinstance(asked, Refused) else asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(fleet: Fleet) -> AsyncIterator[Member]:
    """The founder's."""
    paths = paths_of(fleet.directory / "founder")
    load_or_create(paths.identity)
    with at_rest(paths.home) as books:
        books.found(WALL)
    daemon = await fleet.start("founder")
    yield daemon
    fleet.check()
    await daemon.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_two_hundred_attempts_bring_in_nothing(daemon: Member, kind: str) -> None:
    client = Client(paths_of(daemon.home).socket)
    swarm = bytes.fromhex((await daemon.status())["swarm"])
    refused = closed = 0
    for number in range(KEYS):
        async with Outsider(f"{kind}{number}", swarm) as outsider:
            outsider.membership = await papers(kind, client, outsider.id)
            for nth in range(EACH):
                try:
                    await outsider.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
                except NetworkError:
                    closed += 1
                    continue
                answer = await attempt(outsider, daemon)
                assert isinstance(answer, Refused) or (nth and answer is None), answer
                refused += answer is not None
                closed += answer is None
    assert refused + closed == KEYS * EACH
    status = await daemon.status()
    assert status["refused"][KINDS[kind]] >= KEYS
    assert status["network"]["connected"] == 0
    assert status["errors"] == {}
    assert {len(model["lineage"]) for model in await daemon.models()} <= {0, 1}
