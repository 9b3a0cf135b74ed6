"""The peer table: remember, dial, redial for ever, give up on nobody, put up with little."""

from collections.abc import Callable, Sequence
from random import Random

import pytest

from gossipd.protocol import peers as room
from gossipd.protocol.events import (
    Dial,
    Disconnect,
    Forget,
    Output,
    Remember,
    RememberAll,
    Report,
    SetTimer,
)
from gossipd.protocol.overlay import Overlay
from gossipd.protocol.peers import (
    DIAL_TIMER,
    DIALS_AT_ONCE,
    FIRST_PAUSE,
    GREETING_SECONDS,
    LONGEST_PAUSE,
    Peers,
)
from gossipd.protocol.roster import State
from gossipd.protocol.slots import EVICTIONS_PER_SECOND
from gossipd.wire import limits
from gossipd.wire.messages import PeerRecord, SignedRecord

HERE = ("/ip4/10.0.0.1/tcp/1",)


class Table:
    """A peer table in virtual time, whose dials the test lets succeed or fail."""

    def __init__(
        self,
        *,
        max_connections: int = 64,
        seed: int = 0,
        needed: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.peers = Peers("me", Random(seed), max_connections, needed)
        self.now = 0.0
        self.due: float | None = None
        self.outputs: list[Output] = []

    def took(self, out: list[Output]) -> list[Output]:
        for output in out:
            if isinstance(output, SetTimer):
                assert output.key == DIAL_TIMER
                assert output.at > self.now, "a timer that is due at once makes a busy loop"
                self.due = output.at
        self.outputs += out
        return out

    def learn(self, peer: str, addresses: tuple[str, ...] = HERE) -> list[Output]:
        out: list[Output] = []
        self.peers.learn(peer, addresses, self.now, out)
        return self.took(out)

    def note(self, *records: SignedRecord) -> list[Output]:
        """A peer has told of others."""
        out: list[Output] = []
        self.peers.note(records, self.now, out)
        self.peers.wake(self.now, out)
        return self.took(out)

    def wait(self) -> list[Output]:
        """Until the next timer."""
        assert self.due is not None, "nothing is going to happen any more"
        self.now, self.due = self.due, None
        out: list[Output] = []
        self.peers.dial_due(self.now, out)
        return self.took(out)

    def wait_for_dial(self) -> list[str]:
        while True:
            dialled = [o.peer for o in self.wait() if isinstance(o, Dial)]
            if dialled:
                return dialled

    def fail(self, peer: str, reason: str = "unreachable") -> None:
        out: list[Output] = []
        self.peers.on_dial_failed(peer, reason, self.now, out)
        self.took(out)

    def connect(self, peer: str, *, outbound: bool = True) -> list[Output]:
        out: list[Output] = []
        self.peers.on_connected(peer, outbound, self.now, out)
        return self.took(out)

    def admit(self, peer: str) -> None:
        self.connect(peer)
        assert self.peers.admit(peer)
        assert self.peers.meet(peer)

    def lose(self, peer: str, reason: str = "reset") -> None:
        out: list[Output] = []
        self.peers.on_lost(peer, reason, self.now, out)
        self.took(out)

    def refuse(self, peer: str, reason: str, *, hostile: bool = True) -> list[Output]:
        out: list[Output] = []
        self.peers.refuse(peer, reason, self.now, out, hostile=hostile)
        return self.took(out)

    def state(self, peer: str) -> State:
        return self.peers.table[peer].state

    @property
    def known(self) -> set[str]:
        return {peer.id for peer in self.peers}


def record(peer: str, addresses: tuple[str, ...] = HERE) -> SignedRecord:
    return SignedRecord(
        peer, PeerRecord(incarnation=1, seq=1, addresses=addresses), b"signed by " + peer.encode()
    )


# --- learning of peers ---------------------------------------------------------------------------


def test_a_peer_is_remembered_and_dialled() -> None:
    table = Table()
    assert Remember("ann", HERE) in table.learn("ann")
    assert table.wait() == [Dial("ann", HERE)]
    assert table.now < 0.1
    assert table.state("ann") is State.DIALING


def test_nobody_dials_itself() -> None:
    table = Table()
    assert table.learn("me") == []
    assert table.note(record("me")) == []
    assert table.known == set()


def test_what_is_known_already_is_not_remembered_again() -> None:
    table = Table()
    table.learn("ann")
    assert not [o for o in table.learn("ann") if isinstance(o, Remember)]


def test_a_new_record_is_remembered_even_with_the_old_addresses() -> None:
    table = Table()
    table.learn("ann")
    signed = record("ann")
    for _ in range(2):
        assert table.note(signed)[0] == RememberAll((Remember("ann", HERE, signed.envelope),))
        table.wait_for_dial()
        table.admit("ann")
        table.lose("ann")


def test_new_addresses_come_first_and_are_tried_at_once() -> None:
    table = Table()
    table.learn("ann")
    for _ in range(6):
        table.wait_for_dial()
        table.fail("ann")
    later = table.now
    table.learn("ann", ("/ip4/10.0.0.2/tcp/2",))
    assert table.wait() == [Dial("ann", ("/ip4/10.0.0.2/tcp/2", *HERE))]
    assert table.now - later < 0.1


def test_addresses_per_peer_are_bounded_the_newest_stay() -> None:
    table = Table()
    for i in range(limits.ADDRESSES_PER_RECORD + 3):
        table.learn("ann", (f"/ip4/10.0.0.{i}/tcp/1",))
    (addresses,) = (peer.addresses for peer in table.peers)
    assert len(addresses) == limits.ADDRESSES_PER_RECORD
    assert addresses[0] == f"/ip4/10.0.0.{limits.ADDRESSES_PER_RECORD + 2}/tcp/1"


def test_a_full_table_forgets_the_idle_peer_that_failed_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "KNOWN_PEERS", 3)
    table = Table()
    table.admit("busy")
    table.learn("good")
    table.learn("bad")
    table.wait_for_dial()
    table.fail("bad")
    table.connect("good")
    assert Forget("bad") in table.learn("new")
    assert table.known == {"busy", "good", "new"}
    assert table.wait_for_dial() == ["new"]
    # Now that all are in use, nobody new finds room, from whichever side.
    assert table.learn("newer") == []
    assert Disconnect("newer", "peer table full") in table.connect("newer", outbound=False)
    assert "newer" not in table.peers


def test_a_stranger_that_connects_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KNOWN_PEERS", 1)
    table = Table()
    table.learn("ann")
    assert Forget("ann") in table.connect("bob", outbound=False)
    assert table.state("bob") is State.GREETING


def test_who_the_operator_removes_is_disconnected_and_forgotten() -> None:
    table = Table()
    table.admit("ann")
    out: list[Output] = []
    table.peers.forget("ann", 0.0, out)
    assert out[:2] == [Disconnect("ann", "removed by the operator"), Forget("ann")]
    assert table.known == set()
    table.lose("ann", "the connection that was closed for it")
    assert table.known == set()
    out = []
    table.peers.forget("ann", 0.0, out)
    assert out == []


# --- dialling ------------------------------------------------------------------------------------


def test_few_are_dialled_at_once_the_next_when_one_has_ended() -> None:
    table = Table()
    names = [f"peer {i:02}" for i in range(DIALS_AT_ONCE + 2)]
    for name in names:
        table.learn(name)
    first = table.wait_for_dial()
    assert len(first) == DIALS_AT_ONCE
    assert table.due is None, "no timer ticks while there is no room"
    table.fail(first[0])
    (ninth,) = table.wait_for_dial()
    table.connect(first[1])
    assert {*first, ninth, *table.wait_for_dial()} == set(names)


def test_dialling_stops_at_the_most_connections_and_goes_on_when_one_ends() -> None:
    table = Table(max_connections=2)
    for name in ("ann", "bob", "cem"):
        table.learn(name)
    first = table.wait_for_dial()
    assert len(first) == 2
    for name in first:
        table.admit(name)
    assert table.wait() == [], "the greeting's deadline, in vain"
    assert table.due is None, "no timer ticks while there is no room"
    table.lose(first[0])
    assert {*first, *table.wait_for_dial()} == {"ann", "bob", "cem"}


def test_a_removed_peer_makes_room_for_the_next() -> None:
    table = Table(max_connections=1)
    table.learn("ann")
    table.learn("bob")
    (first,) = table.wait_for_dial()
    table.admit(first)
    out: list[Output] = []
    table.peers.forget(first, table.now, out)
    table.took(out)
    assert {first, *table.wait_for_dial()} == {"ann", "bob"}


def test_without_an_address_nobody_can_be_dialled() -> None:
    table = Table()
    table.connect("ann", outbound=False)
    table.peers.admit("ann")
    table.lose("ann")
    assert table.wait() == [], "the greeting's deadline, in vain"
    assert table.due is None
    table.learn("ann")
    assert table.wait_for_dial() == ["ann"]


def test_pauses_double_with_jitter_up_to_a_minute() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    pauses: list[float] = []
    for _ in range(12):
        before = table.now
        table.fail("ann")
        assert table.wait_for_dial() == ["ann"]
        pauses.append(table.now - before)
    for failures, pause in enumerate(pauses, start=1):
        longest = min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE)
        assert longest / 2 <= pause <= longest
    assert len({round(p, 6) for p in pauses}) == len(pauses), "jitter, not a beat"
    assert table.peers.table["ann"].failures == 12


def test_peers_that_failed_together_do_not_come_back_together() -> None:
    table = Table()
    names = [f"peer {i}" for i in range(5)]
    for name in names:
        table.learn(name)
    table.wait_for_dial()
    for name in names:
        table.fail(name)
    again = sorted(table.peers.table[name].next_dial for name in names)
    assert again[-1] - again[0] > 0.1


def test_a_peer_that_is_away_for_a_day_is_met_within_a_minute_of_its_return() -> None:
    table = Table()
    table.learn("ann")
    while table.now < 86_400:
        assert table.wait_for_dial() == ["ann"]
        table.fail("ann")
    back = table.now
    assert table.wait_for_dial() == ["ann"]
    assert table.now - back <= LONGEST_PAUSE
    table.admit("ann")
    assert table.peers.table["ann"].failures == 0


def test_a_connection_that_breaks_is_taken_up_sooner_than_a_dial_that_failed() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    for _ in range(5):
        table.fail("ann")
        table.wait_for_dial()
    table.admit("ann")
    lost = table.now
    table.lose("ann", "reset")
    peer = table.peers.table["ann"]
    assert (peer.failures, peer.last_error, peer.state) == (0, "reset", State.BACKING_OFF)
    assert table.wait_for_dial() == ["ann"]
    assert table.now - lost <= FIRST_PAUSE


def test_a_connection_that_ends_in_the_greeting_counts_as_a_failure() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.connect("ann")
    table.lose("ann", "reset")
    assert table.peers.table["ann"].failures == 1


def test_a_dial_that_fails_because_the_peer_dialled_first_breaks_nothing() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.connect("ann", outbound=False)
    table.fail("ann", "the other dial won")
    assert table.state("ann") is State.GREETING
    table.peers.admit("ann")
    table.fail("ann", "the other dial won")
    assert table.peers.is_admitted("ann")
    table.fail("a stranger")


# --- places --------------------------------------------------------------------------------------


def crowd(table: Table, count: int, *, outbound: bool = False) -> list[str]:
    """So many that are connected, one after the other."""
    names = [f"peer {i:02}" for i in range(len(table.peers.table), len(table.peers.table) + count)]
    for name in names:
        table.now += 0.1
        table.connect(name, outbound=outbound)
        table.peers.admit(name)
        table.peers.meet(name)
    return names


def closed(out: list[Output]) -> list[str]:
    return [o.peer for o in out if isinstance(o, Disconnect)]


def reach(table: Table, peer: str) -> tuple[bool, list[Output]]:
    out: list[Output] = []
    return table.peers.reach(peer, table.now, out), table.took(out)


def test_all_are_dialled_while_they_fit_and_a_few_when_they_do_not() -> None:
    for known, expected in ((12, 12), (13, 4)):
        table = Table(max_connections=16)
        for number in range(known):
            table.learn(f"peer {number:02}")
        dialled: list[str] = []
        while table.due is not None:
            for name in (fresh := [o.peer for o in table.wait() if isinstance(o, Dial)]):
                table.admit(name)
            dialled += fresh
        assert len(dialled) == expected


def test_nodes_that_know_the_same_peers_dial_different_ones() -> None:
    chosen = set()
    for seed in range(20):
        table = Table(max_connections=16, seed=seed)
        for number in range(40):
            table.learn(f"peer {number:02}")
        chosen.update(table.wait_for_dial())
    assert len(chosen) > 20


def test_who_is_needed_now_is_dialled_at_once_even_when_the_few_stand() -> None:
    table = Table(max_connections=16)
    crowd(table, 12)
    table.learn("ann")
    assert Dial("ann", HERE) not in table.wait()
    found, out = reach(table, "ann")
    assert found
    assert Dial("ann", HERE) in out
    assert closed(out) == []


def test_who_dials_in_beyond_the_usual_makes_the_least_useful_one_go() -> None:
    table = Table(max_connections=16)
    names = crowd(table, 12)
    table.now += 5.0
    for name in names[1:]:
        table.peers.used(name, table.now)
    assert closed(table.connect("newcomer", outbound=False)) == [names[0]]
    assert table.state(names[0]) is State.CLOSING
    assert not table.peers.is_met(names[0]), "nothing is asked over a connection that ends"
    table.lose(names[0], "closed")
    assert table.peers.table[names[0]].failures == 0, "it did nothing wrong"


def test_a_full_node_closes_one_for_whom_it_needs_and_dials_when_it_has_gone() -> None:
    table = Table(max_connections=4)
    names = crowd(table, 4)
    table.now += 5.0
    for name in names:
        table.peers.used(name, table.now)
    table.peers.doubt(names[2])
    table.learn("ann")
    found, out = reach(table, "ann")
    assert found
    assert closed([*table.outputs]) == [names[2]], "the one that does not answer"
    assert Dial("ann", HERE) not in out
    table.lose(names[2], "closed")
    assert table.wait_for_dial() == ["ann"]


def test_whom_a_node_works_with_is_never_closed() -> None:
    needed: list[str] = []
    table = Table(max_connections=4, needed=lambda: needed)
    needed += crowd(table, 4)
    table.now += 5.0
    table.learn("ann")
    assert reach(table, "ann")[0] is False
    assert closed(table.connect("newcomer", outbound=False)) == []


def test_strangers_that_dial_in_push_few_out_and_never_the_chosen() -> None:
    """However many come: so many a second, and not those that this node dialled itself."""
    table = Table(max_connections=16)
    chosen = crowd(table, 4, outbound=True)
    guests = crowd(table, 8)
    table.now += 5.0
    for name in chosen + guests:
        table.peers.used(name, table.now)
    gone: list[str] = []
    began = table.now
    for number in range(200):
        table.now += 0.01
        out = table.connect(f"stranger {number}", outbound=False)
        gone += closed(out)
        for name in closed(out):
            table.lose(name, "closed")
    honest = [name for name in gone if name in guests]
    assert len(honest) <= (table.now - began) * EVICTIONS_PER_SECOND + 4
    assert not set(gone) & set(chosen)


def test_strangers_go_before_those_that_were_of_use() -> None:
    table = Table(max_connections=16)
    guests = crowd(table, 10)
    strangers = crowd(table, 2)
    table.now += 5.0
    for name in guests:
        table.peers.used(name, table.now)
    assert closed(table.connect("another", outbound=False)) == [strangers[0]]


def test_a_dial_that_found_no_place_here_says_nothing_of_the_peer() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.fail("ann", "full: 64 connections")
    assert table.peers.table["ann"].failures == 0
    assert table.wait_for_dial() == ["ann"]


def test_whom_nobody_found_is_reached_again_after_its_pause() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.fail("ann")
    assert reach(table, "ann")[0] is False
    table.now += LONGEST_PAUSE
    assert reach(table, "ann")[0] is True


# --- greeting ------------------------------------------------------------------------------------


def test_a_connection_without_a_hello_is_closed_by_its_deadline_and_tried_again() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    begun = table.now
    table.connect("ann")
    out = table.wait()
    assert table.now == pytest.approx(begun + GREETING_SECONDS)
    assert Disconnect("ann", "no hello") in out
    assert table.peers.refused == {"no-hello": 1}
    assert table.peers.table["ann"].violations == 0, "silence is no attack"
    table.lose("ann", "closed")
    assert table.wait_for_dial() == ["ann"]


def test_a_hello_in_time_keeps_the_connection() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.admit("ann")
    assert not table.peers.admit("ann"), "news only once"
    assert not table.peers.meet("ann")
    table.learn("bob")
    assert table.wait_for_dial() == ["bob"]
    table.now += GREETING_SECONDS * 2
    out: list[Output] = []
    table.peers.dial_due(table.now, out)
    assert not [o for o in out if isinstance(o, Disconnect)]


def test_only_who_admitted_this_node_too_can_be_asked() -> None:
    table = Table()
    table.connect("ann")
    assert not table.peers.meet("ann")
    table.peers.admit("ann")
    assert table.peers.is_admitted("ann")
    assert table.peers.admitted() == []
    table.peers.meet("ann")
    assert table.peers.admitted() == ["ann"]
    assert not table.peers.meet("a stranger")
    assert not table.peers.admit("a stranger")
    assert not table.peers.is_admitted("a stranger")


def test_a_new_connection_is_greeted_anew() -> None:
    table = Table()
    table.admit("ann")
    table.lose("ann")
    table.connect("ann")
    assert table.peers.admitted() == []
    assert table.state("ann") is State.GREETING


# --- misbehaviour --------------------------------------------------------------------------------


def misbehave(table: Table, peer: str, times: int) -> list[Output]:
    return [o for _ in range(times) for o in table.refuse(peer, "bad-signature")]


def test_a_few_violations_are_counted_too_many_drop_the_peer() -> None:
    table = Table()
    table.admit("mallory")
    assert misbehave(table, "mallory", limits.VIOLATIONS - 1) == []
    out = misbehave(table, "mallory", 1)
    assert [o.kind for o in out if isinstance(o, Report)] == ["peer-dropped"]
    dropped = [o for o in out if isinstance(o, Disconnect)]
    assert len(dropped) == 1
    assert "bad-signature" in dropped[0].reason
    assert misbehave(table, "mallory", 5) == [], "dropped once, not at every word"
    assert table.peers.table["mallory"].refused["bad-signature"] == limits.VIOLATIONS + 5


def test_who_was_dropped_is_held_off_and_then_forgiven() -> None:
    table = Table()
    table.learn("mallory")
    table.wait_for_dial()
    table.admit("mallory")
    misbehave(table, "mallory", limits.VIOLATIONS)
    dropped = table.now
    table.lose("mallory", "dropped")

    out = table.connect("mallory", outbound=False)
    assert [o.peer for o in out if isinstance(o, Disconnect)] == ["mallory"]
    assert table.peers.refused["held-off"] == 1
    table.lose("mallory", "held off")
    table.learn("mallory", ("/ip4/10.6.6.6/tcp/6",))

    assert table.wait_for_dial() == ["mallory"], "new addresses do not shorten it, but it ends"
    assert table.now - dropped >= limits.HOLD_OFF_SECONDS
    table.admit("mallory")
    assert misbehave(table, "mallory", limits.VIOLATIONS - 1) == []
    assert [o for o in misbehave(table, "mallory", 1) if isinstance(o, Disconnect)]


def test_honest_refusals_are_counted_but_never_held_against_anybody() -> None:
    table = Table()
    table.admit("ann")
    for _ in range(limits.VIOLATIONS * 2):
        assert table.refuse("ann", "fetch-timeout", hostile=False) == []
    assert table.peers.is_admitted("ann")
    assert table.peers.table["ann"].violations == 0


def test_strangers_are_counted_in_the_total_only() -> None:
    table = Table()
    assert misbehave(table, "nobody", limits.VIOLATIONS * 2) == []
    assert table.peers.refused["bad-signature"] == limits.VIOLATIONS * 2
    assert table.peers.table == {}


def test_reasons_that_peers_make_up_fill_no_memory() -> None:
    table = Table()
    table.admit("mallory")
    for i in range(1000):
        table.refuse("mallory", f"made up {i}", hostile=False)
    assert len(table.peers.refused) <= room.REASONS + 1
    assert table.peers.refused["other"] == 1000 - room.REASONS
    assert table.peers.table["mallory"].refused["other"] == 1000 - room.REASONS


def test_holding_off_a_stranger_disconnects_it() -> None:
    table = Table()
    out: list[Output] = []
    table.peers.hold_off("nobody", "foreign-swarm", 0.0, out)
    assert out == [Disconnect("nobody", "foreign-swarm")]


# --- strangers -----------------------------------------------------------------------------------


def test_who_is_only_heard_of_has_no_state_before_it_is_dialled() -> None:
    table = Table(max_connections=16)
    out = table.note(*(record(f"peer {number}") for number in range(1000)))
    assert len([o for o in out if isinstance(o, RememberAll)]) == 1
    assert len(table.peers) == len(table.known) == 1000
    assert not table.peers.table
    dialled = table.wait_for_dial()
    assert set(dialled) == set(table.peers.table), "and nobody else"
    assert len(table.peers) == len(table.known) == 1000


def test_a_stranger_is_dialled_before_who_has_failed() -> None:
    table = Table()
    table.learn("ann")
    table.wait_for_dial()
    table.fail("ann")
    table.note(record("bob"))
    assert table.wait_for_dial() == ["bob"]
    assert table.wait_for_dial() == ["ann"]


def test_what_a_stranger_does_wrong_is_counted() -> None:
    table = Table()
    table.note(record("mallory"))
    table.refuse("mallory", "bad-signature")
    assert table.peers.table["mallory"].violations == 1
    assert table.peers.table["mallory"].addresses == HERE
    assert len(table.peers) == 1


def test_a_stranger_without_an_address_is_known_and_waits_for_one() -> None:
    table = Table()
    table.note(record("ann", ()))
    assert table.known == {"ann"}
    assert table.due is None
    table.note(record("ann"))
    assert table.wait_for_dial() == ["ann"]


def test_of_strangers_only_those_that_the_operator_names_are_dialled() -> None:
    table = Table()
    table.note(record("ann"), record("bob"))
    out: list[Output] = []
    table.peers.restrict(Overlay(("bob",)), table.now, out)
    table.took(out)
    table.note(record("cem"))
    assert table.wait_for_dial() == ["bob"]
    out = []
    table.peers.restrict(Overlay(()), table.now, out)
    table.took(out)
    assert set(table.wait_for_dial()) == {"ann", "cem"}


def test_a_stranger_makes_room_before_an_idle_peer_that_never_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "KNOWN_PEERS", 2)
    table = Table()
    table.admit("ann")
    table.lose("ann")
    table.note(record("bob"))
    out = table.connect("cem", outbound=False)
    assert Forget("bob") in out
    assert table.known == {"ann", "cem"}


def test_of_those_who_came_and_were_never_admitted_the_latest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "PASSERS_BY", 3)
    table = Table()
    for number in range(5):
        table.connect(f"stranger{number}", outbound=False)
        table.refuse(f"stranger{number}", "foreign-swarm")
        table.lose(f"stranger{number}")
    assert set(table.peers.table) == {"stranger2", "stranger3", "stranger4"}
    assert table.peers.refused["foreign-swarm"] == 5


def test_who_was_admitted_or_can_be_dialled_is_not_forgotten_for_those_who_pass_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "PASSERS_BY", 1)
    table = Table()
    table.admit("ann")
    table.learn("ann", ())
    table.lose("ann")
    table.learn("bob")
    table.connect("bob", outbound=False)
    table.lose("bob")
    for name in ("dan", "eve"):
        table.connect(name, outbound=False)
        table.lose(name)
    assert set(table.peers.table) == {"ann", "bob", "eve"}
