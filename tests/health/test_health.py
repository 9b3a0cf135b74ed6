"""Warnings: stable codes that show when what they are about has lasted, and go when it is over."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from gossipd.config import paths_of
from gossipd.learning.errors import TaskError
from gossipd.operator.health import WARNINGS, Health
from gossipd.protocol.roster import State


class Stage:
    """A daemon of which everything is well until a test says otherwise."""

    def __init__(self, home: Path) -> None:
        self.membership: dict[str, Any] | None = None
        self.why_not: str | None = None
        self.stale: TaskError | None = None
        self.connected = ["ann"]
        self.table: dict[str, Any] = {}
        self.counters: Counter[str] = Counter()
        self.node = SimpleNamespace(
            identity_in_use=False,
            mode=SimpleNamespace(last_failure=None, paused=False),
            rounds=SimpleNamespace(round=7),
            peers=SimpleNamespace(admitted=lambda: self.connected, table=self.table),
        )
        self.engine = SimpleNamespace(
            network_healthy=True, network_detail="restarting in 2 s", errors=Counter[str]()
        )
        parts: Any = SimpleNamespace(
            node=self.node,
            engine=self.engine,
            transport=SimpleNamespace(counters=lambda: self.counters),
        )
        clock: Any = SimpleNamespace(wall=lambda: 1e9)
        self.health = Health(
            parts,
            paths_of(home),
            lambda: self.membership,
            clock,
            lambda: self.why_not,
            lambda: self.stale,
        )

    def codes(self, now: float) -> list[str]:
        return [row["code"] for row in self.health.look(now)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_nothing_is_said_when_all_is_well(stage: Stage) -> None:
    assert stage.codes(0.0) == []


def test_a_warning_shows_after_its_delay_and_goes_when_it_is_over(stage: Stage) -> None:
    stage.connected = []
    assert stage.codes(10.0) == []
    assert stage.codes(39.0) == []
    (row,) = stage.health.look(40.0)
    assert (row["code"], row["severity"], row["since"]) == ("alone", "warning", 30.0)
    assert row["text"]
    assert row["fix"]
    stage.connected = ["ann"]
    assert stage.codes(41.0) == []
    stage.connected = []
    assert stage.codes(42.0) == [], "its time counts anew"


def test_every_warning_can_be_had_and_each_has_text_and_fix(stage: Stage) -> None:
    found = set[str]()

    def look() -> None:
        stage.health.look(0.0)
        stage.node.rounds.round = 7
        stage.health.look(1.0)
        for row in stage.health.look(10_000.0):
            assert row["text"], row
            assert row["fix"], row
            found.add(row["code"])

    stage.node.identity_in_use = True
    stage.engine.network_healthy = False
    stage.engine.errors["storage"] = 1
    stage.node.mode.last_failure = "merge: not finite"
    stage.counters["mdns-unavailable"] = 1
    stage.why_not = "on battery at 3%"
    stage.stale = TaskError("the table is gone", "put it back")
    stage.table["ben"] = SimpleNamespace(
        id="ben", state=State.BACKING_OFF, refused=Counter({"wrong-layout": 2}), clock=-900.0
    )
    stage.table["eva"] = SimpleNamespace(
        id="eva", state=State.ADMITTED, refused=Counter[str](), clock=-800.0
    )
    usage = SimpleNamespace(free=1000)
    with mock.patch("shutil.disk_usage", return_value=usage):
        look()
    stage.connected = []
    look()
    for state, not_after in (("revoked", None), ("expired", 1e9 - 5), ("member", 1e9 + 86_400)):
        stage.membership = {"state": state, "not_after": not_after}
        look()
    assert found == WARNINGS.keys()


def test_a_round_that_goes_on_is_no_reason_to_worry(stage: Stage) -> None:
    for number in range(200):
        stage.node.rounds.round = number
        assert stage.codes(number * 250.0) == []
    assert stage.codes(200 * 250.0) == []
    assert stage.codes(200 * 250.0 + 400) == ["no-round"]
