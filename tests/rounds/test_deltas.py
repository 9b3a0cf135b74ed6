"""In rounds models travel as deltas against what their receivers have."""

from collections.abc import Mapping
from typing import Any

from gossipd.simulation.world import Simulation
from support.simulated import swarm

AUTO = ("q2+deflate", "q3+deflate", "q4+deflate")


def events(sim: Simulation, kind: str) -> list[Mapping[str, Any]]:
    return [entry.fields for entry in sim.log.of(kind)]


def fetched(sim: Simulation, name: str) -> int:
    return sim.nodes[name].live.inbound.references.counts["fetched"]


def test_a_sample_that_has_the_model_before_gets_what_has_changed() -> None:
    with Simulation(2) as sim:
        names = swarm(sim, 5, mode="rounds")
        sim.run(15.0)
        made = {e["round"]: e for e in events(sim, "aggregated")}
        assert len(made) > 10
        later = [made[number] for number in sorted(made)][3:]
        assert {e["codec"] for e in later} == {"q3+deflate"}
        before = {e["base"] for e in made.values()}
        assert all(e["reference"] in before for e in later)
        assert {e["codec"] for e in events(sim, "trained")[5:]} == {"q2+deflate"}
        assert sum(fetched(sim, name) for name in names) <= len(names)
        heads = {sim.nodes[name].live.models.pointers.base for name in names}
        assert len(heads) <= 2, "all stand on the same bits, but for who is a round behind"


def test_a_newcomer_is_brought_to_the_model_of_all() -> None:
    with Simulation(2) as sim:
        *_, new = swarm(sim, 6, mode="rounds")
        sim.run(1.0)
        sim.nodes[new].kill()
        sim.nodes[new].wipe()
        sim.run(15.0)
        sim.nodes[new].start()
        sim.run(15.0)
        rounds = sim.nodes[new].live.node.rounds
        assert rounds is not None
        assert rounds.cycles > 0, "it has trained in a round"
        assert not sim.nodes[new].live.node.peers.refused.get("no-reference")


def test_after_a_restart_deltas_are_decoded_as_before() -> None:
    with Simulation(3) as sim:
        names = swarm(sim, 5, mode="rounds")
        sim.run(10.0)
        for name in names:
            sim.nodes[name].kill()
        for name in names:
            sim.nodes[name].start()
        began = len(events(sim, "aggregated"))
        sim.run(20.0)
        made = events(sim, "aggregated")[began:]
        assert len(made) > 5
        assert made[-1]["codec"] == "q3+deflate"


def test_an_operator_may_want_float16() -> None:
    with Simulation(2) as sim:
        swarm(sim, 5, mode="rounds", codec="half")
        sim.run(8.0)
        codecs = {e["codec"] for kind in ("trained", "aggregated") for e in events(sim, kind)}
        assert codecs == {"half"}


def test_few_trainers_send_eight_bits_since_little_is_averaged() -> None:
    with Simulation(2) as sim:
        swarm(sim, 3, mode="rounds")
        sim.run(8.0)
        codecs = {e["codec"] for kind in ("trained", "aggregated") for e in events(sim, kind)}
        assert codecs == {"q8+deflate"}
