"""An overlay: who is not in it is not dialled and not answered; it may change at any time."""

from random import Random

from gossipd.protocol.events import Dial, Disconnect, Output, SetTimer
from gossipd.protocol.overlay import Overlay
from gossipd.protocol.peers import Peers
from gossipd.protocol.roster import State
from gossipd.wire.messages import PeerRecord, SignedRecord

HERE = ("/ip4/10.0.0.1/tcp/1",)


def table(*allowed: str) -> Peers:
    """A peer table that knows ann and ben, restricted to `allowed`."""
    peers = Peers("me", Random(0), 64)
    peers.restrict(Overlay(allowed), 0.0, [])
    for name in ("ann", "ben"):
        peers.learn(name, HERE, 0.0, [])
    return peers


def dialled(peers: Peers, now: float) -> set[str]:
    out: list[Output] = []
    peers.dial_due(now, out)
    return {o.peer for o in out if isinstance(o, Dial)}


def test_everybody_is_dialled_without_one() -> None:
    assert dialled(table(), 1.0) == {"ann", "ben"}


def test_only_those_in_it_are_dialled() -> None:
    assert dialled(table("ann", "cleo"), 1.0) == {"ann"}


def test_the_own_id_alone_is_nobody() -> None:
    peers = table("me")
    assert dialled(peers, 1.0) == set()
    assert not peers.reach("ann", 1.0, [])


def test_somebody_else_is_counted_and_never_met() -> None:
    peers = table("ann")
    peers.on_connected("ben", False, 1.0, [])
    assert peers.refused == {"not-allowed": 1}
    assert peers.table["ben"].violations == 0, "it may be allowed later"
    assert peers.admitted() == []
    out: list[Output] = []
    peers.dial_due(100.0, out)
    assert Disconnect("ben", "no hello") in out, "it cannot stay for ever"


def test_a_dial_that_succeeds_too_late_is_undone() -> None:
    peers = table()
    assert "ann" in dialled(peers, 1.0)
    peers.restrict(Overlay(("ben",)), 1.1, [])
    out: list[Output] = []
    assert peers.on_connected("ann", True, 1.2, out) is None
    assert Disconnect("ann", "not-allowed") in out


def test_a_change_lets_go_of_some_and_dials_others_at_once() -> None:
    peers = table("ann")
    peers.on_connected("ann", True, 1.0, [])
    assert peers.admit("ann")
    peers.table["ben"].next_dial = 500.0
    out: list[Output] = []
    peers.restrict(Overlay(("ben",)), 10.0, out)
    assert Disconnect("ann", "not-allowed") in out
    assert min(o.at for o in out if isinstance(o, SetTimer)) < 10.1
    assert dialled(peers, 10.1) == {"ben"}
    peers.on_lost("ann", "not-allowed", 10.2, [])
    assert peers.table["ann"].state is State.BACKING_OFF
    assert dialled(peers, 500.0) == set(), "nor is it dialled again"


def test_who_is_blocked_is_not_talked_to_whoever_else_is() -> None:
    assert not Overlay((), ("ann",)).admits("ann")
    assert not Overlay(("ann",), ("ann",)).admits("ann")
    assert Overlay((), ("ann",)).admits("bob")
    assert not Overlay(("cem",), ("ann",)).admits("bob")


def test_who_is_blocked_is_not_dialled_however_it_was_heard_of() -> None:
    known = table()
    known.restrict(Overlay((), ("ann",)), 0.0, [])
    assert dialled(known, 1.0) == {"ben"}, "before it was blocked"

    told, noted = Peers("me", Random(0), 64), Peers("me", Random(0), 64)
    records = [
        SignedRecord(name, PeerRecord(incarnation=1, seq=1, addresses=HERE), name.encode())
        for name in ("ann", "ben")
    ]
    for peers in (told, noted):
        peers.overlay = Overlay((), ("ann",))
    for record in records:
        told.learn(record.author, HERE, 0.0, [])
    noted.note(records, 0.0, [])
    assert dialled(told, 1.0) == {"ben"}, "by its address"
    assert dialled(noted, 1.0) == {"ben"}, "by its record"
