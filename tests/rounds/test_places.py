"""Swarms with more nodes than one of them has places for connections."""

from gossipd.simulation.node import Machine
from gossipd.simulation.world import Simulation
from support.simulated import swarm

NODES = 40
PLACES = 10


def test_a_swarm_larger_than_its_nodes_connections_makes_one_chain_of_rounds() -> None:
    with Simulation(3) as sim:
        names = swarm(
            sim,
            NODES,
            mode="rounds",
            machine=Machine(upkeep_seconds=None),
            max_connections=PLACES,
        )
        sim.run(5.0)
        before = len(sim.log.of("peer-connected"))
        began = max(_proven(sim, name) for name in names)
        sim.run(8.0)
        rounds = max(_proven(sim, name) for name in names) - began
        assert rounds >= 8
        # One opens the first round; two do when they cannot know of each other yet. Later on a slow
        # round may look like a stall to one of them.
        opened_at = [entry.fields["round"] for entry in sim.log.of("round-opened")]
        assert opened_at.count(1) <= 3
        assert len(opened_at) - opened_at.count(1) <= 1
        assert len({e.fields["round"] for e in sim.log.of("aggregated")}) >= rounds
        assert min(_proven(sim, name) for name in names) > began - 3, "all hear of it"
        for name in names:
            assert len(sim.nodes[name].live.transport.connections()) <= PLACES + 2
        # Both ends report a connection; a sample of five, its aggregator and some at a stall.
        opened = (len(sim.log.of("peer-connected")) - before) / 2
        assert opened / rounds < 40, "no storm of connections that come and go"


def _proven(sim: Simulation, name: str) -> int:
    rounds = sim.nodes[name].live.node.rounds
    assert rounds is not None
    return rounds.clock.proven
