"""What is not asked and not dialled, so that a large swarm costs each of its nodes no more."""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import UNSET
from msgspec.structs import replace

from gossipd.config import Config
from gossipd.options import options_of
from gossipd.protocol.activity import Activity
from gossipd.protocol.handout import WATCHERS, Desk
from gossipd.protocol.meeting import Meeting
from gossipd.protocol.sampling import Sampler
from gossipd.protocol.view import SwarmView
from gossipd.protocol.work import Work
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Hello, Introduction, PeerRecord, SignedRecord

SWARM = digest(b"swarm")
MINE, OTHER = digest(b"mine"), digest(b"other")
HELLO = Hello(swarm=SWARM, task=SWARM, layout=SWARM, genesis=SWARM, record=b"r", claim=b"c")


def at(est: int, base: bytes) -> Hello:
    return replace(HELLO, intro=Introduction(est=est, base=base))


def asked_of(hello: Hello | None, proven: int = 5) -> tuple[bool, bool]:
    meeting = Meeting(lambda: proven, lambda: MINE)
    if hello is not None:
        meeting.heard("ann", hello)
    return meeting.open_questions("ann")


def test_who_stands_where_we_do_is_asked_nothing() -> None:
    assert asked_of(at(est=5, base=MINE)) == (False, False)
    assert asked_of(at(est=4, base=OTHER)) == (True, False)
    assert asked_of(at(est=6, base=MINE)) == (False, True)


def test_who_does_not_say_where_it_stands_is_asked() -> None:
    assert asked_of(HELLO) == asked_of(None) == (True, True)


def test_what_a_peer_said_ends_with_its_connection() -> None:
    meeting = Meeting(lambda: 5, lambda: MINE)
    meeting.heard("ann", at(est=5, base=MINE))
    meeting.disconnected("ann")
    assert meeting.open_questions("ann") == (True, True)


def test_who_says_nothing_of_itself_says_nothing_of_its_round() -> None:
    meeting = Meeting(lambda: 5, lambda: MINE)
    assert meeting.greeting(HELLO) == at(est=5, base=MINE)
    withheld = replace(HELLO, record=b"", claim=b"")
    assert meeting.greeting(withheld).introduction.est is UNSET


def test_a_swarm_that_begins_asks_nobody_for_models_or_rounds() -> None:
    with Simulation(1, keep_messages=True) as sim:
        for number in range(4):
            learner = StubLearner(number)
            sim.add(f"n{number}", learner, options_of(Config(mode="rounds"), swarm=None))
        sim.introduce(*sim.nodes)
        sim.start(*sim.nodes)
        sim.run_until(lambda: all(len(n.live.node.peers.admitted()) == 3 for n in sim.running), 5)
        sent = {entry.fields["what"] for entry in sim.log.of("message")}
    assert {"hello", "view_sync", "view"} <= sent
    assert not sent & {"have", "round_query"}


# --- who brings news to those who may wait for them -----------------------------------------------


class Draws:
    """Stands for the sampler: whom it was asked to find."""

    def __init__(self) -> None:
        self.drawn: list[list[str]] = []

    def draw(self, candidates: Sequence[str], *_: object, **__: object) -> None:
        self.drawn.append(list(candidates))


SIZE = 300


def desk_of(me: str) -> tuple[Desk, Activity, Draws]:
    view = SwarmView()
    view.add_records(
        SignedRecord(f"p{number}", PeerRecord(incarnation=1, seq=1), b"") for number in range(SIZE)
    )
    activity, draws = Activity(me, SWARM, view, 50), Draws()
    nothing: Any = None
    desk = Desk(
        me,
        10,
        MINE,
        activity,
        cast(Sampler, draws),
        Work(),
        lambda: True,
        lambda: 0,
        lambda round_: 0,
        lambda peer: False,
        nothing,
    )
    return desk, activity, draws


def test_only_who_may_be_called_dials_to_bring_news() -> None:
    _, anybody, _ = desk_of("p0")
    order = anybody.order(7)
    connected = [order[3], order[150], order[-1]]
    dialling = 0
    for me in order:
        desk, _, draws = desk_of(me)
        desk.bring_news(7, connected, 0.0, [])
        (drawn,) = draws.drawn
        if drawn != [order[3]]:
            assert drawn == order[:10], "the rest are told by those who are connected with them"
            dialling += 1
    assert 0 < dialling <= 2 * WATCHERS, "as few in a swarm of thousands"
