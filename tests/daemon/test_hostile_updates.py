"""What a lying peer offers, through the port of a running daemon: refused, counted, survived."""

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossipd.network.interface import RequestFailed
from gossipd.tensors.codecs import encode
from gossipd.wire import limits
from gossipd.wire.envelope import seal
from gossipd.wire.framing import encode_message, pack
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Hello, Offer, Refused, StepClaim, Want
from gossipd_scenarios.fleet import Member
from support.hostile import Outsider
from support.keys import key_from

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 20.0
SETTINGS = {"mode": "gossip"}
"""There updates are offered by whoever comes; tests/rounds lies to daemons that work in rounds."""


class Attack:
    """An outsider that the daemon has admitted."""

    def __init__(self, outsider: Outsider, daemon: Member) -> None:
        self.outsider = outsider
        self.daemon = daemon

    async def offer(self, body: bytes, **fields: Any) -> Any:
        update = self.outsider.update(body, **fields)
        return await self.outsider.offer(self.daemon.peer_id, update)

    async def refused(self, reason: str, times: int = 1) -> None:
        """Wait until the daemon has counted this, against this peer, and see it go on."""

        def counted(status: dict[str, Any]) -> bool:
            by_peer = status["refused_by_peer"].get(self.outsider.id, {})
            return bool(by_peer.get(reason, 0) >= times)

        before = await self.daemon.until(counted, SECONDS, f"{reason} to be counted")
        assert before["updates"]["merged"] == before["updates"]["adopted"] == 0
        await self.daemon.until(
            lambda now: bool(now["training"]["cycles"] > before["training"]["cycles"]),
            SECONDS,
            "training to go on",
        )


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


async def admitted(outsider: Outsider, daemon: Member) -> Attack:
    swarm = bytes.fromhex((await daemon.status())["swarm"])
    assert outsider.swarm == swarm
    answer = await outsider.meet(daemon.peer_id, daemon.addresses)
    assert isinstance(answer, Hello), answer
    return Attack(outsider, daemon)


async def swarm_of(daemon: Member) -> bytes:
    return bytes.fromhex((await daemon.status())["swarm"])


async def test_an_honest_update_is_fetched_and_merged(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        answer = await attack.offer(outsider.body())
        assert isinstance(answer, Want)
        assert len(answer.updates) == 1
        await daemon.until(
            lambda s: bool(s["updates"]["merged"] + s["updates"]["adopted"] > 0),
            SECONDS,
            "the honest update to be merged",
        )


async def test_a_flipped_bit_in_the_envelope_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        await admitted(outsider, daemon)
        envelope = outsider.update(outsider.body()).envelope
        positions = np.linspace(0, len(envelope) - 1, 12).astype(int)
        for position in positions:
            broken = bytearray(envelope)
            broken[position] ^= 1
            answer = await outsider.ask(daemon.peer_id, Offer(manifests=(bytes(broken),)))
            assert isinstance(answer, Refused), position
        status = await daemon.status()
        refused = status["refused_by_peer"][outsider.id]
        reasons = {"bad-signature", "malformed", "foreign-swarm", "version", "bad-chunks"}
        assert set(refused) <= reasons
        assert sum(refused.values()) == len(positions)
        assert refused["bad-signature"] >= 6
        assert status["updates"]["fetched"] == 0


async def test_a_flipped_bit_in_a_chunk_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        body = outsider.body()
        update = outsider.update(body)
        broken = bytearray(body)
        broken[len(broken) // 2] ^= 1
        outsider.blobs[update.id] = bytes(broken)
        await outsider.offer(daemon.peer_id, update)
        await attack.refused("bad-chunk")


async def test_a_model_with_nan_inside_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        delta = np.zeros(outsider.layout.parameters, np.float16)
        delta[7] = np.nan
        await attack.offer(delta.tobytes())
        await attack.refused("not-finite")


async def test_a_body_that_no_encoder_writes_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        delta = np.full(outsider.layout.parameters, 0.01, np.float32)
        body = bytearray(encode("q8", delta, outsider.layout))
        body[-1] = 0x80
        await attack.offer(bytes(body), codec="q8")
        await attack.refused("malformed")


async def test_a_body_that_would_grow_is_not_unpacked(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        stage = zlib.compressobj(9, wbits=-15)
        bomb = stage.compress(bytes(1_000_000)) + stage.flush()
        await attack.offer(bomb, codec="q8+deflate")
        await attack.refused("malformed")


async def test_a_body_that_is_another_model_than_declared_is_refused(
    daemon: Member, name: str
) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        await attack.offer(outsider.body(), model=digest(b"another"))
        await attack.refused("wrong-model")


async def test_declared_variances_must_fit_the_model(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        await attack.offer(outsider.body(), variances=(1.0,))
        await attack.refused("wrong-variances")


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("wrong-layout", {"layout": digest(b"another layout")}),
        ("wrong-layout", {"parameters": 11}),
        ("foreign-task", {"task": digest(b"another task")}),
        ("unknown-codec", {"codec": "zip"}),
        ("undersized-body", {"codec": "dense"}),
        ("unknown-reference", {"reference": digest(b"nobody has it")}),
        ("wrong-kind", {"kind": "full"}),
        ("lineage-above-steps", {"steps": 3}),
    ],
)
async def test_a_manifest_that_does_not_fit_is_refused_before_its_body_is_fetched(
    daemon: Member, name: str, reason: str, fields: dict[str, Any]
) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        answer = await attack.offer(outsider.body(), **fields)
        assert answer == Want()
        await attack.refused(reason)
        assert (await daemon.status())["updates"]["fetched"] == 0


async def test_a_body_of_ten_gigabytes_is_refused_unread(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        honest = outsider.manifest(outsider.body())
        huge = pack({**_plain(honest), "body_size": 10_000_000_000})
        answer = await outsider.ask(daemon.peer_id, Offer(manifests=(_sealed(outsider, huge),)))
        assert isinstance(answer, Refused)
        await attack.refused("malformed")

        allowed = limits.BODY_BYTES
        chunks = tuple(digest(b"chunk") for _ in range(limits.CHUNKS))
        manifest = outsider.manifest(outsider.body(), body_size=allowed, chunks=chunks)
        sealed = seal(manifest, outsider.swarm, outsider.signer)
        await outsider.ask(daemon.peer_id, Offer(manifests=(sealed,), claims=(outsider.claim(10),)))
        await attack.refused("oversized-body")


async def test_a_blob_of_another_size_than_declared_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        update = outsider.update(outsider.body())
        outsider.blobs[update.id] = bytes(50_000_000)
        await outsider.offer(daemon.peer_id, update)
        await attack.refused("fetch-wrong-size")


async def test_the_same_number_with_other_content_is_kept_as_proof(
    daemon: Member, name: str
) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        await attack.offer(outsider.body(0.01), seq=77)
        await attack.offer(outsider.body(0.02), seq=77, lineage={outsider.me: 9})
        await daemon.until(
            lambda s: bool(s["refused"].get("equivocation", 0)), SECONDS, "equivocation"
        )
        events = (await daemon.events())["events"]
        proofs = [event for event in events if event["kind"] == "equivocation"]
        assert [proof["author"] for proof in proofs] == [outsider.id]
        await attack.offer(outsider.body(0.03), lineage={outsider.me: 10})
        await daemon.until(
            lambda s: bool(s["refused"].get("equivocation", 0) >= 2),
            SECONDS,
            "a forked author to be refused from then on",
        )


async def test_an_update_of_another_swarm_is_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        foreign = digest(b"another swarm")
        sealed = seal(outsider.manifest(outsider.body(), swarm=foreign), foreign, outsider.signer)
        answer = await outsider.ask(daemon.peer_id, Offer(manifests=(sealed,)))
        assert isinstance(answer, Refused)
        await attack.refused("foreign-swarm")


async def test_steps_that_their_author_never_signed_are_refused(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        everybody = {digest(bytes([n]))[:8]: 1_000_000 for n in range(100)}
        await attack.offer(outsider.body(), lineage={outsider.me: 10, **everybody})
        await attack.refused("unproven-lineage")


async def test_steps_of_the_daemon_itself_cannot_be_made_up(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        await daemon.until(lambda s: s["training"]["cycles"] > 0, SECONDS, "a first head")
        models = await daemon.models()
        me = next(iter(next(m["lineage"] for m in models if m["role"] == "head")))
        lineage = {outsider.me: 10, bytes.fromhex(me): 10**9}
        await attack.offer(outsider.body(), lineage=lineage)
        await attack.refused("forged-lineage")


def _forged_claim(outsider: Outsider) -> bytes:
    """A claim in somebody else's name, signed with one's own key."""
    _, _, other = key_from("somebody else")
    claim = StepClaim(incarnation=1, steps=5)
    sealed = seal(claim, outsider.swarm, outsider.signer)
    return sealed.replace(outsider.signer.public_key, other.public_key)


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("malformed", lambda o: b""),
        ("malformed", lambda o: b"\xc1" * 100),
        ("malformed", lambda o: pack({"t": "no such message"})),
        ("malformed", lambda o: b"\x91" * 100_000),
        ("malformed", lambda o: b"\xdd\xff\xff\xff\xff"),
        ("malformed", lambda o: pack({"t": "offer", "manifests": [b"x"] * 5})),
        ("malformed", lambda o: pack({"t": "ping", "est": 2**60})),
        ("bad-signature", lambda o: encode_message(Offer(claims=(_forged_claim(o),)))),
    ],
    ids=["nothing", "noise", "unknown", "deep", "4G-array", "too-many", "round-2^60", "forged"],
)
async def test_bytes_that_are_no_message_are_refused(
    daemon: Member, name: str, reason: str, payload: Callable[[Outsider], bytes]
) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        answer = await outsider.ask_raw(daemon.peer_id, payload(outsider))
        assert isinstance(answer, Refused)
        assert answer.code == reason
        await attack.refused(reason)


async def test_who_goes_on_is_dropped_and_held_off(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        await admitted(outsider, daemon)
        assert (await daemon.status())["network"]["connected"] == 1
        with contextlib.suppress(RequestFailed):  # the last answer may be cut off
            for _ in range(limits.VIOLATIONS):
                await outsider.ask_raw(daemon.peer_id, b"\xc1")
        status = await daemon.until(
            lambda s: s["network"]["connected"] == 0, SECONDS, "the hostile peer to be dropped"
        )
        assert status["refused"]["malformed"] == limits.VIOLATIONS


async def test_a_model_that_knows_nothing_is_stopped_by_the_gate(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        # Once the daemon itself knows more than a guess, it notices when a merge would undo that.
        await daemon.until(
            lambda s: bool((s["models"]["head"]["held_out_accuracy"] or 0) > 0.8),
            SECONDS,
            "a head that is worth protecting",
        )
        noise = np.random.default_rng(1).normal(0.0, 100.0, outsider.layout.parameters)
        await attack.offer(noise.astype(np.float16).tobytes())
        status = await daemon.until(
            lambda s: bool(s["updates"]["gated"]), SECONDS, "the gate to refuse"
        )
        assert status["models"]["head"]["held_out_accuracy"] > 0.8
        assert status["updates"]["merged"] == status["updates"]["adopted"] == 0


async def test_a_stranger_must_say_hello_first(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        await outsider.transport.dial(daemon.peer_id, daemon.addresses, 10.0)
        answer = await outsider.ask(daemon.peer_id, Offer())
        assert isinstance(answer, Refused)
        assert answer.code == "hello-first"


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("foreign-swarm", {"swarm": digest(b"another swarm")}),
        ("wrong-layout", {"layout": digest(b"another layout")}),
        ("wrong-genesis", {"genesis": digest(b"another start")}),
        ("foreign-task", {"task": digest(b"another task")}),
        ("version", {"version": 2}),
    ],
)
async def test_who_does_not_belong_here_is_told_why(
    daemon: Member, name: str, code: str, fields: dict[str, Any]
) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        answer = await outsider.meet(daemon.peer_id, daemon.addresses, **fields)
        assert isinstance(answer, Refused)
        assert answer.code == code
        assert answer.reason
        status = await daemon.status()
        assert status["refused"][code] == 1


async def test_two_swarms_on_one_network_leave_each_other_alone(daemon: Member, name: str) -> None:
    async with Outsider(name, digest(b"the swarm next door")) as outsider:
        answer = await outsider.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(answer, Refused)
        assert answer.code == "foreign-swarm"
        assert (await daemon.status())["refused"] == {"foreign-swarm": 1}


async def test_a_claim_of_any_size_is_not_kept(daemon: Member, name: str) -> None:
    async with Outsider(name, await swarm_of(daemon)) as outsider:
        attack = await admitted(outsider, daemon)
        payload = pack({"incarnation": 1, "steps": 5, "more": bytes(5000)})
        claim = _sealed(outsider, payload, "claim")
        answer = await outsider.ask(daemon.peer_id, Offer(claims=(claim,)))
        assert isinstance(answer, Refused)
        await attack.refused("too-large")


def _plain(manifest: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(manifest, builtin_types=(bytes,))
    return plain


def _sealed(outsider: Outsider, payload: bytes, kind: str = "manifest") -> bytes:
    """A correctly signed envelope around any payload."""
    signed = b"gossipd/1/%s\x00" % kind.encode() + outsider.swarm + payload
    signature = outsider.signer.sign(signed)
    return pack([1, kind, payload, outsider.signer.public_key, signature])
