"""What is done when the guest's manners, or the clocks, say so."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gossipd.control.events import EventLog
from gossipd.machine.guest import Day, Guest, Power
from gossipd.machine.upkeep import Upkeep
from gossipd.protocol import events
from gossipd.settings import GuestConfig


class Stage:
    """A daemon of which only what upkeep touches is there."""

    def __init__(self, tmp_path: Path) -> None:
        self.fed: list[Any] = []
        self.closed: list[tuple[str, str]] = []
        self.wall_clock = 1e9
        self.power = Power(True, None)
        self.told = EventLog()
        connection = SimpleNamespace(peer="ann")
        parts = SimpleNamespace(
            engine=SimpleNamespace(feed=self.fed.append),
            node=SimpleNamespace(
                setup=SimpleNamespace(peer_id="me"),
                peers=SimpleNamespace(overlay=SimpleNamespace(allowed=("ben",))),
            ),
            transport=SimpleNamespace(
                addresses=(),
                counters=lambda: {"bytes_in": 2_000_000},
                connections=lambda: [connection],
                disconnect=self._disconnect,
            ),
        )
        guest = Guest(GuestConfig(), lambda: self.power, lambda: 0.0)
        self.upkeep = Upkeep(
            parts,  # type: ignore[arg-type]
            SimpleNamespace(),  # type: ignore[arg-type]
            self,
            guest,
            Day(tmp_path / "traffic.json", 0),
            SimpleNamespace(),  # type: ignore[arg-type]
            self.told,
        )

    async def _disconnect(self, peer: str, reason: str) -> None:
        self.closed.append((peer, reason))

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return self.wall_clock


def test_training_is_paused_once_and_resumed_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for level in (0.5, 0.2, 0.19, 0.9):
        stage.power = Power(False, level)
        stage.upkeep.look()
    assert stage.fed == [events.SetPaused(True), events.SetPaused(False)]
    (paused, resumed) = stage.told.since(0).rows
    assert (paused["kind"], paused["reason"]) == (
        "training-paused",
        "on battery at 20%, below 30%",
    )
    assert resumed["kind"] == "training-resumed"


def test_the_operator_s_pause_outlives_the_battery_s(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.upkeep.guest.by_operator = True
    stage.upkeep.look()
    stage.power = Power(False, 0.1)
    stage.upkeep.look()
    stage.power = Power(True, 0.1)
    stage.upkeep.look()
    assert stage.fed == [events.SetPaused(True)]


def test_a_used_up_day_silences_the_node_and_the_next_one_ends_that(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.upkeep.day.most = 1_000_000
    stage.upkeep.look()
    stage.upkeep.look()
    assert stage.fed == [events.Restricted(("me",))]
    stage.wall_clock += 86_400
    stage.upkeep.look()
    assert stage.fed[1:] == [events.Restricted(("ben",))]


async def test_after_a_sleep_connections_are_closed_and_nobody_is_blamed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.upkeep._slept()
    assert stage.closed == []
    stage.wall_clock += 3600
    await stage.upkeep._slept()
    assert stage.closed == [("ann", "slept")]
    assert stage.fed == [events.ClockRead(stage.wall_clock)]
    assert [event["kind"] for event in stage.told.since(0).rows] == ["woke-up"]
