"""The loops that sampled rounds are compared with are what they are called, and count fairly."""

import numpy as np
import pytest

from benchmarks import baselines, few_of_many, sampled
from benchmarks.baselines import MANIFEST, World, age_gossip, dpsgd, fedavg
from benchmarks.course import Point, Swarm, is_over, nodes_of, reached
from benchmarks.workload import Source
from gossipd.averaging.mean import mean
from gossipd.simulation.world import Simulation
from gossipd.tensors import codecs

DIGITS = Source("digits")


def swarm(nodes: int = 12, sample: int = 4, alpha: float | None = None, rounds: int = 3) -> Swarm:
    return Swarm(DIGITS, nodes, sample, alpha, None, rounds)


@pytest.mark.parametrize("loop", [fedavg, dpsgd, age_gossip])
def test_a_loop_is_a_function_of_its_seed(loop: baselines.Loop) -> None:
    first, again, other = (loop(swarm(), "dense", seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [point.round for point in first] == [1, 2, 3]


def test_bytes_are_those_of_the_models_that_travel() -> None:
    layout = World(swarm(), "dense", 1).learners[0].layout
    body = codecs.body_sizes("dense", layout).most + MANIFEST
    sizes = {loop: loop(swarm(), "dense", 1)[-1].bytes for loop in (fedavg, dpsgd, age_gossip)}
    assert sizes == {
        fedavg: 3 * 2 * 4 * body,
        dpsgd: 3 * 12 * baselines.DEGREE * body,
        age_gossip: 3 * 12 * body,
    }
    half = codecs.body_sizes("half", layout).most + MANIFEST
    assert fedavg(swarm(), "half", 1)[-1].bytes == 3 * 2 * 4 * half


def test_a_servers_round_is_the_mean_of_its_sample_by_examples() -> None:
    """With everybody in the sample, so that nothing is left to chance."""
    world = World(swarm(6, 6), "dense", 1)
    trained = world.train(range(6), [world.genesis] * 6)
    model = mean(trained, [node.examples for node in world.learners])
    (point,) = fedavg(swarm(6, 6, rounds=1), "dense", 1)
    assert point.accuracy["model"] == world.judge(model)


def test_merging_by_age_follows_the_elder() -> None:
    young, old = np.zeros(3, np.float32), np.ones(3, np.float32)
    merged, age = baselines.by_age(young, 10, old, 30)
    assert (merged.tolist(), age) == ([0.75] * 3, 30)
    untouched, age = baselines.by_age(young, 0, old, 0)
    assert (untouched.tolist(), age) == ([0.0] * 3, 0)


def test_what_is_said_of_a_model_is_counted_as_our_manifests_are_large() -> None:
    """The real one of a first round, whose lineage names nobody but its author."""
    with Simulation(1) as sim:
        sampled.populate(sim, swarm(2, 2), "dense", nodes_of(swarm(2, 2), 1))
        sim.start(*sim.nodes)
        sim.run_until(lambda: sim.log.of("trained"), 30.0)
        node = sim.nodes[sim.log.of("trained")[0].node].live
        envelope = node.store.load_manifest(node.store.models()[0].update or b"")
    assert envelope is not None
    assert len(envelope) == pytest.approx(MANIFEST, rel=0.15)


def test_sampled_rounds_are_seeded_and_count_everything_that_is_sent() -> None:
    done, again = (sampled.run(swarm(6, 3), "dense", 2) for _ in range(2))
    assert done == again
    sent = sum(size for _, size in done.traffic.values())
    assert sent >= done.course[-1].bytes > done.course[0].bytes
    assert {"body", "aggregated", "trained", "ping", "view", "have", "hello"} <= done.traffic.keys()
    assert [point.round for point in done.course] == [1, 2, 3]


def test_who_will_be_drawn_is_known_beforehand() -> None:
    this = swarm(12, 4, alpha=0.1, rounds=5)
    learners = nodes_of(this, 3)
    able = [node for node, learner in enumerate(learners) if learner.examples]
    with Simulation(3) as sim:
        sampled.populate(sim, this, "dense", learners)
        sim.start(*sim.nodes)
        sim.run_until(lambda: len(sim.log.of("aggregated")) >= 5, 30.0)
        for round_ in range(1, 5):
            started = [e for e in sim.log.of("round-started") if e.fields["round"] == round_]
            nodes = {int(e.node.removeprefix("n")) for e in started}
            assert nodes == set(sampled.draws(sim, able, 4, round_))


def test_a_node_without_examples_is_not_sampled_by_a_server() -> None:
    skewed = swarm(60, 60, alpha=0.05, rounds=1)
    world = World(skewed, "dense", 1)
    able = sum(node.examples > 0 for node in world.learners)
    assert able < 60
    world.sent(world.genesis, copies=2 * able)
    assert fedavg(skewed, "dense", 1)[-1].bytes == world.bytes


def course(*accuracies: float) -> list[Point]:
    return [Point(n, n, 100 * n, {"model": a}) for n, a in enumerate(accuracies, start=1)]


def test_the_target_is_reached_at_the_first_round_that_has_it() -> None:
    point = reached(course(0.5, 0.9, 0.8, 0.95), "model", 0.9)
    assert point is not None
    assert point.round == 2
    assert reached(course(0.5), "model", 0.9) is None


def test_a_course_ends_with_its_target_or_its_rounds() -> None:
    this = Swarm(DIGITS, 4, 2, None, 0.9, 3)
    assert not is_over(this, course(0.5, 0.8), ("model",))
    assert is_over(this, course(0.5, 0.95), ("model",))
    assert is_over(this, course(0.1, 0.1, 0.1), ("model",))


def test_few_are_as_far_behind_as_in_their_worst_round() -> None:
    tracks = {"nodes median": 0.8, "nodes worst": 0.7, "average": 0.8, "model": 0.8}
    few = [Point(n, n, n, {**tracks, "nodes worst": worst}) for n, worst in ((1, 0.1), (2, 0.6))]
    few.append(Point(3, 3, 3, tracks))
    every = [Point(n, n, n, {"average": 0.9, "model": 0.9}) for n in (1, 2, 3)]
    bars = few_of_many.FewOfMany(2, [few], [every]).bars()
    assert bars["few of many: median node behind all"] == pytest.approx(0.1)
    assert bars["few of many: worst node behind all"] == pytest.approx(0.3)
