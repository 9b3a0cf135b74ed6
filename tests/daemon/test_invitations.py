"""Invitations through the public port: one line lets in whom it is meant for, and nobody else."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from gossipd.config import load, paths_of, values_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd.learning.description import FILE
from gossipd.members.identity import load_or_create
from gossipd.members.joining import addresses_of, complete, parse, pending, remember
from gossipd.members.membership import Books, at_rest
from gossipd.network.asking import asking
from gossipd.network.interface import NetworkError, Transport
from gossipd.wire.envelope import open_membership, seal
from gossipd.wire.framing import decode_response, encode_message
from gossipd.wire.invitation import Line, prove, public_key_of_secret
from gossipd.wire.messages import Enter, Hello, Invitation, Refused, Response, Welcome
from gossipd_scenarios.fleet import Fleet, Member, Setting
from support.closed import Founder
from support.command import Outcome, gossipd
from support.hostile import Outsider
from support.keys import key_from
from support.own_data import flowers

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
WALL = 1_700_000_000.0
ATTEMPTS = 1000


def found(fleet: Fleet, name: str) -> Path:
    home = fleet.directory / name
    load_or_create(paths_of(home).identity)
    with at_rest(home) as books:
        books.found(WALL)
    return home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def founder(fleet: Fleet) -> AsyncIterator[Member]:
    found(fleet, "host")
    daemon = await fleet.start("host")
    yield daemon
    fleet.check()
    await daemon.kill()


def client(daemon: Member) -> Client:
    return Client(paths_of(daemon.home).socket)


async def line_of(daemon: Member, **options: Any) -> Line:
    made = await asyncio.to_thread(client(daemon).invite, **options)
    return parse(made["line"])


async def enter(home: Path, line: str, seconds: float = 10.0) -> Books:
    """What `gossipd join` does once it has made the home."""
    paths = paths_of(home)
    identity = load_or_create(paths.identity)
    remember(home, line)
    assert await complete(paths, identity, seconds)
    return Books(paths.members, identity, paths.database)


def asks(line: Line, member: str, **fields: Any) -> Enter:
    assert line.invitation is not None
    honest: dict[str, Any] = {
        "invitation": line.invitation.envelope,
        "proof": prove(line.secret, line.swarm, member),
    }
    return Enter(**{**honest, **fields})


async def refusal(error: Any) -> str:
    return str(error.value.code)


async def test_a_line_makes_a_member_that_learns_with_the_others(
    founder: Member, fleet: Fleet
) -> None:
    made = await asyncio.to_thread(client(founder).invite, name="station 4")
    home = fleet.directory / "joiner"
    books = await enter(home, made["line"])
    own = books.own()
    assert own is not None
    assert own.membership.name == "station 4"
    assert own.founder == founder.peer_id
    assert pending(home) is None
    assert not (home / FILE).exists()
    daemon = await fleet.start("joiner", {"network.peers": founder.addresses})
    await daemon.until(lambda s: s["network"]["connected"] == 1, SECONDS, "the founder")
    assert (await daemon.status())["membership"]["state"] == "member"
    (row,) = await asyncio.to_thread(client(founder).invitations)
    assert (row["state"], row["used"]) == ("used-up", [books.identity.peer_id])
    await daemon.stop()


async def test_who_joins_a_swarm_with_data_of_its_own_gets_the_description(fleet: Fleet) -> None:
    """The founder's table says what is learnt; who joins has other rows, and lacks a class."""
    table = flowers(fleet.directory / "all.csv")
    home = fleet.directory / "gardener"
    founded = gossipd("init", "--data", table, "--target", "flower", home=home)
    assert founded.code == 0, founded.err
    keys = ("task.name", "task.data", "learning.weight_decay")
    settings: dict[str, Setting] = {k: v for k, v in values_of(load(home)).items() if k in keys}
    daemon = await fleet.start("gardener", settings)
    made = await asyncio.to_thread(client(daemon).invite, uses=2)
    joiner = fleet.directory / "neighbour"
    wrong = fleet.directory / "wrong.csv"
    wrong.write_text("weight,flower\n1,a\n2,b\n")

    def join(data: Path) -> Outcome:
        return gossipd("join", made["line"], "--data", data, "--format", "json", home=joiner)

    refused = await asyncio.to_thread(join, wrong)
    assert refused.document["error"]["code"] == "bad-data"
    assert (await asyncio.to_thread(client(daemon).invitations))[0]["used"]
    # It is in; with data that fit the same line completes it, and is not counted twice.
    rows = flowers(fleet.directory / "some.csv", keep="ab", seed=1)
    joined = await asyncio.to_thread(join, rows)
    assert joined.code == 0, joined.out
    assert (joiner / FILE).read_bytes() == (home / FILE).read_bytes()
    assert len((await asyncio.to_thread(client(daemon).invitations))[0]["used"]) == 1
    settings = {k: v for k, v in values_of(load(joiner)).items() if k in keys}
    assert (settings["task.name"], settings["task.data"]) == ("described", str(rows))
    other = await fleet.start("neighbour", {**settings, "network.peers": daemon.addresses})
    await other.until(lambda s: s["network"]["connected"] == 1, SECONDS, "the founder")
    assert (await other.status())["task"] == (await daemon.status())["task"]
    await other.stop()
    await daemon.stop()


async def test_who_lost_the_answer_asks_again_and_is_counted_once(founder: Member) -> None:
    line = await line_of(founder)
    async with Outsider("forgetful", line.swarm) as device:
        await device.transport.dial(founder.peer_id, addresses_of(line), 10.0)
        first = await device.ask(founder.peer_id, asks(line, device.id))
        again = await device.ask(founder.peer_id, asks(line, device.id))
        assert isinstance(first, Welcome)
        assert again == first
        assert open_membership(first.membership, line.swarm).membership.member == device.id


async def test_a_use_is_counted_across_a_crash(fleet: Fleet) -> None:
    found(fleet, "fragile")
    daemon = await fleet.start("fragile")
    line = await line_of(daemon)
    async with Outsider("quick", line.swarm) as device:
        await device.transport.dial(daemon.peer_id, addresses_of(line), 10.0)
        assert isinstance(await device.ask(daemon.peer_id, asks(line, device.id)), Welcome)
    await daemon.kill()
    await fleet.restart(daemon)
    async with Outsider("late", line.swarm) as late:
        await late.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
        answer = await late.ask(daemon.peer_id, asks(line, late.id))
        assert isinstance(answer, Refused)
        assert answer.code == "invitation-used-up"
    await daemon.stop()


async def test_who_was_shut_out_does_not_come_back_with_its_line(founder: Member) -> None:
    line = await line_of(founder, uses=5)
    async with (
        Outsider("banned", line.swarm) as device,
        Outsider("its friend", line.swarm) as next_,
    ):
        await device.transport.dial(founder.peer_id, addresses_of(line), 10.0)
        assert isinstance(await device.ask(founder.peer_id, asks(line, device.id)), Welcome)
        await asyncio.to_thread(client(founder).revoke_member, device.id)
        fresh = await line_of(founder)
        await device.transport.dial(founder.peer_id, addresses_of(line), 10.0)
        for held in (line, fresh):
            answer = await device.ask(founder.peer_id, asks(held, device.id))
            assert isinstance(answer, Refused)
            assert answer.code == "membership-revoked"
        # Nor does anybody with the line that it has.
        await next_.transport.dial(founder.peer_id, addresses_of(line), 10.0)
        answer = await next_.ask(founder.peer_id, asks(line, next_.id))
        assert isinstance(answer, Refused)
        assert answer.code == "invitation-withdrawn"


async def test_a_member_that_is_not_the_founder_lets_nobody_in(
    founder: Member, fleet: Fleet
) -> None:
    made = await asyncio.to_thread(client(founder).invite, uses=2)
    await enter(fleet.directory / "bob", made["line"])
    bob = await fleet.start("bob", {"network.peers": founder.addresses})
    line = parse(made["line"])
    async with Outsider("lost", line.swarm) as device:
        await device.transport.dial(bob.peer_id, bob.addresses, 10.0)
        answer = await device.ask(bob.peer_id, asks(line, device.id))
        assert answer == Refused(code="not-a-member", reason="this swarm is closed")
    with pytest.raises(OperatorError) as error:
        await asyncio.to_thread(client(bob).invite)
    assert error.value.code == "not-the-founder"
    await bob.stop()


async def test_an_inviter_that_does_not_answer_is_asked_again_at_the_next_start(
    fleet: Fleet,
) -> None:
    found(fleet, "sleepy")
    daemon = await fleet.start("sleepy", {})
    made = await asyncio.to_thread(client(daemon).invite)
    await daemon.stop()
    home = fleet.directory / "early"
    with pytest.raises(OperatorError) as error:
        await enter(home, made["line"], 1.0)
    assert error.value.code == "not-entered"
    assert error.value.exit_code == ExitCode.TEMPORARY
    assert pending(home) == made["line"]
    await fleet.start(
        "sleepy", {"network.port": int(parse(made["line"]).addresses[0].split("/")[4])}
    )
    early = await fleet.start("early")
    assert (await early.status())["membership"]["state"] == "member"
    assert pending(home) is None
    await early.stop()
    await daemon.stop()


# --- a thousand outsiders ---------------------------------------------------------------------


async def answer_to(stranger: Transport, daemon: Member, payload: bytes) -> Response | None:
    """None: the daemon closed the door without a word."""
    try:
        await stranger.dial(daemon.peer_id, daemon.addresses, 10.0)
        return decode_response(await stranger.request(daemon.peer_id, payload, 10.0))
    except NetworkError:
        return None


async def test_a_thousand_attempts_of_outsiders_get_nothing_but_a_refusal(
    founder: Member,
) -> None:
    """Without a membership, expired, revoked, forged, stolen, replayed, used up, withdrawn, made
    up: from fifty keys, each of which is dropped for a while when it goes on."""
    good, used, gone = [await line_of(founder) for _ in range(3)]
    await asyncio.to_thread(
        client(founder).withdraw_invitation,
        gone.invitation.invitation.key.hex()[:8],  # type: ignore[union-attr]
    )
    over = await line_of(founder, days=1e-9)
    async with Outsider("legitimate", good.swarm) as insider:
        await insider.transport.dial(founder.peer_id, founder.addresses, 10.0)
        welcome = await insider.ask(founder.peer_id, asks(used, insider.id))
        assert isinstance(welcome, Welcome)
        stolen = asks(used, insider.id)
        await asyncio.to_thread(client(founder).revoke_member, insider.id)
        honest = insider.hello()
    before = await asyncio.to_thread(client(founder).members)
    swarm, forger = good.swarm, Founder("forger")
    secret = bytes(16)
    key = public_key_of_secret(secret)
    ours = good.invitation.invitation.nonce  # type: ignore[union-attr]
    forged = seal(Invitation(nonce=ours, key=key, task=bytes(32)), swarm, forger.signer)
    rng = random.Random(7)

    def attempt(kind: str, who: str) -> bytes:
        hello = Hello(
            swarm=swarm,
            task=honest.task,
            layout=honest.layout,
            genesis=honest.genesis,
            record=honest.record,
            claim=honest.claim,
        )
        messages: dict[str, Any] = {
            "no membership": hello,
            "stolen membership": replace(hello, membership=welcome.membership),
            "forged membership": replace(hello, membership=forger.issue(who)),
            "an invitation for a membership": replace(
                hello,
                membership=good.invitation.envelope,  # type: ignore[union-attr]
            ),
            "forged invitation": Enter(invitation=forged, proof=prove(secret, swarm, who)),
            "guessed secret": asks(good, who, proof=prove(rng.randbytes(16), swarm, who)),
            "replayed": stolen,
            "no proof": asks(good, who, proof=bytes(64)),
            "expired": asks(over, who),
            "used up": asks(used, who),
            "withdrawn": asks(gone, who),
        }
        if kind == "rubbish":
            return rng.randbytes(300)
        return encode_message(messages[kind])

    kinds = [
        "no membership",
        "stolen membership",
        "forged membership",
        "an invitation for a membership",
        "forged invitation",
        "guessed secret",
        "replayed",
        "no proof",
        "expired",
        "used up",
        "withdrawn",
        "rubbish",
    ]
    answers: Counter[str] = Counter()
    turns = itertools.cycle(kinds)
    for number in range(ATTEMPTS // 20):
        seed, who, _ = key_from(f"stranger {number}")
        async with asking(seed, "a stranger", peers=1, dial_timeout=10.0) as stranger:
            for _ in range(20):
                answer = await answer_to(stranger, founder, attempt(next(turns), who))
                assert answer is None or isinstance(answer, Refused), answer
                answers[answer.code if answer else "closed"] += 1
    assert sum(answers.values()) == ATTEMPTS
    assert set(answers) <= {
        "not-a-member",
        "invitation-expired",
        "invitation-used-up",
        "invitation-withdrawn",
        "malformed",
        "closed",
    }, answers
    assert answers["closed"] < ATTEMPTS / 5, answers
    # Nobody has come in by it, and the line that they tried is still good.
    assert await asyncio.to_thread(client(founder).members) == before
    async with Outsider("invited", swarm) as device:
        await device.transport.dial(founder.peer_id, founder.addresses, 10.0)
        answer = await device.ask(founder.peer_id, asks(good, device.id))
        assert isinstance(answer, Welcome)
        assert answer.description == b""
