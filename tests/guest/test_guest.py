"""When a good guest trains, how much it sends in a day, and that it notices a sleep."""

from pathlib import Path

import pytest

from gossipd.machine.guest import IDLE_SECONDS, Day, Guest, Load, Power, Sleep, power
from gossipd.settings import GuestConfig


def supply(root: Path, name: str, **words: str) -> None:
    directory = root / name
    directory.mkdir(parents=True)
    for key, word in words.items():
        (directory / key).write_text(f"{word}\n")


def battery(root: Path, capacity: str, status: str = "Discharging", name: str = "BAT0") -> None:
    supply(root, name, type="Battery", capacity=capacity, status=status)


def test_a_machine_without_a_battery_is_plugged_in(tmp_path: Path) -> None:
    assert power(tmp_path / "nothing") == Power(True, None)
    supply(tmp_path, "AC", type="Mains", online="0")
    assert power(tmp_path) == Power(True, None)


def test_a_laptop_is_plugged_in_or_not(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="1")
    battery(tmp_path, "25")
    assert power(tmp_path) == Power(True, 0.25)
    (tmp_path / "AC" / "online").write_text("0\n")
    assert power(tmp_path) == Power(False, 0.25)


def test_without_a_mains_entry_the_battery_says_whether_it_is_charged(tmp_path: Path) -> None:
    battery(tmp_path, "80", "Charging")
    assert power(tmp_path).plugged
    (tmp_path / "BAT0" / "status").write_text("Discharging")
    assert not power(tmp_path).plugged


def test_a_mouse_s_battery_does_not_count_nor_does_what_cannot_be_read(tmp_path: Path) -> None:
    supply(tmp_path, "mouse", type="Battery", scope="Device", capacity="3", status="Discharging")
    battery(tmp_path, "unknown")
    assert power(tmp_path) == Power(True, None)


class Machine:
    """What runs it, and what others do on it."""

    def __init__(self, **settings: object) -> None:
        self.power, self.load = Power(True, None), 0.0
        self.guest = Guest(GuestConfig(**settings), lambda: self.power, lambda: self.load)  # type: ignore[arg-type]


def test_a_low_battery_pauses_training_and_says_so() -> None:
    machine = Machine()
    assert machine.guest.look(0.0) is None
    machine.power = Power(False, 0.31)
    assert machine.guest.look(1.0) is None
    machine.power = Power(False, 0.29)
    assert machine.guest.look(2.0) == "on battery at 29%, below 30%"
    machine.power = Power(True, 0.05)
    assert machine.guest.look(3.0) is None


def test_plugged_means_never_on_battery() -> None:
    machine = Machine(train_when="plugged")
    machine.power = Power(False, 1.0)
    assert machine.guest.look(0.0) == "on battery, and guest.train_when is plugged"


def test_idle_means_that_nobody_has_used_it_for_a_minute() -> None:
    machine = Machine(train_when="idle")
    assert "train_when is idle" in str(machine.guest.look(0.0))
    assert machine.guest.look(IDLE_SECONDS) is None
    machine.load = 0.5
    assert "(50% busy)" in str(machine.guest.look(IDLE_SECONDS + 5))
    machine.load = 0.0
    assert machine.guest.look(IDLE_SECONDS + 6) is not None
    assert machine.guest.look(2 * IDLE_SECONDS + 5) is None


def test_the_operator_s_word_comes_first() -> None:
    machine = Machine()
    machine.guest.by_operator = True
    assert machine.guest.look(0.0) == "paused by the operator"


def test_the_load_of_others_is_without_our_own(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    load = Load(stat)
    assert load() == 0.0  # nothing can be read
    stat.write_text("cpu  100 0 0 900 0 0 0 0 0 0\n")
    assert load() == 0.0
    stat.write_text("cpu  1000000 0 0 1000900 0 0 0 0 0 0\n")
    assert load() == pytest.approx(0.5, abs=0.01)
    stat.write_text("cpu  1000000 0 0 2000900 0 0 0 0 0 0\n")
    assert load() == 0.0


def test_a_day_has_so_many_bytes_across_restarts(tmp_path: Path) -> None:
    path, noon = tmp_path / "traffic.json", 86_400.0 * 20_000 + 43_200
    day = Day(path, 1_000_000)
    assert day.look(400_000, noon) is None
    assert day.look(900_000, noon + 5) is None
    again = Day(path, 1_000_000)
    assert again.look(90_000, noon + 60) is None
    assert again.look(100_000, noon + 65) == "1 of 1 MB are used up until midnight UTC"
    assert again.look(100_000, noon - 86_400) is not None, "a calendar set back is no new day"
    assert again.look(100_000, noon + 86_400) is None
    assert again.bytes == 0


def test_without_a_limit_nothing_is_written_down(tmp_path: Path) -> None:
    day = Day(tmp_path / "traffic.json", 0)
    assert day.look(10**12, 1e9) is None
    assert not (tmp_path / "traffic.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"day": "x", "bytes": 1}', '{"day": 1}'])
def test_damaged_notes_of_the_day_begin_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "traffic.json"
    path.write_text(text)
    assert Day(path, 10).look(1, 1e9) is None


def test_a_sleep_is_what_the_calendar_has_seen_and_the_other_clock_has_not() -> None:
    clock = [100.0]
    sleep = Sleep(lambda: clock[0])
    assert sleep.look(1000.0) == 0.0
    clock[0] += 5
    assert sleep.look(1005.2) == 0.0
    clock[0] += 5
    assert sleep.look(4610.2) == pytest.approx(3600.0)
    clock[0] += 5
    assert sleep.look(4615.2) == 0.0
    clock[0] += 5
    assert sleep.look(100.0) == 0.0, "a calendar that is set back is no sleep"
