"""A closed swarm through the public port: outsiders learn nothing, members from each other."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.members.identity import load_or_create
from gossipd.members.membership import Books, at_rest, envelope_of, token
from gossipd.network.interface import TransferInterrupted
from gossipd.wire.framing import decode_request, encode_message
from gossipd.wire.messages import Hello, Offer, Refused, View, ViewSync
from gossipd_scenarios.fleet import Fleet, Member
from support.closed import Founder
from support.hostile import Outsider
from support.keys import key_from

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
WALL = 1_800_000_000.0
NOT_A_MEMBER = Refused(code="not-a-member", reason="this swarm is closed")


@contextmanager
def books_of(home: Path) -> Iterator[Books]:
    """The books of a daemon that does not run; its key is made when there is none."""
    load_or_create(paths_of(home).identity)
    with at_rest(home) as books:
        yield books


def found(fleet: Fleet, name: str) -> None:
    with books_of(fleet.directory / name) as books:
        books.found(WALL)


def let_in(fleet: Fleet, founder: str, name: str) -> None:
    """A member's home, before anybody runs."""
    with books_of(fleet.directory / name) as books, books_of(fleet.directory / founder) as theirs:
        signed = theirs.issue(books.identity.peer_id, name, None, WALL)
        books.accept(token(signed.envelope))


def client(daemon: Member) -> Client:
    return Client(paths_of(daemon.home).socket)


async def issued(daemon: Member, peer: str, days: float | None = None) -> bytes:
    """The envelope of a membership that the running founder issues."""
    made = await asyncio.to_thread(client(daemon).issue_membership, peer, "", days)
    return envelope_of(made["membership"])


async def authors(daemon: Member) -> int:
    """How many have taught its models."""
    return max((len(model["lineage"]) for model in await daemon.models()), default=0)


async def taught(daemon: Member, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while await authors(daemon) < count:
        assert time.monotonic() < deadline, f"{daemon} did not learn from {count}"
        await daemon.events((await daemon.events())["next"], wait=1.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def founder(fleet: Fleet) -> AsyncIterator[Member]:
    found(fleet, "founder")
    daemon = await fleet.start("founder")
    yield daemon
    fleet.check()
    await daemon.kill()


async def swarm_of(daemon: Member) -> bytes:
    return bytes.fromhex((await daemon.status())["swarm"])


async def test_the_founder_says_what_it_is(founder: Member) -> None:
    membership = (await founder.status())["membership"]
    assert membership["founder"]
    assert membership["state"] == "member"
    assert membership["founded_by"] == founder.peer_id


KINDS = ["no-membership", "forged-membership", "stolen-membership", "foreign-swarm"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outsider_is_refused_and_told_nothing(founder: Member, kind: str) -> None:
    swarm = await swarm_of(founder)
    async with Outsider(f"outsider {kind}", swarm) as outsider:
        forger = Founder("forger")
        if kind == "foreign-swarm":
            outsider.swarm = forger.swarm_id
        if kind in ("forged-membership", "foreign-swarm"):
            outsider.membership = forger.issue(outsider.id)
        elif kind == "stolen-membership":
            outsider.membership = await issued(founder, key_from("robbed")[1])
        answer = await outsider.meet(founder.peer_id, founder.addresses)
        assert answer == NOT_A_MEMBER
        # Nor is anything that it asks afterwards answered, or anything that it brings looked at.
        for question in (ViewSync(), Offer(manifests=(b"not even msgpack",))):
            refused = await outsider.ask(founder.peer_id, question)
            assert isinstance(refused, Refused)
            assert refused.code == "hello-first"
        with pytest.raises(TransferInterrupted) as gone:
            await outsider.transport.fetch_blob(
                founder.peer_id, b"k" * 32, memoryview(bytearray(100)), 0, 5.0
            )
        assert gone.value.reason == "gone"
        (peer,) = [p for p in await founder.peers() if p["peer_id"] == outsider.id]
        assert peer["refused"][kind] == 1
        assert peer["examples"] is None
        assert peer["state"] != "connected"
        assert outsider.transport.addresses[0] not in str(peer["address"])


async def test_nothing_of_a_hello_is_read_before_its_membership(founder: Member) -> None:
    """What an outsider sends beside it is not even opened: it would be found to be garbage."""
    async with Outsider("rubbish", await swarm_of(founder)) as outsider:
        rubbish = {"record": b"rubbish", "claim": b"rubbish"}
        answer = await outsider.meet(founder.peer_id, founder.addresses, **rubbish)
        assert answer == NOT_A_MEMBER
        outsider.membership = await issued(founder, outsider.id)
        answer = await outsider.ask(founder.peer_id, outsider.hello(**rubbish))
        assert isinstance(answer, Refused)
        assert answer.code == "malformed"


async def test_a_membership_that_has_ended_is_refused(founder: Member) -> None:
    async with Outsider("guest", await swarm_of(founder)) as guest:
        guest.membership = await issued(founder, guest.id, days=1e-9)
        answer = await guest.meet(founder.peer_id, founder.addresses)
        assert isinstance(answer, Refused)
        assert answer.code == "membership-expired"


class Callee(Outsider):
    """Remembers what those who dial it say first."""

    heard: Hello | None = None

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        message = decode_request(payload)
        if isinstance(message, Hello):
            self.heard = message
        return await super()._answer(peer, payload)


async def test_who_is_connected_when_its_membership_ends_is_sent_away(founder: Member) -> None:
    async with Outsider("visitor", await swarm_of(founder)) as visitor:
        visitor.membership = await issued(founder, visitor.id, days=3 / 86_400)
        assert isinstance(await visitor.meet(founder.peer_id, founder.addresses), Hello)
        assert isinstance(await visitor.ask(founder.peer_id, ViewSync()), View)
        await founder.until(
            lambda s: bool(s["refused"].get("membership-expired")), SECONDS, "its time to be up"
        )
        await founder.until(lambda s: s["network"]["connected"] == 0, SECONDS, "its leave")


async def test_whom_the_daemon_dials_is_told_no_more_than_its_membership(founder: Member) -> None:
    async with Callee("called", await swarm_of(founder)) as callee:
        await founder.add_peer(callee.transport.addresses[0])
        await founder.until(
            lambda s: bool(s["refused_by_peer"].get(callee.id)), SECONDS, "the callee's refusal"
        )
        assert callee.heard is not None
        assert callee.heard.membership
        assert callee.heard.record == callee.heard.claim == b""
        status = await founder.status()
        assert status["refused_by_peer"][callee.id] == {"no-membership": 1}


class Talker(Outsider):
    """Has this to say of others."""

    records: tuple[bytes, ...] = ()

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        if isinstance(decode_request(payload), ViewSync):
            return encode_message(View(records=self.records))
        return await super()._answer(peer, payload)


async def test_a_member_cannot_bring_in_whom_the_founder_never_let_in(founder: Member) -> None:
    swarm = await swarm_of(founder)
    invented, absent = Outsider("invented", swarm), Outsider("absent", swarm)
    absent.membership = await issued(founder, absent.id)
    address = ("/ip4/127.0.0.1/tcp/9",)
    async with Talker("talker", swarm) as talker:
        talker.membership = await issued(founder, talker.id)
        talker.records = (
            invented.record(addresses=address),
            absent.record(addresses=address),
        )
        assert isinstance(await talker.meet(founder.peer_id, founder.addresses), Hello)
        assert isinstance(await talker.ask(founder.peer_id, ViewSync()), View)
        deadline = time.monotonic() + SECONDS
        while absent.id not in (known := {p["peer_id"] for p in await founder.peers()}):
            assert time.monotonic() < deadline, "what the talker says is not heard"
            await founder.events((await founder.events())["next"], wait=0.2)
        assert invented.id not in known


async def test_a_member_is_shut_out_while_it_is_connected_and_stays_out(fleet: Fleet) -> None:
    found(fleet, "strict")
    daemon = await fleet.start("strict")
    async with Outsider("member", await swarm_of(daemon)) as member:
        member.membership = await issued(daemon, member.id)
        assert isinstance(await member.meet(daemon.peer_id, daemon.addresses), Hello)
        assert isinstance(await member.ask(daemon.peer_id, ViewSync()), View)
        await asyncio.to_thread(client(daemon).revoke_member, member.id)
        await daemon.until(lambda s: s["network"]["connected"] == 0, SECONDS, "the door to close")
        refused = await member.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(refused, Refused)
        assert refused.code == "membership-revoked"

        await daemon.kill()
        await fleet.restart(daemon)
        refused = await member.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(refused, Refused)
        assert refused.code == "membership-revoked"

        # Let in again, it is as good as new.
        member.membership = await issued(daemon, member.id)
        assert isinstance(await member.meet(daemon.peer_id, daemon.addresses), Hello)
    await daemon.stop()


async def test_members_learn_from_each_other_and_pass_on_who_was_shut_out(fleet: Fleet) -> None:
    found(fleet, "ann")
    let_in(fleet, "ann", "bob")
    ann = await fleet.start("ann")
    bob = await fleet.start("bob", {"network.peers": ann.addresses})
    swarm = await swarm_of(ann)
    stranger = await fleet.start(
        "stranger", {"network.peers": [*ann.addresses, *bob.addresses], "swarm.id": swarm.hex()}
    )
    for daemon in (ann, bob):
        await taught(daemon, 2)
    async with Outsider("third", swarm) as third:
        third.membership = await issued(ann, third.id)
        assert isinstance(await third.meet(bob.peer_id, bob.addresses), Hello)
        assert isinstance(await third.ask(bob.peer_id, ViewSync()), View)
        await asyncio.to_thread(client(ann).revoke_member, third.id)
        await bob.until(
            lambda s: s["membership"]["revoked"] == 1 and s["network"]["connected"] == 1,
            SECONDS,
            "bob to hear of it from ann",
        )
        # Until then it would speak on a connection that ends.
        await asyncio.wait_for(third.parted.wait(), SECONDS)
        refused = await third.meet(bob.peer_id, bob.addresses)
        assert isinstance(refused, Refused)
        assert refused.code == "membership-revoked"
        kept = await asyncio.to_thread(client(bob).members)
        assert [row["peer_id"] for row in kept if row["state"] == "revoked"] == [third.id]
    status = await stranger.until(
        lambda s: bool(s["refused"].get("not-a-member", 0)), SECONDS, "the stranger to be told"
    )
    assert status["network"]["connected"] == 0
    assert [await authors(daemon) for daemon in (ann, bob)] == [2, 2]
    assert await authors(stranger) < 2
    for daemon in (stranger, bob, ann):
        await daemon.stop()
