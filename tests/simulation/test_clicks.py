"""Clicks in whole swarms: the daemon's own code in virtual time, disks that are lost included."""

from gossipd.protocol.click_events import Chosen
from gossipd.simulation.node import SimNode
from gossipd.simulation.world import Simulation
from gossipd.wire.clicks import item_of_peer
from gossipd.wire.messages import ClickPull
from support.simulated import stub, swarm


def sheets_of(node: SimNode) -> set[bytes]:
    return set(node.live.node.clicks.log.answer(ClickPull(), room=1 << 30).sheets)


def seqs(node: SimNode) -> dict[str, list[int]]:
    """Of each author the numbers of the sheets that a node holds, in their order here."""
    found: dict[str, list[int]] = {}
    log = node.live.node.clicks.log
    for held in log.since(0):
        found.setdefault(held.signed.author, []).append(held.signed.sheet.seq)
    return found


def clicking(sim: Simulation, count: int) -> None:
    """Nodes that each choose all the others, and tell."""
    names = swarm(sim, count, stub, mode="gossip", click_seconds=0.5, policy="rank")
    sim.run(2.0)
    for name in names:
        choose(sim.nodes[name], *(sim.nodes[other].peer_id for other in names if other != name))


def choose(node: SimNode, *peers: str) -> None:
    for peer in peers:
        node.feed(Chosen("a label", item_of_peer(peer), shared=True))


def all_hold(sim: Simulation, sheets: int) -> None:
    sim.run_until(
        lambda: (
            all(len(sheets_of(node)) >= sheets for node in sim.running)
            and len({frozenset(sheets_of(node)) for node in sim.running}) == 1
        ),
        60.0,
        every=1.0,
    )


def test_all_come_to_hold_everybodys_clicks_and_to_rank_alike() -> None:
    with Simulation(1) as sim:
        clicking(sim, 4)
        all_hold(sim, 4)
        for node in sim.running:
            clicks = node.live.node.clicks
            assert {one.voters for one in clicks.ranking.rank("a label")} == {3}
            # Two peers may bring the same sheet at once.
            assert not node.live.node.peers.refused.keys() - {"click-replayed"}
            assert all(numbers == sorted(set(numbers)) for numbers in seqs(node).values())


def test_clicks_survive_a_crash_and_a_lost_disk_begins_anew() -> None:
    with Simulation(2) as sim:
        clicking(sim, 3)
        all_hold(sim, 3)
        victim, other = list(sim.nodes.values())[:2]
        before = sheets_of(victim)
        sim.kill(victim.name)
        sim.start(victim.name)
        assert before <= sheets_of(victim)
        sim.kill(victim.name)
        sim.wipe(victim.name)
        sim.start(victim.name)
        assert not sheets_of(victim)
        sim.run(2.0)
        choose(victim, other.peer_id)
        all_hold(sim, 3)
        reborn = victim.live.documents.incarnation
        held = [h.signed.sheet for h in other.live.node.clicks.log.since(0)
                if h.signed.author == victim.peer_id]  # fmt: skip
        assert {sheet.incarnation for sheet in held} == {reborn}
        assert held[0].seq == 1
        assert "click-fork" not in other.live.node.peers.refused
