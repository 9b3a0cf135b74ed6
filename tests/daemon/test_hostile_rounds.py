"""A peer that lies about rounds to a daemon that works in them, through its port."""

import asyncio
from typing import Any

import pytest

from gossipd.tensors.codecs import encode
from gossipd.tensors.layout import content_hash
from gossipd.wire import limits
from gossipd.wire.envelope import seal
from gossipd.wire.framing import decode_request, encode_message
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import (
    Aggregated,
    Hello,
    Ping,
    Pong,
    Refused,
    RoundProof,
    Sample,
    View,
    ViewSync,
)
from gossipd_scenarios.fleet import Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
SETTINGS = {"mode": "rounds"}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


async def outsider_of(daemon: Member, name: str) -> Outsider:
    return Outsider(name, bytes.fromhex((await daemon.status())["swarm"]))


async def enter(outsider: Outsider, daemon: Member) -> None:
    assert isinstance(await outsider.meet(daemon.peer_id, daemon.addresses), Hello)


async def unmoved(daemon: Member) -> None:
    """It still knows which round it is, and trains on."""
    before = await daemon.status()
    assert before["round"]["proven"] == 0
    assert before["round"]["number"] <= 1
    await daemon.until(
        lambda now: bool(now["training"]["cycles"] > before["training"]["cycles"] + 1),
        SECONDS,
        "training to go on",
    )


def hand_out(
    outsider: Outsider, daemon: Member, round_: int, body: bytes = b"", **manifest: Any
) -> Aggregated:
    base = outsider.update(body or outsider.body(), role="base", **manifest)
    sample = Sample(
        round=round_,
        peers=(daemon.peer_id, outsider.id),
        model=base.manifest.model,
    )
    sealed = seal(sample, outsider.swarm, outsider.signer)
    claims = (outsider.claim(10),)
    return Aggregated(round=round_, sample=sealed, manifests=(base.envelope,), claims=claims)


async def test_a_far_round_stops_and_captures_nobody(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        await enter(outsider, daemon)
        far = limits.COUNTER - 1
        assert isinstance(await outsider.ask(daemon.peer_id, Ping(est=far)), Pong)
        answer = await outsider.ask(daemon.peer_id, hand_out(outsider, daemon, far))
        assert isinstance(answer, RoundProof)
        assert answer.state == "refused"
        await unmoved(daemon)


async def test_a_number_beyond_all_counting_is_not_read(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        await enter(outsider, daemon)
        answer = await outsider.ask_raw(daemon.peer_id, encode_message(Ping(est=2**60)))
        assert isinstance(answer, Refused)
        assert (await daemon.status())["refused_by_peer"][outsider.id]
        await unmoved(daemon)


async def test_a_base_that_claims_everybodys_work_is_not_trained_on(
    daemon: Member, name: str
) -> None:
    async with await outsider_of(daemon, name) as outsider:
        await enter(outsider, daemon)
        everybody = {digest(bytes([n]))[:8]: 1_000_000 for n in range(50)}
        lie = hand_out(outsider, daemon, 1, lineage={outsider.me: 10, **everybody})
        await outsider.ask(daemon.peer_id, lie)
        await daemon.until(
            lambda s: bool(s["refused_by_peer"].get(outsider.id, {}).get("unproven-lineage")),
            SECONDS,
            "the lie to be counted",
        )
        await unmoved(daemon)
        models = await daemon.models()
        assert all(digest(b"\0")[:8].hex() not in m["lineage"] for m in models)


async def test_the_initial_model_is_no_secret_and_a_sample_without_the_daemon_no_task(
    daemon: Member, name: str
) -> None:
    async with await outsider_of(daemon, name) as outsider:
        await enter(outsider, daemon)
        sample = Sample(round=1, peers=(outsider.id,), model=content_hash(outsider.genesis))
        sealed = seal(sample, outsider.swarm, outsider.signer)
        answer = await outsider.ask(daemon.peer_id, Aggregated(round=1, sample=sealed))
        assert isinstance(answer, RoundProof)
        assert answer.state == "refused"
        await unmoved(daemon)


async def test_a_counter_that_forks_is_kept_as_proof_and_its_author_refused(
    daemon: Member, name: str
) -> None:
    async with await outsider_of(daemon, name) as outsider:
        await enter(outsider, daemon)
        for offset in (0.01, 0.02):
            lie = hand_out(outsider, daemon, 1, body=outsider.body(offset), seq=77)
            await outsider.ask(daemon.peer_id, lie)
        await daemon.until(
            lambda s: bool(s["refused"].get("equivocation")), SECONDS, "the fork to be noticed"
        )
        proofs = [e for e in (await daemon.events())["events"] if e["kind"] == "equivocation"]
        assert [proof["author"] for proof in proofs] == [outsider.id]
        again = hand_out(outsider, daemon, 1, body=outsider.body(0.03))
        answer = await outsider.ask(daemon.peer_id, again)
        assert not isinstance(answer, RoundProof) or answer.state != "accepted"
        await unmoved(daemon)


class Boaster(Outsider):
    """Tells of a crowd, and serves the model that it offers."""

    crowd: tuple[bytes, ...] = ()

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        if isinstance(decode_request(payload), ViewSync):
            return encode_message(View(records=self.crowd))
        return await super()._answer(peer, payload)


async def test_who_announces_a_thousand_million_examples_captures_nobody(
    daemon: Member, name: str
) -> None:
    """It weighs no more than others do: what the daemon has learnt is still there when both have
    become one model. The liar's is worse, but better than a guess, so the gate lets it pass."""
    await daemon.until(lambda s: bool(s["training"]["steps"] > 500), SECONDS, "something learnt")
    async with Boaster(name, bytes.fromhex((await daemon.status())["swarm"])) as boaster:
        boaster.crowd = tuple(Outsider(f"{name} {n}", boaster.swarm).record() for n in range(4))
        boast = boaster.record(examples=10**9)
        await boaster.meet(daemon.peer_id, daemon.addresses, record=boast)
        await boaster.ask(daemon.peer_id, ViewSync())
        # Of two that are known nobody is the median: what it claims is measured by the others'.
        async with asyncio.timeout(SECONDS):
            while (await daemon.inside())["tables"]["SwarmView._records"] < 6:
                await daemon.status()
        poor = boaster.learner.train(boaster.genesis, None, 10, 0).vector
        assert (boaster.learner.test(poor).accuracy or 1.0) < 0.6
        body = encode("half", poor - boaster.genesis, boaster.layout)
        await boaster.offer(daemon.peer_id, boaster.update(body, role="base", examples=10**9))

        def merged(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
            both = [m for m in models if boaster.me.hex() in m["lineage"]]
            measured = (m for m in both if m["held_out_accuracy"] is not None)
            return sorted((m for m in measured if m["author"] == daemon.peer_id), key=_created)

        async with asyncio.timeout(SECONDS):
            while not (made := merged(await daemon.models())):
                await daemon.status()
        assert made[0]["held_out_accuracy"] > 0.8


def _created(model: dict[str, Any]) -> float:
    return float(model["created"])
