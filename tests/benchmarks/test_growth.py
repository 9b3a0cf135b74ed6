"""What counts as growth, and what a guest costs."""

import pytest

from benchmarks.guest import Turn, losses
from benchmarks.soak import BOUNDED, Look, growing, grows, sixths, slope


def look(**tables: int) -> Look:
    names = {name.replace("___", "._"): count for name, count in tables.items()}
    return Look(0.0, 50.0, 20, 4, 6, 40, 10_000, names, 1)


def test_the_slope_is_that_of_most_points() -> None:
    points = [(float(x), 3.0 * x) for x in range(20)]
    points[7] = (7.0, 1000.0)
    assert slope(points) == pytest.approx(3.0)


def test_without_two_points_there_is_no_slope() -> None:
    with pytest.raises(ValueError, match="two points"):
        slope([(1.0, 1.0)])


def test_the_sixths_are_of_the_beginning_the_middle_and_the_end() -> None:
    assert sixths(list(range(12))) == (0.5, 6.5, 10.5)


def test_a_table_that_fills_up_and_stays_does_not_grow_but_one_that_goes_on_does() -> None:
    assert not grows([*range(0, 600, 10), *[600] * 60])
    assert grows(list(range(0, 1200, 10)))
    assert not grows([5, 9, 3, 18, 7, 2] * 20)


def test_a_table_with_a_bound_may_fill_but_not_overflow() -> None:
    bound = BOUNDED["Exchange._seen"]
    rising = [look(Exchange___seen=0) for _ in range(6)]
    for end, expected in ((bound, {}), (bound + 100, {"Exchange._seen": (0, bound + 100)})):
        looks = [*rising, *[look(Exchange___seen=end // 2)] * 6, *[look(Exchange___seen=end)] * 6]
        assert {k: v for k, v in growing(looks).items() if k == "Exchange._seen"} == expected


def test_what_is_lost_is_measured_against_the_turns_around() -> None:
    turns = [Turn(False, 100.0), Turn(True, 60.0), Turn(False, 60.0), Turn(True, 60.0)]
    assert losses(turns) == pytest.approx([0.25, 0.0])
