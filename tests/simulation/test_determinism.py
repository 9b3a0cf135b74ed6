"""The same seed makes the same run: in another process, under another PYTHONHASHSEED."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossipd.simulation.connection import Link
from gossipd.simulation.node import Machine
from gossipd.simulation.world import Simulation
from support.simulated import digits, options, stub, swarm

TESTS = Path(__file__).parent.parent
RUN = "from simulation.test_determinism import {0}; print({0}({1}))"


def eventful(seed: int) -> str:
    """Everything that a simulation can do to a swarm; the log's hash."""
    with Simulation(seed, link=Link(loss=0.01, resets=0.001)) as sim:
        machine = Machine(uplink=100_000, clock_rate=1.01, wall_offset=-7200)
        names = swarm(sim, 6, stub, machine)
        sim.at(3.0, lambda: sim.split(names[:3], names[3:]))
        sim.at(4.0, lambda: sim.kill("n0"))
        sim.at(6.0, lambda: sim.kill("n4", silently=True))
        sim.run(8.0)
        sim.nodes["n1"].crash_after(20)
        sim.heal()
        sim.start("n0", "n4")
        sim.run(4.0)
        sim.stop("n5")
        sim.run(4.0)
        assert [node.name for node in sim.running] == ["n0", "n2", "n3", "n4"]
        return f"{sim.log.hash} {sim.log.count} {sorted(sim.accuracies().items())}"


def learning(seed: int) -> str:
    """Real training."""
    with Simulation(seed) as sim:
        swarm(sim, 3, lambda number: digits(number, 3))
        sim.run(5.0)
        return f"{sim.log.hash} {sorted(sim.accuracies().items())}"


def elsewhere(story: str, seed: int, hash_seed: int) -> str:
    environment = os.environ | {
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": str(TESTS),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(story, seed)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_one_seed_makes_one_run_everywhere() -> None:
    here = eventful(1)
    assert eventful(1) == here
    assert {elsewhere("eventful", 1, hash_seed) for hash_seed in (0, 4711)} == {here}


def test_another_seed_makes_another_run() -> None:
    assert eventful(2) != eventful(1)


@pytest.mark.slow
def test_real_training_is_reproduced_bit_for_bit() -> None:
    assert elsewhere("learning", 3, 1) == learning(3)


def test_a_key_depends_on_seed_and_name_alone() -> None:
    ids = []
    for seed, names in ((1, "ab"), (1, "ba"), (2, "ab")):
        with Simulation(seed) as sim:
            swarmed = {name: sim.add(name, stub(0), options()) for name in names}
            ids.append((swarmed["a"].peer_id, swarmed["b"].peer_id))
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4
