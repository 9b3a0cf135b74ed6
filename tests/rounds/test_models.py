"""What rounds do to models: the real averaging, the gate, the serving chain and the disk."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gossipd.averaging.concurrent import Side, merge_concurrent
from gossipd.averaging.variance import variance_corrected
from gossipd.config import Config
from gossipd.protocol.round_events import (
    Adopt,
    Adopted,
    Aggregate,
    Blend,
    Blended,
    Group,
    Offered,
    RoundAggregated,
    RoundTrained,
    RoundWorkFailed,
    TrainRound,
)
from gossipd.protocol.round_settings import RoundSettings
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import Evaluation, Vector
from gossipd.runtime.round_work import RoundWork
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation
from gossipd.wire.messages import Update
from support.simulated import options

SETTINGS = RoundSettings(5, 1, 1.0, 50, 18, 0.0, True)


class Bench:
    """One node in a simulation that nobody talks to, and its hands."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.learner = StubLearner(1)
        self.node = sim.add("n0", self.learner, options(rounds=replace(SETTINGS, local_steps=0)))
        sim.start("n0")
        self.ticket = 0

    @property
    def parts(self) -> Parts:
        return self.node.live

    @property
    def work(self) -> RoundWork:
        return self.parts.round_work

    def does(self, coroutine: Any) -> Any:
        """Run one of the hands' jobs to its end, in virtual time."""
        task = self.node._alive().spawn(coroutine)
        self.sim.run_until(task.done, 60.0)
        return task.result()

    def head(self, base: Update | None = None, round_: int = 2) -> Update:
        lent = self.parts.documents.sample(round_ - 1, (self.node.peer_id,), b"m" * 32)
        trained = self.does(self.work.train(TrainRound(1, base, 18, round_, lent)))
        assert isinstance(trained, RoundTrained)
        return trained.head

    def aggregate(self, *groups: Group, **fields: Any) -> RoundAggregated | RoundWorkFailed:
        plan = Aggregate(
            1,
            2,
            groups,
            fields.get("offered", ()),
            fields.get("serving"),
            fields.get("lineage", {self.work.outbound.me: 18}),
        )
        done = self.does(self.work.aggregate(plan))
        assert isinstance(done, RoundAggregated | RoundWorkFailed)
        return done

    def vector(self, update: Update) -> Vector:
        return self.parts.models.get(update.manifest.model)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Simulation(3) as sim:
        yield Bench(sim)


def group(*heads: Update, weights: tuple[int, ...] | None = None) -> Group:
    return Group(b"m" * 32, heads, weights or (100,) * len(heads), (None,) * len(heads), 100, None)


def decoded(bench: Bench, vector: Vector) -> Vector:
    """What everybody decodes a published vector to."""
    models = bench.parts.models
    return models.encode(vector, models.coding.whole).vector


def within_a_step(bench: Bench, update: Update, expected: Vector) -> bool:
    """Whether a model is what eight bits a number leave of another one."""
    step = np.abs(expected - bench.parts.models.genesis).max() / 127
    return bool(np.abs(bench.vector(update) - expected).max() <= step)


def test_training_starts_from_exactly_the_rounds_model_and_commits_the_head(bench: Bench) -> None:
    head = bench.head()
    manifest = head.manifest
    assert (manifest.role, manifest.round) == ("head", 2)
    assert manifest.base == bench.parts.models.genesis_hash
    assert manifest.lineage == {bench.work.outbound.me: manifest.steps}
    assert bench.parts.models.pointers.head == manifest.model
    assert bench.parts.models.pointers.base == bench.parts.models.genesis_hash
    again = bench.head()
    assert again.manifest.base == bench.parts.models.genesis_hash, "not from its own head"
    assert again.manifest.steps > manifest.steps


def test_a_group_is_averaged_by_examples_with_its_variance_kept(bench: Bench) -> None:
    heads = [bench.head() for _ in range(3)]
    made = bench.aggregate(group(*heads, weights=(100, 300, 0)))
    assert isinstance(made, RoundAggregated)
    expected = variance_corrected(
        bench.learner.layout,
        None,
        [bench.vector(h) for h in heads],
        weights=(100, 300, 0),
        declared=[h.manifest.variances for h in heads],
    )
    assert np.array_equal(bench.vector(made.base), decoded(bench, expected))
    assert (made.base.manifest.role, made.base.manifest.round) == ("base", 2)


def test_without_any_known_examples_all_count_the_same(bench: Bench) -> None:
    heads = [bench.head(), bench.head()]
    assert isinstance(bench.aggregate(group(*heads, weights=(0, 0))), RoundAggregated)


def test_the_serving_chain_begins_with_the_model_and_moves_a_fifth_each_round(
    bench: Bench,
) -> None:
    first = bench.aggregate(group(bench.head()))
    assert isinstance(first, RoundAggregated)
    assert within_a_step(bench, first.serving, bench.vector(first.base))
    second = bench.aggregate(group(bench.head(first.base)), serving=first.serving)
    assert isinstance(second, RoundAggregated)
    expected = 0.8 * bench.vector(first.serving) + 0.2 * bench.vector(second.base)
    assert within_a_step(bench, second.serving, expected)
    assert second.serving.manifest.role == "serving"


def test_an_offered_base_is_merged_by_the_rule_for_concurrent_models(bench: Bench) -> None:
    first = bench.aggregate(group(bench.head()))
    assert isinstance(first, RoundAggregated)
    head = bench.head()
    offered = Offered(first.base, first.serving, 300, None)
    made = bench.aggregate(group(head), offered=(offered,), serving=first.serving)
    assert isinstance(made, RoundAggregated)
    alone = variance_corrected(
        bench.learner.layout, None, [bench.vector(head)], declared=[head.manifest.variances]
    )
    expected = merge_concurrent(
        bench.learner.layout,
        [
            Side(alone, 100, None),
            Side(bench.vector(first.base), 300, None, first.base.manifest.variances),
        ],
    )
    assert np.array_equal(bench.vector(made.base), decoded(bench, expected))


def test_islands_bases_and_serving_models_are_merged_alike_without_a_round(bench: Bench) -> None:
    one = bench.aggregate(group(bench.head()))
    other = bench.aggregate(group(bench.head()))
    assert isinstance(one, RoundAggregated)
    assert isinstance(other, RoundAggregated)
    sides = (Offered(one.base, one.serving, 1, None), Offered(other.base, None, 1, None))
    made = bench.aggregate(offered=sides, serving=one.serving)
    assert isinstance(made, RoundAggregated)
    both = bench.vector(one.serving) + bench.vector(other.base)
    assert np.corrcoef(bench.vector(made.serving), both)[0, 1] > 0.99
    bases_only = tuple(Offered(o.base, None, 1, None) for o in sides)
    kept = bench.aggregate(offered=bases_only, serving=one.serving)
    assert isinstance(kept, RoundAggregated)
    assert np.allclose(bench.vector(kept.serving), bench.vector(one.serving), atol=2e-3)


def judged_by(bench: Bench, monkeypatch: pytest.MonkeyPatch, own: bytes, others: float) -> None:
    """A learner whose held-out examples like the model `own` only."""

    def held_out(vector: Vector) -> Evaluation:
        loss = 0.1 if np.array_equal(vector, bench.parts.models.get(own)) else others
        return Evaluation(loss, None, 10, loss)

    bench.work.outbound.evaluations.clear()
    monkeypatch.setattr(bench.learner, "held_out", held_out)
    monkeypatch.setattr(type(bench.learner), "guess", property(lambda self: 1.0))


def test_the_gate_judges_what_was_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.aggregate(group(bench.head()))
    assert isinstance(first, RoundAggregated)
    assert isinstance(bench.does(bench.work.adopt(Adopt(1, first.base, None))), Adopted)
    heads = [bench.head(first.base)]
    judged_by(bench, monkeypatch, bench.parts.models.pointers.base, 9.0)
    refused = bench.aggregate(group(*heads))
    assert isinstance(refused, RoundWorkFailed)
    assert refused.gate
    sides = tuple(Offered(update, None, 1, None) for update in (first.serving, heads[0]))
    refused = bench.does(bench.work.blend(Blend(1, 2, sides, {})))
    assert isinstance(refused, RoundWorkFailed)
    assert refused.gate


def test_what_a_blend_has_gained_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.aggregate(group(bench.head()))
    assert isinstance(first, RoundAggregated)
    assert first.gain is None
    assert isinstance(bench.does(bench.work.adopt(Adopt(1, first.base, first.serving))), Adopted)
    sides = tuple(Offered(update, None, 1, None) for update in (first.serving, bench.head()))
    for others in (0.05, 0.5):
        judged_by(bench, monkeypatch, bench.parts.models.pointers.serving, others)
        blended = bench.does(bench.work.blend(Blend(1, 2, sides, {})))
        assert isinstance(blended, Blended)
        assert blended.gain == pytest.approx(0.1 - others)


def test_the_initial_model_is_not_worth_keeping_even_when_it_guesses_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = [bench.head()]
    judged_by(bench, monkeypatch, bench.parts.models.pointers.base, 9.0)
    assert isinstance(bench.aggregate(group(*heads)), RoundAggregated)
    judged_by(bench, monkeypatch, bench.parts.models.pointers.base, math.inf)
    refused = bench.aggregate(group(*heads))
    assert isinstance(refused, RoundWorkFailed)
    assert refused.gate


def test_adopting_is_committed_and_survives_the_process(bench: Bench) -> None:
    made = bench.aggregate(group(bench.head()))
    assert isinstance(made, RoundAggregated)
    assert isinstance(bench.does(bench.work.adopt(Adopt(1, made.base, None))), Adopted)
    pointers = bench.parts.models.pointers
    assert pointers.base == pointers.head == made.base.manifest.model
    assert pointers.serving == pointers.base, "until a serving model comes by"
    assert isinstance(bench.does(bench.work.adopt(Adopt(2, None, made.serving))), Adopted)
    claimed = bench.head(made.base, 3).manifest.steps
    bench.sim.restart("n0")
    rounds = bench.parts.node.rounds
    assert rounds is not None
    base, serving = rounds.bases.base, rounds.bases.serving
    assert base is not None
    assert serving is not None
    assert base.manifest.model == made.base.manifest.model
    assert serving.manifest.model == made.serving.manifest.model
    assert (base.manifest.role, serving.manifest.role) == ("base", "serving")
    assert bench.parts.node.own_steps == claimed, "steps that missed their round stay claimed"


def test_a_model_that_is_gone_is_said_to_be(bench: Bench) -> None:
    head = bench.head()
    bench.parts.models._cache.pop(head.manifest.model)
    bench.node.store.load_vector = lambda model: None  # type: ignore[method-assign]
    bench.node.store.load_body = lambda update: None  # type: ignore[method-assign]
    failed = bench.aggregate(group(head))
    assert isinstance(failed, RoundWorkFailed)
    assert "gone" in failed.reason
    assert not failed.gate
    trained = bench.does(
        bench.work.train(
            TrainRound(
                1, head, 1, 2, bench.parts.documents.sample(1, (bench.node.peer_id,), b"m" * 32)
            )
        )
    )
    assert isinstance(trained, RoundWorkFailed)


def test_a_full_disk_fails_the_job_and_not_the_node(bench: Bench) -> None:
    made = bench.aggregate(group(bench.head()))
    assert isinstance(made, RoundAggregated)
    before = bench.parts.models.pointers

    def full(*args: object) -> None:
        raise OSError("no space left on device")

    bench.node.store.commit = full  # type: ignore[method-assign,assignment]
    failed = bench.does(bench.work.adopt(Adopt(1, made.base, made.serving)))
    assert isinstance(failed, RoundWorkFailed)
    assert "no space" in failed.reason
    assert bench.parts.models.pointers == before


def test_who_worked_asynchronously_takes_its_head_into_the_rounds() -> None:
    with Simulation(3) as sim:
        node = sim.add("n0", StubLearner(1), options(Config(mode="gossip")))
        sim.start("n0")
        sim.run(5.0)
        head = node.live.node.gossip.head
        assert head is not None
        sim.kill("n0")
        node.options = options(rounds=SETTINGS)
        sim.start("n0")
        rounds = node.live.node.rounds
        assert rounds is not None
        assert dict(rounds.lineage) == dict(head.manifest.lineage)
        assert rounds.bases.base is not None
        assert rounds.bases.base.manifest.role == "base"
        sim.run(10.0)
        assert rounds.lineage[node.live.node.me] > head.manifest.steps


def test_the_proof_of_the_round_survives_all_processes() -> None:
    with Simulation(4) as sim:
        names = [f"n{i}" for i in range(3)]
        for number, name in enumerate(names):
            sim.add(name, StubLearner(number), options(rounds=SETTINGS))
        sim.introduce(*names)
        sim.start(*names)
        sim.run(20.0)
        before = [sim.nodes[name].live.node.rounds.clock.proven for name in names]  # type: ignore[union-attr]
        assert min(before) > 5
        sim.restart(*names)
        after = [sim.nodes[name].live.node.rounds.clock.proven for name in names]  # type: ignore[union-attr]
        assert all(b - a <= 2 for a, b in zip(after, before, strict=True))
