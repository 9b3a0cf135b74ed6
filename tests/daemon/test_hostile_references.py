"""A peer that hands out deltas against models that are not what it says, to a daemon in rounds."""

import zlib
from typing import Any

import numpy as np
import pytest

from gossipd.tensors.codecs import encode
from gossipd.tensors.deflated import RAW
from gossipd.tensors.layout import Vector, content_hash
from gossipd.wire.envelope import seal
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import WHOLE, Aggregated, Hello, RoundProof, Sample
from gossipd_scenarios.fleet import Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
SETTINGS = {"mode": "rounds"}
CODEC = "q3+deflate"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


class Attack:
    """An outsider that the daemon has admitted, and a model that only the outsider knows."""

    def __init__(self, outsider: Outsider, daemon: Member) -> None:
        self.outsider, self.daemon = outsider, daemon
        self.reference = outsider.genesis + np.float32(0.01)

    def serve(self, model: bytes, numbers: Vector) -> None:
        """Give these numbers to whoever asks for that model."""
        self.outsider.blobs[WHOLE + model] = numbers.astype("<f4").tobytes()

    def honest(self) -> Vector:
        return np.full(self.outsider.layout.parameters, 0.01, np.float32)

    async def hand_out(
        self, body: bytes, reference: bytes | None = None, **fields: Any
    ) -> RoundProof:
        """A round's model that is a delta against the reference."""
        against = content_hash(self.reference) if reference is None else reference
        fields = {"codec": CODEC, "model": digest(b"any"), **fields}
        base = self.outsider.update(body, role="base", reference=against, **fields)
        sample = Sample(
            round=1, peers=(self.daemon.peer_id, self.outsider.id), model=base.manifest.model
        )
        message = Aggregated(
            round=1,
            sample=seal(sample, self.outsider.swarm, self.outsider.signer),
            manifests=(base.envelope,),
            claims=(self.outsider.claim(10),),
        )
        answer = await self.outsider.ask(self.daemon.peer_id, message)
        assert isinstance(answer, RoundProof)
        return answer

    async def refused(self, reason: str) -> None:
        """It is counted, against this peer, and the daemon trains on by itself."""
        before = await self.daemon.until(
            lambda s: bool(s["refused_by_peer"].get(self.outsider.id, {}).get(reason)),
            SECONDS,
            f"{reason} to be counted",
        )
        await self.daemon.until(
            lambda now: bool(now["training"]["cycles"] > before["training"]["cycles"] + 1),
            SECONDS,
            "training to go on",
        )


async def admitted(outsider: Outsider, daemon: Member) -> Attack:
    assert isinstance(await outsider.meet(daemon.peer_id, daemon.addresses), Hello)
    return Attack(outsider, daemon)


async def outsider_of(daemon: Member, name: str) -> Outsider:
    return Outsider(name, bytes.fromhex((await daemon.status())["swarm"]))


async def test_a_reference_that_is_not_here_is_got_from_who_names_it(
    daemon: Member, name: str
) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        attack.serve(content_hash(attack.reference), attack.reference)
        body = encode("dense", attack.honest(), outsider.layout)
        model = content_hash(attack.reference + attack.honest())
        answer = await attack.hand_out(body, codec="dense", model=model)
        assert answer.state == "accepted"
        status = await daemon.until(
            lambda s: (
                s["coding"]["references"] == {"fetched": 1}
                and s["round"]["sample"] == [daemon.peer_id, outsider.id]
            ),
            SECONDS,
            "the reference",
        )
        assert outsider.id not in status["refused_by_peer"]


async def test_a_reference_that_nobody_has_is_given_up(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        await attack.hand_out(encode(CODEC, attack.honest(), outsider.layout))
        await attack.refused("fetch-gone")


async def test_a_reference_that_is_another_model_is_refused(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        attack.serve(content_hash(attack.reference), attack.reference + np.float32(1.0))
        await attack.hand_out(encode(CODEC, attack.honest(), outsider.layout))
        await attack.refused("wrong-reference")
        assert (await daemon.status())["coding"]["references"] == {"refused": 1}


async def test_a_reference_of_another_layout_is_not_read(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        attack.serve(content_hash(attack.reference), attack.reference[:-1])
        await attack.hand_out(encode(CODEC, attack.honest(), outsider.layout))
        await attack.refused("fetch-wrong-size")


async def test_a_reference_with_nan_inside_is_refused(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        broken = attack.reference.copy()
        broken[7] = np.nan
        attack.serve(content_hash(broken), broken)
        body = encode(CODEC, attack.honest(), outsider.layout)
        await attack.hand_out(body, reference=content_hash(broken))
        await attack.refused("not-finite")


async def test_a_delta_that_its_reference_makes_infinite_is_refused(
    daemon: Member, name: str
) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        far = np.full(outsider.layout.parameters, 3e38, np.float32)
        attack.serve(content_hash(far), far)
        body = encode("dense", far, outsider.layout)
        await attack.hand_out(body, reference=content_hash(far), codec="dense")
        await attack.refused("not-finite")


async def test_a_delta_to_another_model_than_declared_is_refused(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        attack.serve(content_hash(attack.reference), attack.reference)
        await attack.hand_out(encode(CODEC, attack.honest(), outsider.layout))
        await attack.refused("wrong-model")


async def test_a_delta_that_would_grow_is_not_unpacked(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        attack.serve(content_hash(attack.reference), attack.reference)
        stage = zlib.compressobj(9, wbits=RAW)
        await attack.hand_out(stage.compress(bytes(1_000_000)) + stage.flush())
        await attack.refused("malformed")


async def test_a_model_cannot_be_a_delta_against_itself(daemon: Member, name: str) -> None:
    async with await outsider_of(daemon, name) as outsider:
        attack = await admitted(outsider, daemon)
        model = content_hash(attack.reference)
        body = encode(CODEC, attack.honest(), outsider.layout)
        assert (await attack.hand_out(body, model=model)).state == "refused"
        await attack.refused("unknown-reference")
