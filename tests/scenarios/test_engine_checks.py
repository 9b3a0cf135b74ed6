"""Every check holds on a history as it should be, and fails on one that breaks it."""

import msgspec
import networkx as nx
import pytest
from msgspec.structs import replace

from gossipd_scenarios import schema
from gossipd_scenarios.backend import Event, Fault
from gossipd_scenarios.checks.judge import judge
from gossipd_scenarios.checks.verdict import Verdict
from gossipd_scenarios.history import History
from gossipd_scenarios.schema import STANDING
from support.histories import document, ended, history, reading, snapshot, started


def verdict(check: schema.Check, found: History, calm: History | None = None) -> Verdict:
    return judge(replace(document().scenario, checks=(check,)), found, calm)[0]


def standing(kind: type[msgspec.Struct], found: History) -> Verdict:
    place = next(i for i, check in enumerate(STANDING) if isinstance(check, kind))
    return judge(document().scenario, found)[place]


def accuracies(at: float, **values: float) -> History:
    return history(snapshot(at, *(reading(node, at, value) for node, value in values.items())))


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stat", "value"), [("worst", 0.2), ("median", 0.6), ("mean", 0.5), ("best", 0.7)]
)
def test_accuracy_is_held_against_both_bounds(stat: schema.Stat, value: float) -> None:
    found = accuracies(5.0, a=0.2, b=0.6, c=0.7)
    good = verdict(schema.Accuracy(stat=stat, at_least=value - 0.01, at_most=value + 0.01), found)
    assert (good.holds, round(good.value or 0, 6)) == (True, value)
    assert "worst a 0.200, best c 0.700, of 3" in good.evidence
    assert verdict(schema.Accuracy(stat=stat, at_least=value + 0.01), found).holds is False
    assert verdict(schema.Accuracy(stat=stat, at_most=value - 0.01), found).holds is False


def test_accuracy_at_a_moment_is_that_of_the_last_look_before_it() -> None:
    found = history(
        *(snapshot(at, reading("a", at, at / 10)) for at in (1.0, 3.0, 5.0)), marks={"quake": 4.0}
    )
    assert verdict(schema.Accuracy(at="quake", at_least=0.1), found).value == 0.3
    assert verdict(schema.Accuracy(at=0.5, at_least=0.1), found).holds is False


def test_accuracy_of_a_group_leaves_the_others_out() -> None:
    found = history(
        snapshot(1.0, reading("a", 1.0, 0.9), reading("b", 1.0, 0.1)), groups={"g": frozenset("b")}
    )
    assert verdict(schema.Accuracy(group="g", at_least=0.5), found).holds is False
    assert verdict(schema.Accuracy(stat="best", at_least=0.5), found).holds is True


def test_connected_and_isolated_survivors_are_told_apart() -> None:
    found = history(
        snapshot(1.0, *(reading(n, 1.0, v) for n, v in (("a", 0.9), ("b", 0.9), ("d", 0.3)))),
        names="abcd",
        graph=nx.Graph([("a", "b"), ("b", "c"), ("c", "d")]),
    )
    assert verdict(schema.Accuracy(of="connected", stat="worst", at_least=0.8), found).holds is True
    assert verdict(schema.Accuracy(of="isolated", at_least=0.8), found).value == 0.3
    everybody = history(snapshot(1.0, reading("a", 1.0), reading("b", 1.0)))
    assert verdict(schema.Accuracy(of="isolated", at_least=0.8), everybody).holds is None


def test_the_small_islands_classes_are_looked_at_by_themselves() -> None:
    recalls = (1.0, 1.0, 0.2, 0.4)
    found = history(
        snapshot(1.0, reading("a", 1.0, 0.9, recalls=recalls)), islands=[("a", "b"), ("c",)]
    )
    found.holdings = {"a": (5, 5, 0, 0), "b": (5, 5, 0, 0), "c": (0, 0, 5, 5)}
    found_verdict = verdict(schema.Accuracy(classes="small-island", at_least=0.6), found)
    assert (found_verdict.holds, round(found_verdict.value or 0, 6)) == (False, 0.3)
    found.holdings = {"a": (5, 5, 5, 5), "c": (5, 5, 5, 5)}
    check = schema.Reaches(classes="small-island", at_least=0.6, within=1)
    assert verdict(check, found).holds is None, "it has none of its own"


def test_reaching_takes_no_longer_than_it_may() -> None:
    found = history(
        *(snapshot(at, reading("a", at, at / 10), reading("b", at, 0.9)) for at in (2.0, 5.0, 8.0)),
        marks={"heal": 3.0},
    )
    good = verdict(schema.Reaches(at_least=0.5, within=2.0), found)
    assert (good.holds, good.value) == (True, 2.0)
    assert verdict(schema.Reaches(at_least=0.5, within=1.9), found).holds is False
    never = verdict(schema.Reaches(at_least=0.95, within=60), found)
    assert (never.holds, never.value) == (False, None)
    assert never.evidence == "never; best 0.800 at 8.0 s"


def test_survivors_are_compared_with_the_undisturbed_run() -> None:
    calm, found = accuracies(9.0, a=0.8, b=0.8), accuracies(9.0, a=0.4, b=0.8)
    check = schema.Undisturbed(at_least=0.9, stat="worst")
    assert verdict(check, calm, calm).value == 1.0
    assert verdict(check, found, calm).value == 0.5
    assert verdict(check, found, calm).holds is False
    assert verdict(check, found).holds is False, "there is nothing to compare with"


def lineages(*rows: tuple[float, dict[str, int], dict[str, int]], **marks: float) -> History:
    return history(
        *(
            snapshot(at, reading("a", at, lineage=one), reading("b", at, lineage=other))
            for at, one, other in rows
        ),
        names="ab",
        marks=marks,
    )


def test_lineages_converge_when_everybody_has_what_anybody_had() -> None:
    rows = (
        (1.0, {"x": 5}, {"y": 3}),
        (4.0, {"x": 9}, {"x": 5, "y": 3}),
        (6.0, {"x": 9, "y": 3}, {"x": 5, "y": 3}),
    )
    found = lineages(*rows, heal=2.0)
    good = verdict(schema.LineageConverges(within=4.0), found)
    assert (good.holds, good.value) == (True, 4.0)
    assert verdict(schema.LineageConverges(within=3.0), found).holds is False
    never = verdict(schema.LineageConverges(within=60.0), lineages(*rows[:2], heal=2.0))
    assert (never.holds, never.value) == (False, None)
    assert "a lacks work of 1 authors" in never.evidence


def test_nothing_merged_is_no_convergence() -> None:
    found = lineages((1.0, {}, {}), (3.0, {}, {}), heal=2.0)
    assert verdict(schema.LineageConverges(within=60.0), found).holds is False


@pytest.mark.parametrize(("counter", "value"), [("steps", 30.0), ("round", 4.0)])
def test_progress_is_counted_from_a_moment_on(counter: str, value: float) -> None:
    rows = [(1.0, 10, 1), (3.0, 10, 1), (5.0, 25, 5)]
    found = history(
        *(
            snapshot(at, *(reading(n, at, counters={"steps": s, "round": r}) for n in "ab"))
            for at, s, r in rows
        ),
        marks={"quake": 3.5},
    )
    check = schema.Progress(counter=counter, after="quake", at_least=value)  # type: ignore[arg-type]
    assert verdict(check, found).value == value
    assert verdict(check, found).holds is True
    more = schema.Progress(counter=counter, after="quake", at_least=value + 1)  # type: ignore[arg-type]
    assert verdict(more, found).holds is False
    until = schema.Progress(after="start", until="quake", at_least=1)
    assert verdict(until, history(snapshot(1.0), snapshot(9.0), marks={"quake": 5})).holds is False


# --- conduct --------------------------------------------------------------------------------------


def counted(*rows: tuple[float, dict[str, int]], events: tuple[Event, ...] = ()) -> History:
    return history(
        *(snapshot(at, reading("a", at, counters=counters)) for at, counters in rows),
        names="a",
        events=events,
    )


def test_counters_never_go_back() -> None:
    good = counted((1.0, {"steps": 5}), (2.0, {"steps": 5}), (3.0, {"steps": 9}))
    assert standing(schema.CountersGrow, good).holds is True
    bad = counted((1.0, {"steps": 5}), (2.0, {"steps": 4}))
    found = standing(schema.CountersGrow, bad)
    assert (found.holds, found.evidence) == (False, "a: steps 5 -> 4 by 2.0 s")


def test_a_round_may_be_heard_of_anew_after_a_restart_but_steps_may_not() -> None:
    again = (ended(1.5, "a"), started(1.7, "a"))
    rows = (1.0, {"steps": 5, "round": 9}), (2.0, {"steps": 5, "round": 3})
    assert standing(schema.CountersGrow, counted(*rows, events=again)).holds is True
    assert standing(schema.CountersGrow, counted(*rows)).holds is False
    back = (1.0, {"steps": 5}), (2.0, {"steps": 3})
    assert standing(schema.CountersGrow, counted(*back, events=again)).holds is False


def test_a_base_keeps_what_it_has_merged() -> None:
    good = lineages((1.0, {"x": 5}, {}), (2.0, {"x": 7, "y": 1}, {"x": 5}))
    assert standing(schema.NothingLost, good).holds is True
    bad = lineages((1.0, {"x": 5}, {}), (2.0, {"x": 4}, {}))
    found = standing(schema.NothingLost, bad)
    assert (found.holds, found.evidence) == (False, "a lost work of 1 authors by 2.0 s")
    bad.damaged.add("a")
    assert standing(schema.NothingLost, bad).holds is True, "its disk was wiped"


def test_nobody_forgets_own_steps_that_others_hold() -> None:
    def found(steps: int) -> History:
        held = snapshot(1.0, reading("b", 1.0, lineage={"author-a": 7}))
        return history(held, snapshot(2.0, reading("a", 2.0, counters={"steps": steps})))

    assert standing(schema.NothingLost, found(7)).holds is True
    bad = standing(schema.NothingLost, found(6))
    assert (bad.holds, bad.value) == (False, 1.0)
    assert bad.evidence == "a knows 6 own steps at 2.0 s, others hold 7"


@pytest.mark.parametrize(
    ("what", "kind"), [("exception", schema.NoException), ("ended", schema.NobodyEnded)]
)
def test_an_exception_and_an_unasked_end_are_found(what: str, kind: type[msgspec.Struct]) -> None:
    found = accuracies(1.0, a=0.5)
    assert standing(kind, found).holds is True
    found.faults = [Fault(0.5, "a", what, "Traceback:\nValueError: no\n")]
    bad = standing(kind, found)
    assert (bad.holds, bad.value, bad.evidence) == (False, 1.0, "a at 0.5 s: ValueError: no")
    other = schema.NobodyEnded if kind is schema.NoException else schema.NoException
    assert standing(other, found).holds is True


def test_events_are_counted() -> None:
    found = history(events=[Event(1.0, "a", "peer-dropped"), Event(2.0, "b", "peer-dropped")])
    assert verdict(schema.Events(kind="peer-dropped", at_most=2), found).holds is True
    bad = verdict(schema.Events(kind="peer-dropped", at_most=0), found)
    assert (bad.holds, bad.value, bad.evidence) == (False, 2.0, "at 2 nodes: a, b")
    assert verdict(schema.Events(kind="merged", at_least=1), found).holds is False


def test_bytes_are_those_of_who_sends_most() -> None:
    found = history(
        snapshot(1.0, reading("a", 1.0, bytes_out=1), reading("b", 1.0, bytes_out=1)),
        snapshot(2.0, reading("a", 2.0, bytes_out=2_000_000), reading("b", 2.0, bytes_out=500_000)),
    )
    assert verdict(schema.Bytes(at_most=2.0), found).value == 2.0
    assert verdict(schema.Bytes(at_most=1.9), found).holds is False
    assert verdict(schema.Bytes(at_most=1.9, stat="best"), found).value == 0.5


def test_memory_is_that_of_the_largest_daemon() -> None:
    found = history(
        snapshot(1.0, reading("a", 1.0, memory=70_000_000), reading("b", 1.0, memory=1)),
        snapshot(2.0, reading("a", 2.0, memory=50_000_000)),
    )
    assert verdict(schema.Memory(at_most=70), found).value == 70
    assert verdict(schema.Memory(at_most=60), found).holds is False
    assert verdict(schema.Memory(at_most=60), accuracies(1.0, a=0.5)).holds is None


def test_everybody_is_meshed_or_has_all_whom_it_may_have() -> None:
    found = history(
        snapshot(1.0, *(reading(n, 1.0, connected=1) for n in "abc")),
        snapshot(2.0, *(reading(n, 2.0, connected=2) for n in "abc")),
    )
    assert verdict(schema.Meshed(peers=6, within=2.0), found).value == 2.0
    assert verdict(schema.Meshed(peers=6, within=1.5), found).holds is False
    lonely = history(snapshot(1.0, *(reading(n, 1.0, connected=1) for n in "abc")))
    bad = verdict(schema.Meshed(peers=2, within=60), lonely)
    assert (bad.holds, bad.value) == (False, None)
    ring = history(
        snapshot(1.0, *(reading(n, 1.0, connected=1) for n in "ab")),
        names="ab",
        graph=nx.Graph([("a", "b")]),
    )
    assert verdict(schema.Meshed(peers=6, within=60), ring).holds is True
