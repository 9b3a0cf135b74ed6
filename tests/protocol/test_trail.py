"""The way from the model that a peer stands on to the one that it is to have."""

import pytest

from gossipd.protocol.trail import KNOWN, Trail, coded
from gossipd.wire import limits
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import GENESIS, Update
from support.world import Member, World

PARAMETERS = 100_000
INITIAL = digest(b"genesis")


def chain(author: Member, length: int) -> list[Update]:
    """Bases, each a delta against the one before; the first one against the initial model."""
    bases: list[Update] = []
    for number in range(length):
        reference = bases[-1].manifest.model if bases else GENESIS
        model = digest(b"model", bytes([number]))
        bases.append(author.update(role="base", reference=reference, model=model))
    return bases


def trail_of(bases: list[Update], held: set[bytes] | None = None) -> Trail:
    trail = Trail(INITIAL, PARAMETERS, lambda update: update in (held or set()))
    for base in bases:
        trail.learn(base)
    return trail


def author() -> Member:
    return World().add("ann")


def test_who_stands_on_the_reference_needs_nothing_more() -> None:
    bases = chain(author(), 4)
    trail = trail_of(bases)
    trail.stands("ben", bases[2].manifest.model)
    assert trail.between("ben", bases[3]) == []


def test_who_stands_further_back_is_told_what_lies_between_oldest_first() -> None:
    bases = chain(author(), 5)
    trail = trail_of(bases)
    trail.stands("ben", bases[1].manifest.model)
    assert trail.between("ben", bases[4]) == bases[2:4]


def test_of_whom_nothing_is_known_it_is_told_the_way_from_the_initial_model() -> None:
    bases = chain(author(), 3)
    assert trail_of(bases).between("ben", bases[2]) == bases[:2]


def test_a_way_that_is_not_known_or_too_long_is_none() -> None:
    bases = chain(author(), limits.BASES_BETWEEN + 3)
    assert trail_of(bases[1:]).between("ben", bases[3]) == []
    assert trail_of(bases).between("ben", bases[-1]) == []


def test_envelopes_that_would_fill_a_message_are_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    bases = chain(author(), 4)
    trail = trail_of(bases)
    monkeypatch.setattr(limits, "BASES_BETWEEN_BYTES", len(bases[0].envelope))
    assert trail.between("ben", bases[1]) == bases[:1]
    assert trail.between("ben", bases[2]) == []


def test_references_that_go_round_in_a_circle_lead_nowhere() -> None:
    ann = author()
    a, b = digest(b"a"), digest(b"b")
    first = ann.update(role="base", reference=b, model=a)
    second = ann.update(role="base", reference=a, model=b)
    trail = trail_of([first, second])
    assert trail.before(first) == []
    assert not trail.pays(a, ["ben"])


def test_what_is_held_is_not_got_again() -> None:
    bases = chain(author(), 5)
    assert trail_of(bases, {bases[2].id}).before(bases[4]) == [bases[3]]


def test_a_delta_pays_when_those_who_are_drawn_have_what_it_is_against() -> None:
    bases = chain(author(), 3)
    trail, last = trail_of(bases), bases[2].manifest.model
    peers = [f"peer {n}" for n in range(5)]
    assert not trail_of([]).pays(last, peers), "nobody knows who has it"
    for peer in peers:
        trail.stands(peer, last)
    assert trail.pays(last, peers)
    assert trail.pays(INITIAL, ["a stranger"]), "everybody has that"


def test_one_who_needs_the_whole_model_does_not_make_it_dear_for_ten() -> None:
    ann = author()
    trail, lone = trail_of([]), ann.update(role="base", reference=digest(b"gone"))
    trail.learn(lone)
    peers = [f"peer {n}" for n in range(10)]
    for peer in peers[1:]:
        trail.stands(peer, lone.manifest.model)
    assert trail.pays(lone.manifest.model, peers)
    assert not trail.pays(lone.manifest.model, peers[:2])


def test_no_more_is_remembered_than_ways_are_made_of() -> None:
    ann = author()
    bases = [ann.update(role="base", model=digest(bytes([n]))) for n in range(KNOWN + 1)]
    child = ann.update(role="base", reference=bases[0].manifest.model)
    assert trail_of(bases).before(child) == []
    assert trail_of(bases[:-1]).before(child) == bases[:1]


def test_heads_are_no_stations() -> None:
    ann = author()
    head = ann.update(role="head")
    assert trail_of([head]).before(ann.update(reference=head.manifest.model)) == []


def test_people_are_told_what_was_chosen_and_saved() -> None:
    update = author().update(role="base")
    assert coded(update) == {
        "codec": update.manifest.codec,
        "reference": "genesis",
        "bytes": update.manifest.body_size,
        "saved": 4 * update.manifest.parameters - update.manifest.body_size,
    }
