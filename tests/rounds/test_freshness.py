"""How old the serving models of nodes outside the sample are while rounds go on."""

from gossipd.protocol.rounds import Rounds
from gossipd.simulation.world import Simulation
from gossipd.wire.messages import Have
from support.simulated import swarm

NODES = 20
BEHIND = 19
"""Rounds; where nodes only name what they hold it is 25 and more, with the same bytes."""


def proven(sim: Simulation) -> int:
    return max(rounds_of(sim, node.name).clock.proven for node in sim.running)


def rounds_of(sim: Simulation, name: str) -> Rounds:
    rounds = sim.nodes[name].live.node.rounds
    assert rounds is not None
    return rounds


def test_nine_of_ten_nodes_predict_with_a_recent_model() -> None:
    with Simulation(1) as sim:
        names = swarm(sim, NODES, mode="rounds")
        sim.run(15.0)
        behind = []
        for _ in range(15):
            sim.run(1.0)
            newest = proven(sim)
            for name in names:
                serving = rounds_of(sim, name).bases.serving
                behind.append(newest - (serving.manifest.round if serving else 0))
        assert sorted(behind)[int(0.9 * len(behind))] <= BEHIND


def test_a_node_names_a_serving_model_that_it_was_told_of_and_does_not_hold() -> None:
    with Simulation(1) as sim:
        names = swarm(sim, 6, mode="rounds")
        nothing = Have(lineage={}, model=bytes(32), role="serving")

        def named_without_holding() -> bool:
            for name in names:
                rounds = rounds_of(sim, name)
                (envelope,) = rounds.pulls.answer("", nothing).manifests or (None,)
                held = rounds.bases.serving
                if envelope is not None and held is not None and envelope != held.envelope:
                    return True
            return False

        sim.run_until(named_without_holding, 20.0)


def test_a_model_whose_maker_died_is_given_up_for_the_next_one() -> None:
    with Simulation(2) as sim:
        names = swarm(sim, 8, mode="rounds")
        sim.run(10.0)
        # Who has just made a model dies with it; others go on naming it for a while.
        maker = sim.log.of("aggregated")[-1].node
        sim.kill(maker)
        died = proven(sim)
        rest = [name for name in names if name != maker]
        sim.run_until(
            lambda: all(
                (serving := rounds_of(sim, name).bases.serving) is not None
                and serving.manifest.round > died
                for name in rest
            ),
            40.0,
        )
