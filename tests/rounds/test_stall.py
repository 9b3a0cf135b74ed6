"""Who hears late of a round: whether it still goes on decides how long it waits for the next."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from gossipd.protocol.events import Answer, Output, Requested, SetPaused, SetTimer
from gossipd.protocol.stall import TIMER, StallRule
from gossipd.wire.messages import RoundProof, RoundQuery
from support.rounds_world import RoundWorld
from support.solo import one

STALL = 4.0


class Draws:
    """A sampler that only notes what is drawn."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, ...]] = []
        self.looked_at: list[int] = []

    def draw(self, candidates: Any, *_: Any, **__: Any) -> None:
        self.drawn.append(tuple(candidates))


@pytest.fixture
def draws() -> Draws:
    return Draws()


@pytest.fixture
def rule(draws: Draws) -> StallRule:
    """Of a node that is the first in every order."""
    parts: dict[str, Any] = {
        "activity": SimpleNamespace(place=lambda _: 0, order=lambda _: ["me"], alone=True),
        "sampler": draws,
        "clock": SimpleNamespace(next=7),
        "pace": SimpleNamespace(stall_seconds=STALL),
        "peers": None,
        "policy": SimpleNamespace(choose=lambda peers, count: []),
    }
    rule = StallRule(
        **parts,
        rng=Random(1),
        me="me",
        may_open=lambda: True,
        open_=lambda now, out: None,
        look_ahead=lambda round_, now, out: draws.looked_at.append(round_),
    )
    rule.start(0.0, [])
    return rule


def looks_at(out: list[Output]) -> float:
    timer = one(out, SetTimer)
    assert timer.key == TIMER
    return timer.at


@pytest.mark.parametrize(("quiet", "waits"), [(0.0, STALL), (3.0, 1.0), (60.0, 0.0)])
def test_what_was_over_when_it_was_told_counts_from_when_it_was(
    rule: StallRule, draws: Draws, quiet: float, waits: float
) -> None:
    now, out = 100.0, list[Output]()
    rule.told(quiet, now, out)
    looked = looks_at(out)
    while not draws.drawn:
        out.clear()
        now = looked
        rule.on_timer(now, out)
        looked = looks_at(out)
    assert now == pytest.approx(100.0 + waits, abs=0.1)


def test_who_is_called_upon_meets_those_whom_it_will_draw_after_that_round(
    rule: StallRule, draws: Draws
) -> None:
    rule.on_timer(STALL * 1.3, [])
    assert draws.looked_at == [8]


def test_a_peer_says_for_how_long_it_has_seen_no_round_go_on() -> None:
    world = RoundWorld(1)
    asked, asker = (members := world.swarm(3))[:2]
    world.run_until(lambda: asked.proven >= 3, 20.0)
    for member in members:
        member.feed(SetPaused(True))
    world.run(30.0)
    query = Requested(asker.id, 1, RoundQuery(round=0))
    proof = one(asked.node.handle(query, world.now), Answer).message
    assert isinstance(proof, RoundProof)
    assert proof.round == asked.proven
    assert 25_000 < proof.quiet <= 30_000
