"""Lineages as differences, from a peer that lies about them, through the port of a daemon."""

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gossipd.network.interface import RequestFailed
from gossipd.wire import limits
from gossipd.wire.framing import encode_message
from gossipd.wire.lineages import UNHELD, Known, abridge, difference
from gossipd.wire.messages import (
    AbridgedManifest,
    Have,
    Hello,
    Offer,
    Ping,
    Pong,
    Refused,
    Response,
    Update,
    Want,
)
from gossipd_scenarios.fleet import Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
SETTINGS = {"mode": "gossip"}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


class Liar:
    """An outsider that the daemon has admitted, and what it says in short."""

    def __init__(self, outsider: Outsider, daemon: Member) -> None:
        self.outsider = outsider
        self.daemon = daemon

    async def __aenter__(self) -> "Liar":
        await self.outsider.__aenter__()
        answer = await self.outsider.meet(self.daemon.peer_id, self.daemon.addresses)
        assert isinstance(answer, Hello), answer
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.outsider.__aexit__()

    def lineage(self, authors: int = 1, steps: int = 10) -> dict[bytes, int]:
        others = {number.to_bytes(8, "big"): 1 for number in range(authors - 1)}
        return {self.outsider.me: steps, **others}

    def update(self, lineage: dict[bytes, int], **fields: Any) -> Update:
        return self.outsider.update(self.outsider.body(), lineage=lineage, **fields)

    def short(self, update: Update, against: Mapping[bytes, int]) -> AbridgedManifest:
        new, old = Known(update.manifest.lineage), Known(dict(against))
        made = abridge(update.envelope, new, old, difference(old.lineage, new.lineage))
        assert isinstance(made, AbridgedManifest)
        return made

    async def offers(self, *manifests: AbridgedManifest | bytes, steps: int = 10) -> Response:
        claims = (self.outsider.claim(steps),)
        offer = Offer(manifests=tuple(manifests), claims=claims)
        return await self.outsider.ask(self.daemon.peer_id, offer)

    async def counted(self, reason: str, times: int = 1) -> None:
        def enough(status: dict[str, Any]) -> bool:
            by_peer = status["refused_by_peer"].get(self.outsider.id, {})
            return bool(by_peer.get(reason, 0) >= times)

        await self.daemon.until(enough, SECONDS, f"{reason} to be counted")

    async def is_served(self) -> None:
        assert isinstance(await self.outsider.ask(self.daemon.peer_id, Ping()), Pong)


async def liar(daemon: Member, name: str) -> Liar:
    return Liar(Outsider(name, bytes.fromhex((await daemon.status())["swarm"])), daemon)


async def test_an_honest_difference_is_fetched_and_merged(daemon: Member, name: str) -> None:
    async with await liar(daemon, name) as peer:
        first = peer.update(peer.lineage(steps=10))
        assert isinstance(await peer.offers(first.envelope), Want)
        second = peer.update(peer.lineage(steps=20), steps=20)
        answer = await peer.offers(peer.short(second, first.manifest.lineage), steps=20)
        assert answer == Want(updates=(second.id,))
        await daemon.until(
            lambda s: bool(s["updates"]["merged"] + s["updates"]["adopted"] > 0),
            SECONDS,
            "the honest update to be merged",
        )


async def test_what_it_never_held_is_refused_in_words_and_nobody_is_blamed(
    daemon: Member, name: str
) -> None:
    async with await liar(daemon, name) as peer:
        update = peer.update(peer.lineage(20))
        short = peer.short(update, peer.lineage(19))
        for _ in range(limits.VIOLATIONS + 1):
            answer = await peer.offers(short)
            assert isinstance(answer, Refused)
            assert answer.code == UNHELD
        have = Have(lineage={}, model=update.manifest.model, against=short.against)
        answer = await peer.outsider.ask(daemon.peer_id, have)
        assert isinstance(answer, Refused)
        assert answer.code == UNHELD
        await peer.counted(UNHELD, limits.VIOLATIONS + 2)
        await peer.is_served()
        assert not peer.outsider.lost
        whole = peer.update(peer.lineage())
        assert await peer.offers(whole.envelope) == Want(updates=(whole.id,))


@pytest.mark.parametrize("part", ["changes", "head", "tail", "signature"])
async def test_what_was_not_signed_like_that_is_a_forgery(
    daemon: Member, name: str, part: str
) -> None:
    async with await liar(daemon, name) as peer:
        held = peer.update(peer.lineage(20))
        await peer.offers(held.envelope)
        short = peer.short(peer.update(peer.lineage(20, steps=9)), held.manifest.lineage)
        forged: dict[str, Any] = {
            "changes": {peer.outsider.me: 8},
            "head": short.head.replace(b"\xa4role\xa4head", b"\xa4role\xa4base"),
            "tail": short.tail.replace(b"\xa8examples\x64", b"\xa8examples\x65"),
            "signature": bytes(64),
        }
        assert forged[part] != getattr(short, part)
        answer = await peer.offers(replace(short, **{part: forged[part]}))
        assert isinstance(answer, Refused)
        assert answer.code == "bad-signature"
        await peer.counted("bad-signature")
        status = await daemon.status()
        assert status["updates"]["fetched"] == 0


async def test_a_lineage_of_too_many_authors_is_not_made(daemon: Member, name: str) -> None:
    async with await liar(daemon, name) as peer:
        held = peer.update(peer.lineage(limits.AUTHORS))
        await peer.offers(held.envelope)
        short = peer.short(peer.update(peer.lineage(limits.AUTHORS, 9)), held.manifest.lineage)
        answer = await peer.offers(replace(short, changes={b"\xff" * 8: 1}))
        assert isinstance(answer, Refused)
        assert answer.code == "malformed"
        have = Have(lineage={b"\xff" * 8: 1}, model=held.manifest.model, against=short.against)
        answer = await peer.outsider.ask(daemon.peer_id, have)
        assert isinstance(answer, Refused)
        assert answer.code == "malformed"
        await peer.counted("malformed", 2)


async def test_small_messages_that_stand_for_large_ones_end_soon(daemon: Member, name: str) -> None:
    """Each of a thousand bytes or two stands for the four longest lineages that there can be. What
    nobody has signed is held against who brings it, said in short or not."""
    async with await liar(daemon, name) as peer:
        held = peer.update(peer.lineage(limits.AUTHORS))
        await peer.offers(held.envelope)
        before = await daemon.status()

        def bomb(label: str) -> AbridgedManifest:
            update = peer.update(peer.lineage(limits.AUTHORS, 9), tags=(label,))
            return peer.short(update, held.manifest.lineage)

        full = [bomb(str(number)) for number in range(limits.MANIFESTS_PER_OFFER + 1)]
        too_many = await peer.offers(*full)
        assert isinstance(too_many, Refused)
        assert too_many.code == "malformed"
        with contextlib.suppress(RequestFailed):  # the last answer may be cut off
            for number in range(limits.VIOLATIONS):
                label = f"{number}/"
                bombs = [bomb(label + str(i)) for i in range(limits.MANIFESTS_PER_OFFER)]
                assert len(encode_message(Offer(manifests=tuple(bombs)))) < 8192
                await peer.offers(*bombs)
        after = await daemon.until(
            lambda now: bool(
                now["network"]["connected"] == 0
                and now["training"]["cycles"] > before["training"]["cycles"]
            ),
            SECONDS,
            "the hostile peer to be dropped, and training to go on",
        )
        # The last of them is one too many: what came beside it is judged all the same.
        assert after["refused"]["unproven-lineage"] < 2 * limits.VIOLATIONS
        assert after["updates"]["fetched"] == 0


async def test_an_answer_leaves_nothing_out_when_that_is_asked_for(
    daemon: Member, name: str
) -> None:
    async with await liar(daemon, name) as peer:
        await daemon.until(lambda s: s["training"]["cycles"] > 1, SECONDS, "some heads")
        genesis = peer.outsider.hello().genesis
        question = Have(lineage={}, model=genesis, held=bytes(range(64)))
        for asked in (question, Have(lineage={}, model=genesis)):
            offer = await peer.outsider.ask(daemon.peer_id, asked)
            assert isinstance(offer, Offer)
            assert all(isinstance(manifest, bytes) for manifest in offer.manifests)
            assert offer.manifests
