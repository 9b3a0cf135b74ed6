"""What two nodes leave out of what they tell each other, and that nothing is ever lost by it."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from gossipd.protocol.events import SignedDocument
from gossipd.runtime import lineages as shorthand
from gossipd.runtime.documents import Documents
from gossipd.simulation.world import Simulation
from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.framing import encode_message
from gossipd.wire.identifiers import author_key
from gossipd.wire.lineages import UNHELD
from gossipd.wire.messages import (
    AbridgedManifest,
    Aggregated,
    AnyMessage,
    Have,
    Hello,
    Manifest,
    Offer,
    Request,
    SignedClaim,
    Trained,
    Update,
)
from support.keys import key_from
from support.simulated import Mode, swarm
from support.wire_examples import BASE, DOCUMENTS, MESSAGES, MODEL, SWARM

_models = (number.to_bytes(32, "big") for number in itertools.count())


class Side:
    """One of two who talk to each other."""

    def __init__(self, name: str) -> None:
        _, self.id, signer = key_from(name)
        self.documents = Documents(SWARM, signer, 1, None)  # type: ignore[arg-type]
        self.me = author_key(self.id, 1)

    @property
    def lineages(self) -> shorthand.Lineages:
        return self.documents.lineages

    def update(self, lineage: dict[bytes, int], **fields: Any) -> Update:
        manifest = DOCUMENTS["manifest"]
        assert isinstance(manifest, Manifest)
        model = fields.pop("model", None) or next(_models)
        return self.documents.manifest(replace(manifest, lineage=lineage, model=model, **fields))

    def reads(self, sender: "Side", said: AnyMessage) -> tuple[AnyMessage, list[Update]]:
        """A message that has arrived from the other one."""
        message, documents = self.documents.open_request(encode_message(said))
        self.lineages.heard(sender.id, message, documents)
        return message, updates(documents)

    def tells(self, other: "Side", message: AnyMessage) -> AnyMessage:
        """A message as it goes to the other one, who reads it as it was meant."""
        said = self.lineages.abridged(other.id, message)
        read, carried = other.reads(self, said)
        assert [u.envelope for u in carried] == list(getattr(message, "manifests", ()))
        if isinstance(message, Have):
            assert isinstance(read, Have)
            assert (read.lineage, read.model) == (message.lineage, message.model)
        return said

    def answers(self, other: "Side", asked: Request, offer: Offer) -> Offer:
        said = self.lineages.answer(other.id, asked, offer)
        assert isinstance(said, Offer)
        _, documents = other.documents.open_response(encode_message(said))
        assert [u.envelope for u in updates(documents)] == list(offer.manifests)
        other.lineages.heard(self.id, offer, documents)
        return said


def updates(documents: Iterable[SignedDocument]) -> list[Update]:
    return [d for d in documents if isinstance(d, Update)]


def many(count: int, **more: int) -> dict[bytes, int]:
    """A lineage of so many authors, and of some by name."""
    named = {name.encode().ljust(8, b"."): steps for name, steps in more.items()}
    return {**{number.to_bytes(8, "big"): 10 + number for number in range(count)}, **named}


def offer(*manifests: Update, claims: Sequence[SignedClaim] = ()) -> Offer:
    sealed = tuple(update.envelope for update in manifests)
    return Offer(manifests=sealed, claims=tuple(claim.envelope for claim in claims))


def have(update: Update) -> Have:
    return Have(lineage=update.manifest.lineage, model=update.manifest.model)


def changes(said: AnyMessage) -> list[int | None]:
    """How many entries each manifest names; None for one that has its whole lineage."""
    assert isinstance(said, Offer | Aggregated | Trained)
    return [len(m.changes) if isinstance(m, AbridgedManifest) else None for m in said.manifests]


@pytest.fixture
def one() -> Side:
    return Side("one")


@pytest.fixture
def other() -> Side:
    return Side("other")


def greet(one: Side, other: Side) -> None:
    hello = MESSAGES["hello"]
    assert isinstance(hello, Hello)
    for sender, receiver in ((one, other), (other, one)):
        said = sender.lineages.abridged(receiver.id, replace(hello, swarm=SWARM))
        assert isinstance(said, Hello)
        receiver.lineages.heard(sender.id, said, ())


# --- what is left out ----------------------------------------------------------------------------


def test_who_knows_nothing_of_the_other_leaves_nothing_out(one: Side, other: Side) -> None:
    one.update(many(20))
    assert changes(one.tells(other, offer(one.update(many(21))))) == [None]


def test_what_has_passed_once_is_not_said_again(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(20))))
    assert changes(one.tells(other, offer(one.update(many(21))))) == [1]
    assert changes(other.tells(one, offer(other.update(many(21, new=5))))) == [1]


def test_what_was_shown_in_a_greeting_is_not_said_again(one: Side, other: Side) -> None:
    third = Side("third")
    passed = offer(third.update(many(20)))
    third.tells(one, passed)
    third.tells(other, passed)
    greet(one, other)
    assert changes(one.tells(other, offer(one.update(many(20, new=5))))) == [1]
    said = one.tells(other, have(one.update(many(22))))
    assert isinstance(said, Have)
    assert len(said.lineage) == 2


def test_an_answer_is_said_against_what_the_asker_stands_on(one: Side, other: Side) -> None:
    question = have(one.update(many(20, gone=3)))
    asked = one.lineages.abridged(other.id, question)
    read, _ = other.reads(one, asked)
    assert isinstance(read, Have)
    told = other.answers(one, read, offer(other.update(many(23)), other.update(many(23, e=1))))
    assert changes(told) == [4, 1]  # the second against the first


def test_a_lone_trainer_s_head_is_said_against_the_round_s_model(one: Side, other: Side) -> None:
    third = Side("third")
    base = third.update(many(20), model=MODEL)
    for member in (one, other):
        third.tells(member, offer(base))
    sample = third.documents.sample(4, (one.id, other.id), MODEL).envelope
    head = one.update(many(20, one=7), base=MODEL)
    trained = Trained(round=5, sample=sample, manifests=(head.envelope,))
    assert changes(one.tells(other, trained)) == [1]


def test_only_claims_that_a_held_lineage_has_proven_are_left_out(one: Side, other: Side) -> None:
    authors = [Side(f"author{number}") for number in range(4)]
    steps = {side.me: 10 for side in authors}
    proven = [side.documents.claim(10) for side in authors]
    first = one.tells(other, offer(one.update(steps), claims=proven))
    assert isinstance(first, Offer)
    assert len(first.claims) == 4
    newer = authors[0].documents.claim(20)
    stranger = Side("stranger")
    fresh = stranger.documents.claim(5)
    update = one.update({**steps, authors[0].me: 15, stranger.me: 5})
    said = one.tells(other, offer(update, claims=[newer, *proven[1:], fresh]))
    assert isinstance(said, Offer)
    assert said.claims == (newer.envelope, fresh.envelope)


def test_a_lineage_as_long_as_what_differs_is_said_whole(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(3))))
    assert changes(one.tells(other, offer(one.update({b"another1": 1, b"another2": 2})))) == [None]
    assert changes(one.tells(other, offer(one.update({})))) == [None]


# --- what is not held ----------------------------------------------------------------------------


def test_what_is_not_held_is_refused_and_comes_whole(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(20))))
    reborn = Side("other")
    message = offer(one.update(many(21)))
    with pytest.raises(WireError, match=UNHELD):
        reborn.reads(one, one.lineages.abridged(other.id, message))
    one.lineages.doubt(other.id)
    assert changes(one.tells(reborn, message)) == [None]
    assert changes(one.tells(reborn, offer(one.update(many(22))))) == [1]


def test_a_question_that_leaves_out_what_is_not_held_is_refused(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(20))))
    asked = one.lineages.abridged(other.id, have(one.update(many(21))))
    with pytest.raises(WireError, match=UNHELD):
        Side("other").reads(one, asked)


def test_who_does_not_say_what_it_holds_is_answered_whole(one: Side, other: Side) -> None:
    question = have(one.update(many(20)))
    read, _ = other.reads(one, question)
    assert isinstance(read, Have)
    assert read.held is UNSET
    assert changes(other.answers(one, read, offer(other.update(many(21))))) == [None]


def test_in_a_new_life_nothing_is_taken_for_granted(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(20))))
    reborn = Side("other")
    greet(one, reborn)
    assert changes(one.tells(reborn, offer(one.update(many(21))))) == [None]


def test_a_lineage_that_says_nothing_of_an_author_is_built_upon_by_nobody(
    one: Side, other: Side
) -> None:
    one.tells(other, offer(one.update(many(20, padded=0))))
    assert changes(one.tells(other, offer(one.update(many(20, padded=0))))) == [None]
    assert changes(one.tells(other, offer(one.update(many(20))))) == [None]


# --- bounds --------------------------------------------------------------------------------------


def test_only_the_latest_are_held_and_those_in_use(one: Side, other: Side) -> None:
    standing = one.update(many(20))
    one.tells(other, offer(standing))
    for number in range(2 * shorthand.HELD):
        one.update(many(20, passing=1 + number))
        asked = one.lineages.abridged(other.id, have(standing))
        assert isinstance(asked, Have)
        assert asked.lineage == {}
        assert len(asked.held or b"") <= limits.LINEAGES_SHOWN * limits.LINEAGE_HINT_BYTES
    assert len(one.lineages._held) == shorthand.HELD
    assert len(one.lineages._names) == 4 * shorthand.HELD


def test_few_long_lineages_are_held(one: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shorthand, "ENTRIES", 100)
    for number in range(5):
        one.update(many(39, passing=1 + number))
    assert len(one.lineages._held) == 2
    one.update(many(200))
    assert len(one.lineages._held) == 1
    assert one.lineages._entries == 200


def test_of_peers_beyond_all_connections_nothing_is_remembered(one: Side) -> None:
    update = one.update(many(20))
    for number in range(2 * limits.CONNECTIONS):
        one.lineages.abridged(f"peer{number}", offer(update))
    assert len(one.lineages._theirs) == limits.CONNECTIONS


def test_manifests_that_stand_for_more_than_a_message_are_not_all_made(
    one: Side, other: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.tells(other, offer(one.update(many(400))))
    said = one.lineages.abridged(other.id, offer(*(one.update(many(401)) for _ in range(4))))
    assert changes(said) == [1, 0, 0, 0]
    monkeypatch.setattr(limits, "MESSAGE_BYTES", 16_000)
    with pytest.raises(WireError, match="too-large"):
        other.reads(one, said)
    monkeypatch.undo()
    assert len(other.reads(one, said)[1]) == 4


def test_a_difference_that_names_too_many_authors_is_refused(one: Side, other: Side) -> None:
    one.tells(other, offer(one.update(many(limits.AUTHORS))))
    asked = one.lineages.abridged(other.id, have(one.update(many(limits.AUTHORS - 1))))
    assert isinstance(asked, Have)
    with pytest.raises(WireError, match="malformed"):
        other.reads(one, replace(asked, lineage={BASE[:8]: 1}))


# --- whole swarms --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["gossip", "rounds"])
def test_nodes_that_forget_at_once_learn_all_the_same(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every guess is wrong sooner or later: what was refused comes whole, and nobody is blamed."""
    monkeypatch.setattr(shorthand, "HELD", 2)
    with Simulation(4) as sim:
        swarm(sim, 8, mode=mode)
        nodes = list(sim.nodes.values())
        sim.run(30.0)
        refused = [node.live.node.peers.refused for node in nodes]
        assert sum(counted[UNHELD] for counted in refused) > 10
        assert all(p.violations == 0 for n in nodes for p in n.live.node.peers.table.values())
        assert not any(node.live.engine.errors for node in nodes)
        assert min(len(node.live.node.mode.lineage) for node in nodes) == len(nodes)


def test_what_a_trainer_says_does_not_grow_with_the_swarm() -> None:
    """Its own steps and claim, and whom it has heard of lately; not the lineage nor its claims."""
    few, many_ = _trained_bytes(8), _trained_bytes(24)
    assert many_ < 2 * few


def _trained_bytes(count: int) -> float:
    """What one TRAINED says of the swarm when all of it have trained."""
    with Simulation(5) as sim:
        swarm(sim, count, mode="rounds")
        nodes = [node.traffic for node in sim.nodes.values()]
        sim.run(15.0)
        assert min(len(n.live.node.mode.lineage) for n in sim.nodes.values()) > 0.8 * count
        before = sum(n.messages["trained"] for n in nodes), sum(n.swarm["trained"] for n in nodes)
        sim.run(8.0)
        sent = sum(n.messages["trained"] for n in nodes) - before[0]
        assert sent > 20
        return (sum(n.swarm["trained"] for n in nodes) - before[1]) / sent
