"""A large model that several peers hold comes from all of them, whoever of them dies or lies."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from gossipd.config import LearningConfig, TaskConfig
from gossipd.learning.build import learner_from_config
from gossipd.learning.learner import TorchLearner
from gossipd.tensors.codecs import encode
from gossipd.tensors.layout import content_hash
from gossipd.wire.envelope import seal
from gossipd.wire.framing import decode_request, encode_message
from gossipd.wire.messages import (
    WHOLE,
    Aggregated,
    Hello,
    Ping,
    Pong,
    RoundProof,
    Sample,
    Update,
    View,
    ViewSync,
)
from gossipd_scenarios.fleet import Fleet, Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
PIXELS = 48
"""On a side: the model takes 1.9 MB, eight chunks."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, PIXELS, PIXELS), np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    for name, array in (("images-idx3-ubyte", pictures), ("labels-idx1-ubyte", labels)):
        _write(folder / f"t10k-{name}", array)
    return folder


def _write(path: Path, array: NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def learner(images: Path) -> TorchLearner:
    return learner_from_config(TaskConfig(name="idx", data=str(images)), LearningConfig(), seed=0)


@pytest_asyncio.fixture(loop_scope="module")
async def joiner(
    fleet: Fleet, images: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Member]:
    name = str(request.node.name)
    settings = {"mode": "rounds", "task.name": "idx", "task.data": str(images)}
    member = await fleet.start(name, settings)
    yield member
    fleet.check()
    await member.kill()


class Holder(Outsider):
    """A peer that says on which model it stands."""

    def __init__(self, name: str, swarm: bytes, learner: TorchLearner) -> None:
        super().__init__(name, swarm, learner)
        self.stands = b""
        self.heard = asyncio.Event()
        """Set when it has said so."""
        self.asked: list[bytes] = []
        self.serve_blob = self._give

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        if not isinstance(decode_request(payload), Ping):
            return await super()._answer(peer, payload)
        self.heard.set()
        return encode_message(Pong(est=0, counter=0, base=self.stands))

    async def _give(self, peer: str, key: bytes) -> bytes | None:
        self.asked.append(key)
        return self.blobs.get(key)


class Swarm:
    """Three holders, of whom the first one tells the joiner of a model."""

    def __init__(self, joiner: Member, holders: list[Holder]) -> None:
        self.joiner = joiner
        self.holders = holders
        self.first = holders[0]

    async def standing_on(self, model: bytes) -> None:
        """Wait until the joiner knows that all of them stand on this model."""
        for holder in self.holders:
            holder.stands = model
            holder.heard.clear()
        async with asyncio.timeout(SECONDS):
            for holder in self.holders:
                await holder.heard.wait()
        for holder in self.holders:  # what it said has arrived when a later question is answered
            assert isinstance(await holder.ask(self.joiner.peer_id, Ping()), Pong)

    async def hand_out(self, base: Update) -> None:
        """As the model of whatever round the joiner is ready for: it opens some by itself."""
        first = self.first
        me, model = self.joiner.peer_id, base.manifest.model
        async with asyncio.timeout(SECONDS):
            while True:
                number = max(1, (await self.joiner.status())["round"]["number"])
                sample = Sample(round=number, peers=(me, first.id), model=model)
                message = Aggregated(
                    round=number,
                    sample=seal(sample, first.swarm, first.signer),
                    manifests=(base.envelope,),
                    claims=(first.claim(10),),
                )
                answer = await first.ask(me, message)
                assert isinstance(answer, RoundProof)
                if answer.state == "accepted":
                    return

    async def fetched(self) -> dict[str, dict[str, int]]:
        """Wait until the joiner has the model; what it has refused of whom."""
        status = await self.joiner.until(
            lambda s: bool(s["updates"]["fetched"]), SECONDS, "the model"
        )
        refused: dict[str, dict[str, int]] = status["refused_by_peer"]
        return refused


@pytest_asyncio.fixture(loop_scope="module")
async def swarm(
    joiner: Member, learner: TorchLearner, request: pytest.FixtureRequest
) -> AsyncIterator[Swarm]:
    id_ = bytes.fromhex((await joiner.status())["swarm"])
    async with AsyncExitStack() as stack:
        holders = [Holder(f"{request.node.name}{n}", id_, learner) for n in range(3)]
        for holder in holders:
            await stack.enter_async_context(holder)
            answer = await holder.meet(joiner.peer_id, joiner.addresses)
            assert isinstance(answer, Hello)
            assert isinstance(await holder.ask(joiner.peer_id, ViewSync()), View)
        yield Swarm(joiner, holders)


def against_unknown(swarm: Swarm) -> tuple[Update, bytes, bytes]:
    """A base against a model that the joiner has to ask for: (base, reference, its numbers)."""
    first = swarm.first
    reference = first.genesis + np.float32(0.01)
    step = np.full(first.layout.parameters, 0.01, np.float32)
    name = content_hash(reference)
    base = first.update(
        encode("dense", step, first.layout),
        role="base",
        reference=name,
        codec="dense",
        model=content_hash(reference + step),
    )
    return base, name, reference.astype("<f4").tobytes()


async def test_each_of_three_holders_brings_a_part(swarm: Swarm) -> None:
    base, reference, numbers = against_unknown(swarm)
    for holder in swarm.holders:
        holder.blobs[WHOLE + reference] = numbers
    await swarm.standing_on(reference)
    await swarm.hand_out(base)
    assert await swarm.fetched() == {}
    assert all(WHOLE + reference in holder.asked for holder in swarm.holders)


async def test_a_holder_that_dies_halfway_costs_nothing(swarm: Swarm) -> None:
    base, reference, numbers = against_unknown(swarm)
    dying = swarm.holders[1]
    for holder in swarm.holders:
        holder.blobs[WHOLE + reference] = numbers
    ended = asyncio.Event()

    async def die(peer: str, key: bytes) -> bytes | None:
        asyncio.get_running_loop().create_task(dying.transport.stop()).add_done_callback(
            lambda task: ended.set()
        )
        await ended.wait()
        return None

    dying.serve_blob = die
    await swarm.standing_on(reference)
    await swarm.hand_out(base)
    assert await swarm.fetched() == {}
    assert ended.is_set(), "it was never asked"


async def test_a_holder_that_lies_is_found_out_and_the_model_comes(swarm: Swarm) -> None:
    base, reference, numbers = against_unknown(swarm)
    liar = swarm.holders[2]
    for holder in swarm.holders:
        holder.blobs[WHOLE + reference] = numbers
    liar.blobs[WHOLE + reference] = bytes(len(numbers))
    await swarm.standing_on(reference)
    await swarm.hand_out(base)
    assert await swarm.fetched() == {liar.id: {"wrong-reference": 1}}


async def test_a_chunk_that_is_not_the_body_s_is_refused_when_it_comes(swarm: Swarm) -> None:
    first, liar = swarm.first, swarm.holders[2]
    step = np.random.default_rng(1).normal(0, 0.01, first.layout.parameters).astype(np.float32)
    body = encode("dense", step, first.layout)
    model = content_hash(first.genesis + step)
    base = first.update(body, role="base", codec="dense", model=model)
    swarm.holders[1].blobs[base.id] = body
    liar.blobs[base.id] = bytes(len(body))
    await swarm.standing_on(model)
    await swarm.hand_out(base)
    assert await swarm.fetched() == {liar.id: {"bad-chunk": 1}}
    assert all(base.id in holder.asked for holder in swarm.holders)
