"""SAMPLE(k, n) by itself: who is pinged when, and who is in it."""

from dataclasses import dataclass, field
from random import Random

import pytest

from gossipd.protocol.activity import Activity
from gossipd.protocol.events import Ask, Dial, Output, SetTimer
from gossipd.protocol.pace import FIRST_PING_SECONDS, Pace
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.sampling import TIMER, Sampler
from gossipd.protocol.view import SwarmView
from gossipd.wire.messages import Ping, Pong
from support.world import SWARM


@dataclass
class Bench:
    """A sampler whose pings somebody else answers."""

    connected: tuple[str, ...] = ()
    now: float = 0.0
    out: list[Output] = field(default_factory=list)
    drawn: list[tuple[str, ...]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peers = Peers("me", Random(1), 64)
        for peer in self.connected:
            self.peers.on_connected(peer, True, 0.0, [])
            self.peers.admit(peer)
            self.peers.meet(peer)
        self.activity = Activity("me", SWARM.id, SwarmView(), 50)
        self.questions = Questions()
        self.pace = Pace()
        self.sampler = Sampler(
            "me",
            self.peers,
            self.activity,
            self.questions,
            self.pace,
            lambda: Ping(est=3),
            lambda peer, pong, now, out: self.heard.append(peer),
        )

    def draw(self, order: str, count: int) -> None:
        self.sampler.draw(
            order.split(),
            count,
            lambda peers, now, out: self.drawn.append(peers),
            self.now,
            self.out,
        )

    @property
    def pinged(self) -> list[str]:
        return [o.peer for o in self.out if isinstance(o, Ask)]

    def answer(self, peer: str, pong: Pong | None = Pong()) -> None:  # noqa: B008
        ask = next(o for o in self.out if isinstance(o, Ask) and o.peer == peer)
        found = self.questions.take(ask.request)
        assert found is not None
        assert isinstance(found[1], Then)
        found[1].reply(pong, (), self.now, self.out)

    def wait(self, seconds: float) -> None:
        """Let the timer fire until then."""
        end = self.now + seconds
        while True:
            due = [o.at for o in self.out if isinstance(o, SetTimer) and o.key == TIMER][-1:]
            if not due or due[0] > end or due[0] <= self.now:
                self.now = end
                return
            self.now = due[0]
            self.sampler.on_timer(self.now, self.out)


ALL = tuple("abcdefgh")


def test_the_first_n_are_asked_and_are_the_sample_in_their_order() -> None:
    bench = Bench(ALL)
    bench.draw("a b c d e", 3)
    assert bench.pinged == ["a", "b", "c"]
    bench.answer("c")
    bench.answer("a")
    assert not bench.drawn
    bench.answer("b")
    assert bench.drawn == [("a", "b", "c")]
    assert bench.heard == ["c", "a", "b"]


def test_oneself_counts_without_a_ping() -> None:
    bench = Bench(ALL)
    bench.draw("me", 3)
    assert bench.drawn == [("me",)]
    bench.draw("a me b", 2)
    bench.answer("a")
    assert bench.drawn[1] == ("a", "me")


def test_nobody_to_ask_is_an_empty_sample() -> None:
    bench = Bench()
    bench.draw("", 3)
    bench.draw("a b", 2)
    assert bench.drawn == [(), ()]


def test_a_failed_ping_makes_room_for_one_more_and_is_a_suspect() -> None:
    bench = Bench(ALL)
    bench.draw("a b c d", 2)
    bench.answer("a", None)
    assert bench.pinged == ["a", "b", "c"]
    assert bench.activity.is_suspect("a")
    bench.answer("b")
    bench.answer("c")
    assert bench.drawn == [("b", "c")]


def test_who_is_not_available_is_skipped_and_not_suspected() -> None:
    bench = Bench(ALL)
    bench.draw("a b c", 2)
    bench.answer("a", Pong(unavailable=True))
    bench.answer("b")
    bench.answer("c")
    assert bench.drawn == [("b", "c")]
    assert not bench.activity.is_suspect("a")


def test_with_too_few_left_the_sample_is_shorter() -> None:
    bench = Bench(ALL)
    bench.draw("a b", 5)
    bench.answer("b")
    bench.answer("a", None)
    assert bench.drawn == [("b",)]


def test_the_window_doubles_while_nobody_answers() -> None:
    bench = Bench(ALL)
    for _ in range(64):
        bench.pace.round_trip(1.0)
    bench.draw("a b c d e f g h", 1)
    pause = bench.pace.ping_seconds / 2
    for asked in (1, 2):
        assert bench.pinged == list(ALL[:asked])
        bench.wait(pause + 0.01)
    bench.wait(pause)
    assert bench.pinged == list(ALL)


def test_where_few_answer_a_draw_begins_with_a_wider_window() -> None:
    bench = Bench(ALL)
    for _ in range(4):
        bench.draw("a b c d", 4)
        for peer in "abcd":
            bench.answer(peer, None)
        bench.out.clear()
    bench.draw("e f g h", 1)
    assert bench.pinged == ["e", "f", "g"], "a third answered lately, as it seems"


def test_a_strict_draw_waits_for_whoever_comes_first() -> None:
    bench = Bench(ALL)
    bench.sampler.draw(
        ["a", "b", "c"],
        1,
        lambda peers, now, out: bench.drawn.append(peers),
        0.0,
        bench.out,
        strict=True,
        window=3,
    )
    bench.answer("b")
    assert not bench.drawn
    bench.answer("a")
    assert bench.drawn == [("a",)]


def test_a_strict_draw_goes_on_without_whoever_stays_silent() -> None:
    bench = Bench(ALL)
    bench.sampler.draw(
        ["a", "b"],
        1,
        lambda peers, now, out: bench.drawn.append(peers),
        0.0,
        bench.out,
        strict=True,
        window=2,
    )
    bench.answer("b")
    bench.wait(FIRST_PING_SECONDS + 0.01)
    assert bench.drawn == [("b",)]


def test_a_sign_of_life_is_enough_to_find_somebody() -> None:
    bench = Bench(ALL)
    found: list[bool] = []
    bench.sampler.find("a", lambda alive, now, out: found.append(alive), 0.0, bench.out)
    bench.answer("a", Pong(unavailable=True))
    assert found == [True]


def test_a_dial_that_fails_ends_the_wait_at_once() -> None:
    bench = Bench(("b",))
    bench.peers.learn("a", ("/memory/a",), 0.0, [])
    bench.draw("a b", 1)
    bench.peers.on_dial_failed("a", "unreachable", 0.01, [])
    bench.sampler.on_unreached("a", 0.01, bench.out)
    bench.answer("b")
    assert bench.drawn == [("b",)]
    assert bench.activity.is_suspect("a")


def test_silence_fails_after_the_ping_time_out_and_the_draw_ends() -> None:
    bench = Bench(ALL)
    bench.draw(" ".join(ALL), 2)
    bench.wait(10.0)
    assert bench.drawn == [()]
    assert all(bench.activity.is_suspect(peer) for peer in ALL)


def test_an_answer_that_comes_too_late_for_its_ping_still_counts_while_others_are_waited_for() -> (
    None
):
    bench = Bench(("a", "b"))
    bench.draw("a b", 2)
    bench.answer("b")
    bench.now = FIRST_PING_SECONDS / 2
    bench.answer("a")
    assert bench.drawn == [("a", "b")]


def test_a_cancelled_draw_says_nothing() -> None:
    bench = Bench(ALL)
    draw = bench.sampler.draw(
        ["a"], 1, lambda peers, now, out: bench.drawn.append(peers), 0.0, bench.out
    )
    bench.sampler.cancel(draw)
    bench.answer("a")
    bench.wait(10.0)
    assert not bench.drawn


def test_a_candidate_without_a_connection_is_dialled_and_pinged_when_met() -> None:
    bench = Bench(("b",))
    bench.peers.learn("a", ("/memory/a",), 0.0, [])
    bench.draw("a b", 1)
    assert [o.peer for o in bench.out if isinstance(o, Dial)] == ["a"]
    assert bench.pinged == []
    bench.peers.on_connected("a", True, 0.1, [])
    bench.peers.admit("a")
    bench.peers.meet("a")
    bench.sampler.on_met("a", 0.1, bench.out)
    assert bench.pinged == ["a"]
    bench.answer("a")
    assert bench.drawn == [("a",)]


def test_a_candidate_that_cannot_be_reached_in_time_is_passed_over() -> None:
    bench = Bench(("b",))
    bench.peers.learn("a", ("/memory/a",), 0.0, [])
    bench.draw("a b", 1)
    bench.wait(bench.pace.ping_seconds / 2 + 0.01)
    bench.answer("b")
    assert bench.drawn == [("b",)]


def test_a_candidate_that_failed_to_connect_before_is_not_waited_for() -> None:
    bench = Bench(("b",))
    bench.peers.learn("a", ("/memory/a",), 0.0, [])
    bench.peers.dial_due(0.02, [])
    bench.peers.on_dial_failed("a", "unreachable", 0.1, [])
    bench.draw("a b", 1)
    assert bench.pinged == ["b"]


@pytest.mark.parametrize(("trip", "seconds"), [(0.001, 0.25), (0.1, 0.4), (9.0, 5.0)])
def test_the_ping_time_out_follows_the_round_trips(trip: float, seconds: float) -> None:
    pace = Pace()
    assert pace.ping_seconds == FIRST_PING_SECONDS
    for _ in range(20):
        pace.round_trip(trip)
    assert pace.ping_seconds == pytest.approx(seconds)


def test_one_slow_answer_in_twenty_does_not_slow_all() -> None:
    pace = Pace()
    for trip in [0.1] * 63 + [4.0]:
        pace.round_trip(trip)
    assert pace.ping_seconds == pytest.approx(0.4)
