"""SIGSTOP in virtual time: a process that stands still while its clocks go on."""

from gossipd.simulation.world import Simulation
from support.simulated import swarm


def test_a_frozen_node_is_lost_by_the_others_and_comes_back_when_it_goes_on() -> None:
    with Simulation(1) as sim:
        swarm(sim, 3)
        sim.run(5.0)
        frozen = sim.nodes["n0"]
        steps = frozen.live.node.own_steps
        frozen.freeze()
        sim.run(30.0)
        assert frozen.frozen
        assert frozen.running
        assert frozen.live.node.own_steps == steps
        lost = {entry.node for entry in sim.log.of("peer-lost")}
        assert lost == {"n1", "n2"}, "and not n0: it cannot know"
        frozen.thaw()
        sim.run(30.0)
        assert frozen.live.node.own_steps > steps
        assert len(frozen.live.node.peers.admitted()) == 2


def test_a_short_pause_is_not_noticed() -> None:
    with Simulation(2) as sim:
        swarm(sim, 3)
        sim.run(5.0)
        sim.nodes["n0"].freeze()
        sim.run(3.0)
        sim.nodes["n0"].thaw()
        sim.run(10.0)
        assert not sim.log.of("peer-lost")


def test_a_frozen_node_can_be_killed_and_started_again() -> None:
    with Simulation(3) as sim:
        swarm(sim, 3)
        sim.run(2.0)
        sim.nodes["n0"].freeze()
        sim.run(1.0)
        sim.restart("n0")
        sim.run(10.0)
        assert not sim.nodes["n0"].frozen
        assert len(sim.nodes["n0"].live.node.peers.admitted()) == 2
