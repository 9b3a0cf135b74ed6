"""Whole swarms: the daemon's own code in virtual time, through everything that can happen to it."""

import math
from statistics import mean

import pytest

from gossipd.config import Config
from gossipd.simulation.connection import Link
from gossipd.simulation.node import Machine, SimNode
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation, SimulationError
from support.simulated import Mode, digits, options, stub, swarm

BOTH = pytest.mark.parametrize("mode", ["gossip", "rounds"])


def heads(sim: Simulation) -> set[bytes]:
    return {node.live.models.pointers.head for node in sim.running}


def quiet(sim: Simulation, seconds: float = 60.0) -> None:
    """Pause training everywhere and wait until all stand on one model."""
    sim.pause(*(node.name for node in sim.running))
    sim.run_until(lambda: len(heads(sim)) == 1, seconds)


def steps_known(node: SimNode, other: SimNode) -> int:
    return node.live.node.view.steps_of_peer(other.peer_id)


def unharmed(sim: Simulation) -> bool:
    """Nobody has seen a counter go back, two documents for one number, or a fault."""
    return not any(
        node.live.node.identity_in_use or node.store.evidence() or node.live.engine.errors
        for node in sim.running
    )


# --- learning ------------------------------------------------------------------------------------


@BOTH
def test_five_nodes_that_know_two_digits_each_learn_all_ten(mode: Mode) -> None:
    with Simulation(1) as sim:
        swarm(sim, 5, digits, mode=mode)
        alone = {n: node.learner.test(node.learner.genesis()) for n, node in sim.nodes.items()}
        assert max(result.accuracy or 0 for result in alone.values()) < 0.3
        took = sim.run_until(lambda: mean(sim.accuracies().values()) >= 0.85, 30.0, every=1.0)
        assert took < 20.0
        sim.run(10.0)
        assert min(sim.accuracies().values()) >= 0.85
        assert unharmed(sim)


def test_loss_and_broken_connections_do_not_stop_learning() -> None:
    with Simulation(2, link=Link(loss=0.05, resets=0.01)) as sim:
        swarm(sim, 5, digits)
        sim.run_until(lambda: min(sim.accuracies().values()) >= 0.85, 60.0, every=2.0)
        assert sim.network.lost > 20
        assert unharmed(sim)


@BOTH
def test_a_swarm_whose_training_is_paused_ends_on_one_model(mode: Mode) -> None:
    with Simulation(3) as sim:
        swarm(sim, 6, mode=mode)
        sim.run(5.0)
        quiet(sim)
        lineages = {tuple(sorted(n.live.node.mode.lineage.items())) for n in sim.running}
        assert len(lineages) == 1


def test_a_thin_uplink_makes_large_models_slow() -> None:
    """Ten times the model over the same line: fewer bodies come, none is lost for good."""
    fetched = []
    for width in (9, 9999):
        with Simulation(4) as sim:
            learners = [StubLearner(number, width=width) for number in range(4)]
            swarm(sim, 4, learners.__getitem__, Machine(uplink=100_000))
            sim.run(10.0)
            fetched.append(sum(node.traffic.messages["fetch"] for node in sim.running))
            quiet(sim, 120.0)
    assert fetched[1] < fetched[0] / 2


# --- partitions ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("reset", [False, True], ids=["silent", "reset"])
def test_a_split_is_noticed_survived_and_healed(reset: bool, mode: Mode) -> None:
    with Simulation(5) as sim:
        names = swarm(sim, 6, mode=mode)
        left, right = names[:3], names[3:]
        sim.run(5.0)
        sim.split(left, right, reset=reset)
        began = sim.now
        sim.run(25.0)

        lost = sim.log.of("peer-lost")
        assert len(lost) == 2 * 3 * 3
        noticed = [entry.time - began for entry in lost]
        reasons = {entry.fields["reason"] for entry in lost}
        if reset:
            assert (max(noticed), reasons) == (0, {"reset"})
        else:
            assert min(noticed) >= 10
            assert max(noticed) <= 15
            assert reasons == {"heartbeat"}

        apart = steps_known(sim.nodes["n0"], sim.nodes["n3"])
        assert steps_known(sim.nodes["n4"], sim.nodes["n3"]) > apart
        sim.heal()
        sim.run_until(
            lambda: steps_known(sim.nodes["n0"], sim.nodes["n3"]) > apart, 150.0, every=1.0
        )
        quiet(sim, 150.0)
        assert unharmed(sim)


# --- lives ---------------------------------------------------------------------------------------


def test_a_stopped_node_says_goodbye_and_nobody_blames_it() -> None:
    with Simulation(6) as sim:
        swarm(sim, 3)
        sim.run(5.0)
        sim.stop("n0")
        sim.run_until(lambda: not sim.nodes["n0"].running, 5.0)
        sim.run(1.0)
        lost = sim.log.of("peer-lost")
        assert {(entry.node, entry.fields["reason"]) for entry in lost} <= {
            ("n1", "goodbye"),
            ("n2", "goodbye"),
            ("n1", "closed"),
            ("n2", "closed"),
        }
        assert len(lost) == 2
        sim.start("n0")
        sim.run_until(lambda: len(sim.nodes["n0"].live.node.peers.admitted()) == 2, 30.0)


@BOTH
def test_a_killed_node_comes_back_with_its_last_committed_head(mode: Mode) -> None:
    with Simulation(7) as sim:
        swarm(sim, 3, mode=mode)
        sim.run(5.0)
        node = sim.nodes["n1"]
        stood, counters = node.store.pointers(), node.store.counters
        sim.kill("n1")
        sim.run(2.0)
        assert node.store.pointers() == stood
        sim.start("n1")
        assert stood is not None
        assert node.live.restored
        assert node.live.models.pointers == stood
        sim.run(10.0)
        assert node.live.node.view.steps_of_peer(node.peer_id) >= counters["steps"]
        assert unharmed(sim)


def test_a_wiped_node_is_another_author_under_the_same_name() -> None:
    with Simulation(8) as sim:
        swarm(sim, 3)
        sim.run(3.0)
        before = sim.nodes["n2"].live.node.me
        sim.kill("n2")
        sim.wipe("n2")
        sim.run(1.0)
        sim.start("n2")
        assert sim.nodes["n2"].live.node.me != before
        sim.run(5.0)
        quiet(sim)
        assert unharmed(sim)


@BOTH
@pytest.mark.parametrize("silently", [False, True], ids=["killed", "without power"])
def test_a_crash_instead_of_any_effect_costs_nothing_that_was_committed(
    silently: bool, mode: Mode
) -> None:
    """Dies before the first thing that it writes or sends, comes back, dies before the second..."""
    with Simulation(9) as sim:
        swarm(sim, 3, mode=mode)
        victim = sim.nodes["n0"]
        own_steps = 0
        for effects in range(50):
            victim.crash_after(effects, silently=silently)
            sim.run_until(lambda: not victim.running, 60.0)
            pointers, counters = victim.store.pointers(), victim.store.counters
            sim.run(0.5)
            assert (victim.store.pointers(), victim.store.counters) == (pointers, counters)
            sim.start("n0")
            assert victim.live.restored == (pointers is not None)
            if pointers is not None:
                assert victim.live.models.pointers == pointers
            assert victim.live.node.own_steps >= own_steps
            own_steps = victim.live.node.own_steps
        reached = {entry.fields["effect"] for entry in sim.log.of("crash")}
        assert {"commit", "save_vector", "save_update", "request"} <= reached
        sim.run(10.0)
        assert unharmed(sim)
        quiet(sim)


def test_clocks_that_are_wrong_harm_nobody() -> None:
    with Simulation(10) as sim:
        machines = [
            Machine(wall_offset=-20 * 365 * 86_400, clock_origin=1e6),
            Machine(wall_offset=5 * 365 * 86_400, clock_rate=1.05),
            Machine(clock_rate=0.95),
            Machine(),
        ]
        for number, machine in enumerate(machines):
            sim.add(f"n{number}", stub(number), options(Config(mode="gossip")), machine)
        sim.introduce(*sim.nodes)
        sim.start(*sim.nodes)
        sim.run(20.0)
        assert all(len(node.live.node.peers.admitted()) == 3 for node in sim.running)
        assert not any(node.live.node.peers.refused for node in sim.running)
        quiet(sim)
        assert unharmed(sim)
        cycles = [node.live.node.mode.cycles for node in sim.running]
        assert cycles[1] > cycles[2]


def test_a_full_disk_stops_learning_and_not_the_node() -> None:
    with Simulation(11) as sim:
        swarm(sim, 3)
        sim.run(3.0)
        node = sim.nodes["n0"]
        node.store.full = True
        sim.run(10.0)
        stood = node.store.pointers()
        node.store.full = False
        sim.run(10.0)
        assert node.running
        assert node.store.pointers() != stood


# --- the simulation itself -----------------------------------------------------------------------


def test_what_does_not_come_names_the_seed() -> None:
    with Simulation(12) as sim:
        swarm(sim, 2)
        with pytest.raises(SimulationError, match=r"not so within 3.0 s.*seed=12"):
            sim.run_until(lambda: False, 3.0)
    with Simulation(13) as sim, pytest.raises(SimulationError, match=r"nothing will happen.*13"):
        sim.run_until(lambda: False, 3.0)


def test_a_fault_in_the_code_under_test_ends_the_run() -> None:
    with Simulation(14) as sim:
        swarm(sim, 2)

        def broken(*args: object) -> None:
            raise ZeroDivisionError

        sim.run(1.0)
        sim.nodes["n0"].learner.train = broken  # type: ignore[method-assign, assignment]
        with pytest.raises(SimulationError, match=r"n0: unexpected error.*\n(.*\n)*.*ZeroDivision"):
            sim.run(10.0)


def test_looking_takes_no_time_and_changes_nothing() -> None:
    hashes = []
    for looks in (False, True):
        with Simulation(15) as sim:
            swarm(sim, 3)
            for _ in range(10):
                sim.run(0.5)
                if looks:
                    assert not any(math.isnan(value) for value in sim.accuracies().values())
            hashes.append(sim.log.hash)
    assert hashes[0] == hashes[1]
