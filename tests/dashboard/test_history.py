"""What the dashboard keeps: bounded, thinned out for the page, newest always there."""

from typing import Any

from gossipd_dashboard.history import KEPT, SHOWN, Curves, Events


def status(accuracy: float | None) -> dict[str, Any]:
    model: dict[str, Any] = {"held_out_accuracy": accuracy, "held_out_loss": 0.5, "held_out": {}}
    return {
        "training": {"loss": float("nan")},
        "network": {"bytes_in": 1, "bytes_out": 2, "connected": 3},
        "models": {"base": model, "head": model, "serving": model},
    }


def event(number: int, kind: str = "trained", **fields: Any) -> dict[str, Any]:
    return {"seq": number, "time": float(number), "kind": kind, **fields}


def test_events_are_bounded_and_the_newest_stay() -> None:
    events = Events(kept=10)
    events.add(event(n) for n in range(25))
    assert len(events) == 10
    assert events.added == 25
    assert [e["seq"] for e in events.newest(3, frozenset(), "")] == [24, 23, 22]


def test_events_are_found_by_kind_and_words() -> None:
    events = Events()
    events.add([event(1), event(2, "peer-lost", reason="Reset by peer"), event(3, "peer-lost")])
    assert [e["seq"] for e in events.newest(9, frozenset({"peer-lost"}), "")] == [3, 2]
    assert [e["seq"] for e in events.newest(9, frozenset(), "RESET peer")] == [2]
    assert events.newest(9, frozenset({"trained"}), "reset") == []


def test_eight_hours_at_one_point_a_second_are_kept_and_no_more() -> None:
    curves = Curves(kept=1000)
    for second in range(3000):
        curves.add(float(second), status(second / 3000))
    assert 1000 <= len(curves) <= 1125
    assert KEPT == 8 * 3600


def test_a_curve_is_thinned_out_and_ends_with_the_newest() -> None:
    curves = Curves()
    for second in range(5000):
        curves.add(float(second), status(second / 5000))
    curve = curves.curve("serving accuracy")
    assert SHOWN * 0.9 <= len(curve) <= SHOWN
    assert curve[-1] == (4999.0, 4999 / 5000)
    assert curves.curve("serving accuracy", since=4990.0)[0] == (4990.0, 4990 / 5000)


def test_looks_within_a_second_make_no_more_than_one_point_each() -> None:
    curves = Curves()
    for tenth in range(101):
        curves.add(tenth / 10, status(0.5))
    assert len(curves) <= 22
    assert curves.curve("serving loss")[-1] == (10.0, 0.5)


def test_a_measure_that_does_not_exist_is_a_gap() -> None:
    curves = Curves()
    curves.add(1.0, status(None))
    assert curves.curve("head accuracy") == [(1.0, None)]
    assert curves.curve("training loss") == [(1.0, None)]
    assert not curves.has("accuracy")
    assert curves.has("loss")
    assert curves.curve("bytes out") == [(1.0, 2.0)]
