"""Scenarios in virtual time: each operation does what it says, and one seed makes one run."""

import pytest

from gossipd_scenarios.checks.judge import judge
from gossipd_scenarios.engine import Engine
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.history import History
from gossipd_scenarios.live import Blank
from gossipd_scenarios.plan import Plan, plan
from gossipd_scenarios.sim.backend import SimBackend
from support.histories import HEAD, document

STUB = """
title = "T"
about = "A"
nodes = 5
seconds = 20.0
training = "stub"
settings = { rounds = { round_seconds = 1.0 } }
"""


def run(text: str, *, head: str = STUB, **values: str) -> History:
    planned = plan(document(text, head=head, **values))
    return play(planned)


def play(planned: Plan) -> History:
    backend = SimBackend(planned.scenario.seed, training=planned.scenario.training)
    return backend.drive(Engine(planned, backend, Blank()).run())


def unharmed(history: History) -> None:
    verdicts = judge(document().scenario, history)
    assert [v for v in verdicts if not v.holds] == []


def step(do: str, at: float = 5.0, **keys: object) -> str:
    rows = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[[timeline]]\ndo = "{do}"\nat = {at}\n{rows}'


def answering(history: History, at: float) -> set[str]:
    found = history.at(at)
    assert found is not None
    return set(found.readings)


def steps(history: History, node: str, at: float) -> int:
    found = history.at(at)
    assert found is not None
    return found.readings[node].counters["steps"]


ALL = {"n1", "n2", "n3", "n4", "n5"}
ONE = '{ names = ["n2"] }'


# --- nodes ----------------------------------------------------------------------------------------


def test_nothing_happens_and_everybody_learns() -> None:
    history = run("")
    assert len(history.snapshots) == 10
    assert answering(history, 2.0) == ALL
    assert history.counts()["started"] == 5
    assert all(steps(history, node, 20.0) > 0 for node in ALL)
    unharmed(history)


@pytest.mark.parametrize("do", ["kill", "stop", "leave"])
def test_an_ended_node_is_gone(do: str) -> None:
    history = run(step(do, who=ONE))
    assert answering(history, 4.0) == ALL
    assert answering(history, 12.0) == ALL - {"n2"}
    assert [(e.node, e.fields["asked"]) for e in history.events if e.kind == "ended"] == [
        ("n2", True)
    ]
    unharmed(history)


def test_a_killed_node_starts_again_on_its_disk() -> None:
    history = run(step("kill", who=ONE) + step("start", 9.0, mark='"back"'))
    assert answering(history, 20.0) == ALL
    assert [end for _, end in history.lives()["n2"]] == [pytest.approx(5.0), None]
    assert steps(history, "n2", 10.0) >= steps(history, "n2", 4.0) > 0
    assert history.marks["back"] == pytest.approx(9.0)
    unharmed(history)


def test_who_left_is_not_started_again() -> None:
    history = run(step("leave", who=ONE) + step("start", 9.0))
    assert answering(history, 20.0) == ALL - {"n2"}
    assert any(what == "start: nobody" for _, what in history.steps)


def test_a_wiped_node_is_another_author() -> None:
    history = run(step("kill", who=ONE) + step("wipe", 6.0) + step("start", 7.0))
    before, after = history.at(4.0), history.at(20.0)
    assert before is not None
    assert after is not None
    assert after.readings["n2"].author != before.readings["n2"].author
    assert after.readings["n1"].author == before.readings["n1"].author
    assert history.damaged == {"n2"}
    unharmed(history)


def test_a_damaged_file_is_noticed_and_learnt_anew() -> None:
    history = run(
        step("kill", who=ONE) + step("corrupt", 6.0, who=ONE, file='"head"') + step("start", 7.0)
    )
    assert answering(history, 20.0) == ALL
    found = history.at(20.0)
    assert found is not None
    assert found.readings["n2"].lineage
    unharmed(history)


def test_one_after_the_other() -> None:
    history = run(step("restart", every=2.0))
    restarted = sorted(
        event.at for event in history.events if event.kind == "started" and event.at > 0
    )
    assert len(restarted) == 5
    assert restarted[-1] - restarted[0] == pytest.approx(8.0, abs=1.5)
    unharmed(history)


def test_newcomers_join_and_are_not_there_before() -> None:
    history = run(step("join", count=2, every=3.0))
    assert answering(history, 4.0) == ALL
    assert answering(history, 6.0) == ALL | {"n6"}
    assert answering(history, 10.0) == ALL | {"n6", "n7"}
    unharmed(history)


def test_a_paused_node_stands_still_and_goes_on() -> None:
    history = run(step("pause", who=ONE, seconds=8.0))
    assert answering(history, 8.0) == ALL - {"n2"}
    assert answering(history, 14.0) == ALL
    assert history.phases[0].begin == 5.0
    assert history.phases[0].end == pytest.approx(13.0)
    unharmed(history)


def test_a_full_disk_stops_learning_until_there_is_room() -> None:
    history = run(step("fill-disk", who=ONE, seconds=6.0))
    during = steps(history, "n2", 10.0) - steps(history, "n2", 6.0)
    after = steps(history, "n2", 20.0) - steps(history, "n2", 16.0)
    assert during == 0 < after
    unharmed(history)


def test_a_wrong_clock_harms_nobody() -> None:
    history = run(step("clock", who=ONE, seconds=-86400))
    assert history.counts()["peer-dropped"] == 0
    unharmed(history)


# --- network --------------------------------------------------------------------------------------


def peers(history: History, node: str, at: float) -> int:
    found = history.at(at)
    assert found is not None
    return found.readings[node].connected


def test_a_partition_cuts_and_a_heal_ends_it() -> None:
    history = run(
        step("partition", 4.0, maker='"halves"', share=0.4, reset="true") + step("heal", 12.0)
    )
    assert (peers(history, "n1", 2.0), peers(history, "n5", 2.0)) == (4, 4)
    assert (peers(history, "n1", 6.0), peers(history, "n5", 6.0)) == (1, 2)
    assert history.marks["heal"] == pytest.approx(12.0)
    assert [round(phase.end or 0.0) for phase in history.phases] == [12]
    unharmed(history)


def test_a_partition_at_the_beginning_is_there_before_anybody_starts() -> None:
    history = run(step("partition", 0.0, maker='"isolate"', who=ONE))
    assert all(peers(history, "n2", at) == 0 for at in (2.0, 10.0, 20.0))


def test_what_is_still_broken_in_the_end_is_healed() -> None:
    history = run(step("partition", 2.0, maker='"isolate"', who=ONE, reset="true"), settle="60.0")
    assert history.marks["heal"] == pytest.approx(20.0)
    assert peers(history, "n2", 20.0) == 0
    assert peers(history, "n2", history.seconds) == 4


def test_partitions_of_different_names_hold_side_by_side() -> None:
    two = step("partition", 2.0, maker='"isolate"', who=ONE, name='"one"', reset="true")
    two += step("partition", 2.0, maker='"isolate"', who='{ names = ["n4"] }', reset="true")
    history = run(two + step("heal", 6.0, name='"one"'))
    assert (peers(history, "n2", 4.0), peers(history, "n4", 4.0)) == (0, 0)
    assert peers(history, "n4", 20.0) == 0
    assert peers(history, "n2", 20.0) == 3


def test_a_bad_line_is_slow_and_good_again_later() -> None:
    slow = step("link", 0.0, delay_ms=900, loss=0.1, rate_kbit=64)
    rounds = []
    for text in ("", slow):
        last = run(text).at("end")
        assert last is not None
        rounds.append(max(r.counters["round"] for r in last.readings.values()))
    assert rounds[1] < rounds[0] / 2
    healed = run(slow.replace("64", "64\nseconds = 10.0"))
    assert healed.phases[0].end == pytest.approx(10.0)
    unharmed(healed)


def test_flapping_nodes_come_and_go() -> None:
    history = run(step("flap", 4.0, who=ONE, every=6.0, down=2.0, seconds=14.0))
    lost = [event for event in history.events if event.kind == "peer-lost"]
    assert {event.node for event in lost} == ALL
    assert peers(history, "n1", history.seconds) == 4
    assert 4.0 < history.marks["heal"] <= 20.0


def test_a_traveller_hears_one_island_at_a_time() -> None:
    text = "[topology]\nislands = [2, 2, 1]\n[groups]\nboat = { island = 2 }\n"
    text += step("partition", 0.0, maker='"islands"', who='{ outside = "boat" }')
    text += step("travel", 0.0, who='{ group = "boat" }', stay=8.0, seconds=16.0)
    history = run(text)
    assert [what for _, what in history.steps if "island" in what][1:] == [
        "n5 on island 0",
        "n5 on island 1",
    ]
    assert peers(history, "n5", 6.0) == 2
    assert peers(history, "n3", 6.0) == 1


def test_somebody_with_a_stick_goes_from_node_to_node() -> None:
    text = step("partition", 0.0, maker='"isolate"')
    text += step("kill", 6.0, who='{ names = ["n3"] }')
    text += step("carry", 4.0, who='{ names = ["n1", "n2", "n3"] }', every=2.0, seconds=12.0)
    history = run(text)
    told = [what for _, what in history.steps if what.startswith("carry")]
    assert told == [
        "carry: 0 bundles to n1, 0 updates",
        "carry: 1 bundles to n2, 2 updates",
        "carry: n3 is not there",
        "carry: 1 bundles to n1, 3 updates",
        "carry: 1 bundles to n2, 3 updates",
        "carry: n3 is not there",
    ]
    last = history.at("end")
    assert last is not None
    lineages = {name: len(reading.lineage) for name, reading in last.readings.items()}
    assert lineages == {"n1": 2, "n2": 2, "n4": 1, "n5": 1}
    assert all(reading.bytes_out == 0 for reading in last.readings.values())
    unharmed(history)


def test_the_overlay_is_kept_to() -> None:
    history = run('[topology]\nkind = "star"')
    assert peers(history, "n1", 20.0) == 4
    assert all(peers(history, node, 20.0) == 1 for node in ("n2", "n3", "n4", "n5"))
    unharmed(history)


# --- runs -----------------------------------------------------------------------------------------


def test_one_seed_makes_one_run() -> None:
    text = step("kill", who="{ percent = 40 }") + step("start", 9.0)
    first, second, other = run(text), run(text), run(text, seed="2")
    assert first.log_hash == second.log_hash != other.log_hash
    assert [s.at for s in first.snapshots] == [s.at for s in second.snapshots]


def test_real_training_on_skewed_data() -> None:
    text = '[data]\nsplit = "classes"\nclasses_per_node = 5\n'
    history = run(text, head=HEAD, seconds="16.0", read_every="4.0")
    last = history.at("end")
    assert last is not None
    assert all((r.accuracy or 0) > 0.6 for r in last.readings.values())
    for row in last.readings.values():
        assert row.recalls is not None
        assert len(row.recalls) == 10
    held = [counts for counts in history.holdings.values() if counts]
    assert all(sum(count > 0 for count in counts) == 5 for counts in held)
    unharmed(history)


def test_a_node_without_data_learns_from_the_others() -> None:
    text = f"[data]\nempty = {ONE}\n"
    history = run(text, head=HEAD, seconds="16.0", read_every="8.0")
    last = history.at("end")
    assert last is not None
    assert last.readings["n2"].counters["steps"] == 0
    assert (last.readings["n2"].accuracy or 0) > 0.6


def test_an_exception_in_a_node_is_a_fault_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gossipd.simulation.stub import StubLearner

    learnt = StubLearner.train
    calls = 0

    def fails_once(self: StubLearner, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 40:
            raise RuntimeError("the battery leaks")
        return learnt(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(StubLearner, "train", fails_once)
    history = run("")
    assert answering(history, 20.0) == ALL
    bad = [v for v in judge(document().scenario, history) if not v.holds]
    assert [v.name for v in bad] == ["no unhandled exception"]
    assert "the battery leaks" in bad[0].evidence


async def test_an_operation_that_does_not_fit_is_a_mistake() -> None:
    planned = plan(document("", head=STUB))
    async with SimBackend(1, training="stub") as backend:
        await backend.add(planned.nodes)
        with pytest.raises(ScenarioError, match="n1 does not run"):
            await backend.kill(["n1"])
        with pytest.raises(ScenarioError, match="there is no node 'x'"):
            await backend.start(["x"])


# --- liars ----------------------------------------------------------------------------------------

LIARS = """
title = "T"
about = "A"
nodes = 5
seconds = 12.0
settings = { mode = "gossip", gossip = { anti_entropy_seconds = 0.5 } }
hostile = { who = { names = ["n5"] }, defended = false }

[[checks]]
check = "choice"
at_most = 0.5
"""


def test_who_lies_floods_the_others_with_clicks_for_its_favourite_and_is_found_in_the_choice() -> (
    None
):
    """By the paper's rules, one liar among five is enough."""
    planned = plan(document(head=LIARS))
    assert planned.cast.groups == {"hostile": {"n5"}, "honest": ALL - {"n5"}}
    history = play(planned)
    choice, *others = judge(planned.scenario, history)
    assert (choice.value, choice.holds) == (0.0, True)
    assert [v for v in others if not v.holds] == []


def test_where_nobody_lies_nobody_is_asked_whom_it_would_choose() -> None:
    history = run("")
    last = history.at("end")
    assert last is not None
    assert {reading.choice for reading in last.readings.values()} == {None}
