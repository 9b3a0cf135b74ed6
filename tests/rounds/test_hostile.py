"""A peer that lies about rounds stops or captures nobody; what it does is counted."""

import msgspec
import pytest

from gossipd.protocol.events import Ask, Requested
from gossipd.wire.framing import pack
from gossipd.wire.messages import (
    Advert,
    Aggregated,
    AnyMessage,
    Ping,
    RoundProof,
    RoundQuery,
    Trained,
)
from support.rounds_world import RoundMember, RoundWorld
from support.world import SWARM, TERMS, key_of

FAR = 2**52


class Stage:
    """A swarm in its rounds, and one peer in it that will not play by the rules."""

    def __init__(self, seed: int = 1, count: int = 6) -> None:
        self.world = RoundWorld(seed)
        self.members = self.world.swarm(count)
        self.villain, *self.honest = self.members
        self.victim = self.honest[0]
        self.world.run_until(lambda: self.victim.proven >= 4, 20.0)

    def says(self, message: AnyMessage) -> None:
        self.world.say(self.villain, self.victim, message)
        self.world.run(0.5)

    def sample(self, round_: int, *peers: RoundMember, by: RoundMember | None = None) -> bytes:
        ids = tuple(p.id for p in peers)
        author = by or self.villain
        return author.documents.sample(round_, ids, TERMS.genesis).envelope

    def participation(self, round_: int, sample: bytes, by: RoundMember) -> bytes:
        opened = by.documents.open_response(pack_proof(sample))[1][0]
        return by.documents.participation(round_, opened.id).envelope  # type: ignore[union-attr]

    def refused(self) -> dict[str, int]:
        return dict(self.victim.node.peers.table[self.villain.id].refused)

    def goes_on(self) -> None:
        """Nobody was carried off, and rounds are still made."""
        before = max(m.proven for m in self.honest)
        assert before < 1000
        self.world.run_until(lambda: min(m.proven for m in self.honest) > before + 3, 30.0)


def pack_proof(sample: bytes) -> bytes:
    return pack(RoundProof(previous=sample))


def test_a_number_without_proof_counts_for_nothing() -> None:
    stage = Stage()
    stage.says(Ping(est=FAR))
    stage.says(Advert(record=stage.villain.documents.record((), 1, None).envelope, est=FAR))
    stage.says(RoundQuery(round=FAR))
    stage.goes_on()
    assert stage.victim.rounds.activity.last_round(stage.villain.id) <= stage.victim.proven + 1


def test_a_number_that_is_none_is_not_even_read() -> None:
    stage = Stage()
    raw = msgspec.msgpack.encode({"t": "ping", "est": 2**60})
    from gossipd.wire.errors import WireError

    with pytest.raises(WireError):
        stage.victim.documents.open_request(raw)
    stage.goes_on()


def test_a_far_round_with_a_forged_sample_is_refused() -> None:
    stage = Stage()
    sample = stage.sample(FAR, stage.villain, stage.victim)
    stage.says(Aggregated(round=FAR, sample=sample))
    assert stage.victim.rounds.round < FAR
    stage.goes_on()


def test_one_key_alone_proves_no_round() -> None:
    stage = Stage()
    alone = stage.sample(FAR - 1, stage.villain)
    part = stage.participation(FAR, alone, stage.villain)
    stage.says(
        Aggregated(
            round=FAR,
            sample=stage.sample(FAR, stage.villain, stage.victim),
            previous=alone,
            participations=(part, part, part),
        )
    )
    stage.goes_on()


def test_participations_of_non_members_prove_nothing() -> None:
    stage = Stage()
    named = stage.sample(FAR - 1, stage.villain, stage.honest[0], stage.honest[1])
    strangers = [RoundMember(stage.world, f"stranger{i}") for i in range(5)]
    parts = [stage.participation(FAR, named, s) for s in (stage.villain, *strangers)]
    stage.says(
        Aggregated(
            round=FAR,
            sample=stage.sample(FAR, stage.villain, stage.victim),
            previous=named,
            participations=tuple(parts),
        )
    )
    stage.goes_on()


def test_a_sample_of_keys_that_nobody_has_met_proves_nothing() -> None:
    stage = Stage()
    strangers = [RoundMember(stage.world, f"stranger{i}") for i in range(5)]
    named = stage.sample(FAR - 1, *strangers)
    parts = [stage.participation(FAR, named, s) for s in strangers]
    stage.says(
        Aggregated(
            round=FAR,
            sample=stage.sample(FAR, stage.villain, stage.victim),
            previous=named,
            participations=tuple(parts),
        )
    )
    stage.goes_on()


def test_a_participation_in_another_sample_or_round_proves_nothing() -> None:
    stage = Stage()
    proof = stage.victim.rounds.clock.proof
    assert proof is not None
    parts = tuple(p.envelope for p in proof.participations)
    names = tuple(stage.world.by_id[p.author] for p in proof.participations)
    far = stage.sample(FAR - 1, *names)  # type: ignore[arg-type]
    stage.says(
        Aggregated(
            round=FAR,
            sample=stage.sample(FAR, stage.villain, stage.victim),
            previous=far,
            participations=parts,
        )
    )
    stage.goes_on()


def test_an_old_proof_is_only_an_old_proof() -> None:
    stage = Stage()
    proof = stage.victim.rounds.clock.proof
    assert proof is not None
    stage.goes_on()
    before = stage.victim.proven
    assert not stage.victim.rounds.clock.learn(proof.sample, proof.participations)
    assert stage.victim.proven == before


def test_an_aggregate_signed_by_another_is_refused() -> None:
    stage = Stage()
    number = stage.victim.rounds.clock.next
    stolen = stage.sample(number, stage.villain, stage.victim, by=stage.honest[1])
    stage.says(Aggregated(round=number, sample=stolen))
    assert stage.refused()["forged-sample"] == 1
    stage.goes_on()


def test_who_is_not_sampled_is_not_sent_to_train() -> None:
    stage = Stage()
    number = stage.victim.rounds.clock.next
    stage.says(Aggregated(round=number, sample=stage.sample(number, stage.villain)))
    assert stage.refused()["not-sampled"] == 1
    stage.goes_on()


def test_a_sample_for_another_model_is_refused() -> None:
    stage = Stage()
    number = stage.victim.rounds.clock.next
    base = stage.villain.update(role="base")
    message = Aggregated(
        round=number,
        sample=stage.sample(number, stage.villain, stage.victim),
        manifests=(base.envelope,),
    )
    stage.says(message)
    assert stage.refused()["wrong-model"] == 1
    stage.goes_on()


def test_a_trained_model_of_somebody_who_was_not_sampled_is_refused() -> None:
    stage = Stage()
    number = stage.victim.rounds.clock.next
    head = stage.villain.update(role="head", base=TERMS.genesis, round=number + 1)
    sample = stage.sample(number, stage.victim)
    stage.says(
        Trained(
            round=number + 1,
            sample=sample,
            participation=stage.participation(number + 1, sample, stage.villain),
            manifests=(head.envelope,),
        )
    )
    assert stage.refused()["not-sampled"] == 1
    stage.goes_on()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("another's head", "wrong-head"),
        ("another round", "wrong-head"),
        ("another base", "wrong-head"),
        ("another's participation", "forged-participation"),
        ("no participation", "forged-participation"),
        ("sample of another round", "forged-sample"),
    ],
)
def test_a_trained_model_must_be_what_it_says(fault: str, reason: str) -> None:
    stage = Stage()
    villain, other = stage.villain, stage.honest[1]
    number = stage.victim.rounds.clock.next
    sample = stage.sample(number, villain, stage.victim)
    author = other if fault == "another's head" else villain
    head = author.update(
        role="head",
        base=SWARM.task if fault == "another base" else TERMS.genesis,
        round=number if fault == "another round" else number + 1,
    )
    witness = other if fault == "another's participation" else villain
    part = stage.participation(number + 1, sample, witness)
    stage.says(
        Trained(
            round=number + 2 if fault == "sample of another round" else number + 1,
            sample=sample,
            participation=b"" if fault == "no participation" else part,
            manifests=(head.envelope,),
        )
    )
    assert stage.refused()[reason] == 1
    stage.goes_on()


def test_a_lineage_that_claims_everybodys_work_is_refused() -> None:
    stage = Stage()
    number = stage.victim.rounds.clock.next
    everything = {m.me: 10**9 for m in stage.honest[1:]}
    base = stage.villain.update(role="base", lineage=everything, steps=10**9)
    ids = (stage.villain.id, stage.victim.id)
    sample = stage.villain.documents.sample(number, ids, base.manifest.model)
    stage.says(Aggregated(round=number, sample=sample.envelope, manifests=(base.envelope,)))
    stage.world.run(1.0)
    assert stage.refused()["unproven-lineage"] == 1
    assert stage.victim.lineage.get(stage.honest[1].me, 0) < 10**9
    stage.goes_on()


def test_a_trainer_that_never_delivers_does_not_stop_anybody() -> None:
    stage = Stage()
    stage.villain.training_seconds = 1e9
    stage.goes_on()


def test_an_aggregator_that_only_pretends_to_collect_is_left() -> None:
    stage = Stage(count=3)
    villain = stage.villain

    def pretend(event: object) -> None:
        if isinstance(event, Requested) and isinstance(event.message, Trained | RoundQuery):
            from gossipd.protocol.events import Answer

            stage.world.perform(villain, Answer(event.token, RoundProof(state="collecting")))
        else:
            original(event)  # type: ignore[arg-type]

    original = villain.feed
    villain.feed = pretend  # type: ignore[method-assign]
    before = max(m.proven for m in stage.honest)
    stage.world.run_until(lambda: max(m.proven for m in stage.honest) > before + 5, 120.0)


def test_whoever_claims_far_rounds_all_the_time_is_asked_now_and_then_only() -> None:
    stage = Stage()
    asked = stage.world.asked["RoundQuery"]
    quiet = stage.victim
    before = sum(1 for o in quiet.outputs if isinstance(o, Ask) and o.peer == stage.villain.id)
    for _ in range(50):
        stage.world.say(stage.villain, quiet, Ping(est=FAR))
        stage.world.run(0.02)
    after = sum(1 for o in quiet.outputs if isinstance(o, Ask) and o.peer == stage.villain.id)
    assert asked > 0
    assert after - before < 30
    stage.goes_on()


def test_the_key_of_a_stranger_is_no_member() -> None:
    peer, _ = key_of("stranger")
    stage = Stage()
    assert stage.victim.node.view.record_of(peer) is None
