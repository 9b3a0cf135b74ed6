"""Updates that are carried by hand, between nodes that no network connects."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gossipd.config import Config
from gossipd.protocol.events import MemberRevoked
from gossipd.protocol.lineage import Lineage
from gossipd.settings import RoundsConfig
from gossipd.simulation.node import Stick
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation
from gossipd.wire.errors import WireError
from gossipd.wire.identifiers import digest
from support.bundles import changed, joined, parts
from support.closed import Founder
from support.simulated import Mode, options, stub

BOTH = pytest.mark.parametrize("mode", ["gossip", "rounds"])
SECONDS = 30.0


@contextmanager
def hermits(count: int, mode: Mode, seed: int = 1) -> Iterator[Simulation]:
    """Nodes n0, n1, ... that have trained, and hear nobody, whatever address they are told."""
    with Simulation(seed) as sim:
        names = [f"n{number}" for number in range(count)]
        for number, name in enumerate(names):
            sim.add(name, stub(number), options(Config(mode=mode)))
        sim.start(*names)
        sim.split(*([name] for name in names))
        sim.run(3.0)
        yield sim


def lineage(sim: Simulation, name: str) -> Lineage:
    return sim.nodes[name].live.node.mode.lineage


def author(sim: Simulation, name: str) -> bytes:
    return sim.nodes[name].live.node.me


def taught(sim: Simulation, name: str, *others: str, seconds: float = SECONDS) -> None:
    """Wait until what `name` stands on contains work of all these."""
    authors = {author(sim, other) for other in others}
    sim.run_until(lambda: authors <= lineage(sim, name).keys(), seconds)


@BOTH
def test_nodes_that_never_met_learn_from_each_other(mode: Mode) -> None:
    with hermits(2, mode) as sim:
        before = lineage(sim, "n0")[author(sim, "n0")]
        answer = sim.take("n1", sim.export("n0"))
        assert (answer["refused"], answer["updates"]) == ({}, 2)
        taught(sim, "n1", "n0", "n1")
        assert lineage(sim, "n1")[author(sim, "n0")] >= before
        sim.take("n0", sim.export("n1"))
        taught(sim, "n0", "n0", "n1")
        assert not any(node.live.node.peers.admitted() for node in sim.running)


@BOTH
def test_the_same_again_is_known_and_changes_nothing(mode: Mode) -> None:
    with hermits(2, mode) as sim:
        stick = sim.export("n0")
        sim.take("n1", stick)
        taught(sim, "n1", "n0")
        again = sim.take("n1", stick)
        assert again["refused"] == {}
        assert again["known"] >= 3
        assert sim.take("n0", stick)["refused"] == {}
        assert not sim.nodes["n0"].live.node.identity_in_use


@BOTH
def test_who_carries_others_updates_passes_them_on_as_their_authors_signed_them(
    mode: Mode,
) -> None:
    with hermits(3, mode) as sim:
        first = sim.export("n0")
        sim.nodes["n1"].pause()
        sim.take("n1", first)
        onward = sim.export("n1", everything=True)
        signed = [payload for kind, payload in parts(first.content) if kind == "manifest"]
        assert set(signed) <= {payload for _, payload in parts(onward.content)}
        assert sim.take("n2", onward)["refused"] == {}
        taught(sim, "n2", "n0", "n2")


def test_several_islands_on_one_stick_are_all_merged() -> None:
    with hermits(6, "rounds") as sim:
        for name in ("n1", "n2", "n3", "n4", "n5"):
            sim.take("n0", sim.export(name))
        taught(sim, "n0", "n0", "n1", "n2", "n3", "n4", "n5")


def test_a_courier_that_does_not_train_merges_what_it_carries() -> None:
    with hermits(3, "rounds") as sim:
        sim.nodes["n2"].pause()
        sim.take("n2", sim.export("n0"))
        sim.take("n2", sim.export("n1"))
        sim.run_until(
            lambda: {author(sim, "n0"), author(sim, "n1")} <= lineage(sim, "n2").keys(), 120.0
        )


@BOTH
def test_a_little_that_is_new_is_merged_as_well(mode: Mode) -> None:
    """Islands that can meet offer it themselves; from here nobody else ever hears of it."""
    with hermits(2, mode) as sim:
        sim.run(20.0)
        sim.take("n1", sim.export("n0"))
        taught(sim, "n1", "n0")
        had = lineage(sim, "n1")[author(sim, "n0")]
        sim.run(0.5)
        steps = lineage(sim, "n0")[author(sim, "n0")]
        stick = sim.export("n0")
        assert had < steps < had * 1.3
        sim.take("n1", stick)
        sim.run_until(lambda: lineage(sim, "n1")[author(sim, "n0")] >= steps, SECONDS)


@BOTH
def test_exactly_what_has_changed_on_the_way_is_refused(mode: Mode) -> None:
    with hermits(3, mode) as sim:
        honest = sim.export("n0").content
        whole = sim.take("n1", Stick(honest))
        for kind, reasons in (
            ("body", {"bad-chunk"}),
            ("manifest", {"bad-signature", "malformed", "foreign-swarm"}),
        ):
            answer = sim.take("n2", Stick(changed(honest, kind)))  # type: ignore[arg-type]
            assert set(answer["refused"]) <= reasons
            assert sum(answer["refused"].values()) == 1
        assert answer["taken"] + answer["known"] + 1 == whole["taken"]


def test_what_rests_on_claims_that_are_missing_is_refused() -> None:
    with hermits(2, "rounds") as sim:
        honest = parts(sim.export("n0").content)
        bare = joined([part for part in honest if part[0] != "claim"])
        assert sim.take("n1", Stick(bare))["refused"] == {"unproven-lineage": 2}
        assert sim.take("n1", Stick(joined(honest)))["refused"] == {}


def test_an_update_without_its_body_is_refused_alone() -> None:
    with hermits(2, "rounds") as sim:
        honest = parts(sim.export("n0").content)
        first = next(part for part in honest if part[0] == "body")
        answer = sim.take("n1", Stick(joined([part for part in honest if part is not first])))
        assert answer["refused"] == {"no-body": 1}
        assert answer["updates"] == 1


def test_what_a_delta_is_against_travels_with_it() -> None:
    with hermits(2, "rounds") as sim:
        honest = parts(sim.export("n0").content)
        first = next(i for i, (kind, _) in enumerate(honest) if kind == "model")
        kind, payload = honest[first]
        for changed_one in (
            [],
            [(kind, payload[:-1] + bytes([payload[-1] ^ 1]))],
            [(kind, payload[:-4])],
        ):
            bare = [*honest[:first], *changed_one, *honest[first + 1 :]]
            refused = sim.take("n1", Stick(joined(bare)))["refused"]
            assert refused.keys() <= {"no-reference", "wrong-reference"}
            assert refused
        assert sim.take("n1", Stick(joined(honest)))["refused"] == {}


def test_a_stick_that_was_pulled_too_early_gives_what_is_on_it() -> None:
    with hermits(2, "rounds") as sim:
        content = sim.export("n0").content
        answer = sim.take("n1", Stick(content[:-100]))
        assert answer["refused"] == {"truncated": 1, "no-body": 1}
        assert answer["updates"] == 1


def test_another_swarm_s_bundle_is_of_no_use() -> None:
    with hermits(1, "rounds") as sim:
        sim.add("stranger", stub(9), options(Config(mode="rounds"), swarm=digest(b"another")))
        sim.start("stranger")
        sim.run(2.0)
        for there, here in (("stranger", "n0"), ("n0", "stranger")):
            with pytest.raises(WireError, match="foreign-swarm"):
                sim.take(here, sim.export(there))
        with pytest.raises(WireError, match="not-a-bundle"):
            sim.take("n0", Stick(b"To whom it may concern." * 100))


def test_in_a_closed_swarm_it_is_the_founder_s_word_that_travels() -> None:
    with Simulation(3) as sim:
        founder = Founder("founder")
        config = options(Config(mode="rounds"), swarm=founder.swarm_id)
        for number, name in enumerate(("n0", "n1", "n2")):
            node = sim.add(name, stub(number), config)
            node.options = options(
                Config(mode="rounds"),
                swarm=founder.swarm_id,
                membership=founder.issue(node.peer_id),
            )
        shut_out = founder.revoke(sim.nodes["n2"].peer_id)
        outsider = sim.add("outsider", stub(7), config)
        sim.start("n0", "n1", "n2", "outsider")
        sim.split(["n0"], ["n1"], ["n2"], ["outsider"])
        sim.run(3.0)

        refused = sim.take("n1", sim.export("outsider"))
        assert refused["refused"].keys() <= {"no-membership", "unproven-lineage"}
        assert (refused["taken"], refused["updates"]) == (0, 0)
        assert sim.nodes["n1"].live.node.view.record_of(outsider.peer_id) is None

        assert sim.take("n1", sim.export("n0"))["refused"] == {}
        taught(sim, "n1", "n0")
        sim.nodes["n0"].feed(MemberRevoked(shut_out))
        sim.run(0.1)
        sim.take("n1", sim.export("n0"))
        assert sim.nodes["n1"].live.node.members.is_revoked(sim.nodes["n2"].peer_id)
        late = sim.take("n1", sim.export("n2"))
        assert late["refused"] == {"revoked-author": 2}


def test_a_node_without_data_carries_between_islands_that_never_meet() -> None:
    with Simulation(1) as sim:
        islands = [["a0", "a1"], ["b0", "b1"]]
        names = [*islands[0], *islands[1], "boat"]
        for number, name in enumerate(names):
            ours = options(Config(rounds=RoundsConfig(round_seconds=1.0)))
            if name != "boat":
                sim.add(name, stub(number), ours)
                continue
            assert ours.rounds is not None
            idle = replace(ours, rounds=replace(ours.rounds, local_steps=0))
            sim.add(name, StubLearner(number, examples=0), idle)
        sim.introduce(*names)
        sim.start(*names)

        def visit(here: list[str], there: list[str], known: list[str]) -> None:
            """Until this island knows of all these, and the boat of the island."""
            sim.heal()
            sim.split([*here, "boat"], there)
            for name in (*here, "boat"):
                taught(sim, name, *known, *here, seconds=240.0)

        visit(islands[0], islands[1], [])
        visit(islands[1], islands[0], islands[0])
        visit(islands[0], islands[1], islands[1])
