"""Everybody's newest record and step claim: a CRDT that is bounded and trusts no number."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gossipd.protocol.view import CLAIMS_BYTES, RECORDS_BYTES, Mark, SwarmView
from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_request, encode_message, pack
from gossipd.wire.identifiers import author_key, record_mark
from gossipd.wire.messages import (
    Offer,
    PeerRecord,
    SignedClaim,
    SignedRecord,
    StepClaim,
    View,
    ViewSync,
)
from support.properties import properties

PEERS = ("ann", "bob", "cem")


def record(
    peer: str,
    seq: int = 1,
    *,
    incarnation: int = 1,
    examples: int = 100,
    class_counts: tuple[int, ...] | None = None,
    size: int = 0,
) -> SignedRecord:
    fields = PeerRecord(
        incarnation=incarnation, seq=seq, examples=examples, class_counts=class_counts
    )
    name = f"record {peer} {incarnation} {seq}".encode()
    return SignedRecord(peer, fields, name.ljust(size, b"."))


def claim(peer: str, steps: int, *, incarnation: int = 1, size: int = 0) -> SignedClaim:
    name = f"claim {peer} {incarnation} {steps}".encode()
    return SignedClaim(
        peer, StepClaim(incarnation=incarnation, steps=steps), name.ljust(size, b".")
    )


def key(peer: str, incarnation: int = 1) -> bytes:
    return author_key(peer, incarnation)


def merged(*documents: SignedRecord | SignedClaim) -> SwarmView:
    view = SwarmView()
    add(view, *documents)
    return view


def add(view: SwarmView, *documents: SignedRecord | SignedClaim) -> None:
    for document in documents:
        if isinstance(document, SignedRecord):
            view.add_record(document)
        else:
            view.add_claim(document)


def contents(view: SwarmView) -> set[SignedRecord | SignedClaim]:
    return {*view.records(), *view.claims()}


# --- a CRDT --------------------------------------------------------------------------------------

documents = st.lists(
    st.builds(record, st.sampled_from(PEERS), st.integers(0, 4), incarnation=st.integers(1, 2))
    | st.builds(claim, st.sampled_from(PEERS), st.integers(0, 4), incarnation=st.integers(1, 2)),
    max_size=12,
)


@properties
@given(documents, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    heard: list[SignedRecord | SignedClaim], chance: Random
) -> None:
    shuffled = heard + chance.choices(heard, k=5) if heard else []
    chance.shuffle(shuffled)
    assert contents(merged(*heard)) == contents(merged(*shuffled))


@properties
@given(documents, documents, documents)
def test_merging_views_is_idempotent_commutative_and_associative(
    a: list[SignedRecord | SignedClaim],
    b: list[SignedRecord | SignedClaim],
    c: list[SignedRecord | SignedClaim],
) -> None:
    def join(*views: SwarmView) -> SwarmView:
        documents: list[SignedRecord | SignedClaim] = []
        for view in views:
            documents += [*view.records(), *view.claims()]
        return merged(*documents)

    x, y, z = merged(*a), merged(*b), merged(*c)
    assert contents(join(x, x)) == contents(x)
    assert contents(join(x, y)) == contents(join(y, x))
    assert contents(join(x, join(y, z))) == contents(join(join(x, y), z))


@properties
@given(documents, documents)
def test_two_views_that_ask_each_other_once_know_the_same(
    a: list[SignedRecord | SignedClaim], b: list[SignedRecord | SignedClaim]
) -> None:
    ours, theirs = merged(*a), merged(*b)
    by_envelope = {d.envelope: d for d in (*a, *b)}
    for asker, answerer in ((ours, theirs), (theirs, ours)):
        answer = answerer.answer(asker.question())
        add(asker, *(by_envelope[sealed] for sealed in (*answer.records, *answer.claims)))
    assert contents(ours) == contents(theirs)


def test_only_what_is_higher_is_news() -> None:
    view = SwarmView()
    assert view.add_record(record("ann", 2))
    assert not view.add_record(record("ann", 2))
    assert not view.add_record(record("ann", 1))
    assert view.add_record(record("ann", 3))
    assert view.add_claim(claim("ann", 5))
    assert not view.add_claim(claim("ann", 5))
    assert not view.add_claim(claim("ann", 4))
    assert view.steps_of(key("ann")) == 5


def test_a_wiped_disk_is_a_new_author_whose_old_steps_stay_proven() -> None:
    view = merged(record("ann", 9), claim("ann", 50), record("ann", 1, incarnation=2))
    add(view, claim("ann", 3, incarnation=2))
    newest = view.record_of("ann")
    assert newest is not None
    assert newest.record.incarnation == 2
    assert view.steps_of_peer("ann") == 3
    assert view.unproven({key("ann"): 50, key("ann", 2): 3}) == ()
    # One person with one data set does not count twice.
    assert view.examples_of((key("ann"), key("ann", 2))) == 100
    assert not view.add_record(record("ann", 99)), "an older incarnation never comes back"


def test_strangers_are_nobody() -> None:
    view = SwarmView()
    assert view.record_of("ann") is None
    assert view.steps_of_peer("ann") == 0
    assert view.examples_of((key("ann"),)) == 0
    assert view.class_counts_of((key("ann"),)) is None
    assert view.fresh_share({}, {key("ann"): 3}) == 0.0


# --- bounds --------------------------------------------------------------------------------------


def test_a_full_swarm_takes_no_new_authors_but_news_of_the_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "AUTHORS", 2)
    view = merged(record("ann"), record("bob"), claim("ann", 1), claim("bob", 1))
    assert view.is_full
    assert not view.add_record(record("cem"))
    assert not view.add_claim(claim("cem", 1))
    assert not view.has_room_for(key("cem"))
    assert view.has_room_for(key("ann"))
    assert view.add_record(record("ann", 2))
    assert view.add_claim(claim("ann", 2))
    assert view.add_record(record("bob", incarnation=2)), "a record replaces that peer's old one"


def test_a_full_swarm_is_the_limit_that_the_wire_knows() -> None:
    view = merged(*(claim(f"peer {i}", 1) for i in range(limits.AUTHORS + 5)))
    assert len(list(view.claims())) == limits.AUTHORS
    assert view.is_full


# --- what numbers are worth ----------------------------------------------------------------------


def test_claimed_examples_count_at_most_ten_times_the_median() -> None:
    view = merged(record("ann", examples=100), record("bob", examples=120), record("cem"))
    liar = record("dan", examples=10**9)
    view.add_record(liar)
    assert view.examples_of((key("dan"),)) == 10 * 100
    assert view.examples_of((key("ann"), key("dan"))) == 1100


def test_nodes_without_data_do_not_pull_the_median_down() -> None:
    view = merged(*(record(f"relay {i}", examples=0) for i in range(9)), record("ann"))
    assert view.examples_of((key("ann"),)) == 100
    assert view.examples_of((key("relay 1"),)) == 0


def test_the_cap_follows_the_swarm() -> None:
    view = merged(record("ann", examples=10), record("bob", examples=5000))
    assert view.examples_of((key("bob"),)) == 100
    view.add_record(record("ann", 2, examples=1000))
    assert view.examples_of((key("bob"),)) == 5000


def test_class_counts_add_up() -> None:
    view = merged(
        record("ann", class_counts=(60, 40)),
        record("bob", class_counts=(10, 90)),
    )
    assert view.class_counts_of((key("ann"), key("bob"))) == (70, 130)
    # Of whom there is no record there are no counts either; the others' still say something.
    assert view.class_counts_of((key("ann"), key("nobody"))) == (60, 40)


@pytest.mark.parametrize("secret", [None, ()])
def test_one_secret_makes_the_sum_unknown(secret: tuple[int, ...] | None) -> None:
    view = merged(record("ann", class_counts=(60, 40)), record("bob", class_counts=secret))
    assert view.class_counts_of((key("ann"), key("bob"))) is None
    assert view.class_counts_of((key("bob"), key("ann"))) is None


def test_class_counts_of_different_tasks_do_not_add() -> None:
    view = merged(record("ann", class_counts=(60, 40)), record("bob", class_counts=(1, 2, 3)))
    assert view.class_counts_of((key("ann"), key("bob"))) is None


def test_inflated_class_counts_are_scaled_down_to_the_cap() -> None:
    view = merged(
        record("ann", class_counts=(60, 40)),
        record("liar", examples=10**9, class_counts=(10**9, 0)),
    )
    assert view.class_counts_of((key("ann"), key("liar"))) == (60 + 1000, 40)


def test_fresh_share_is_what_is_new_by_examples() -> None:
    view = merged(record("ann", examples=300), record("bob", examples=100))
    a, b = key("ann"), key("bob")
    assert view.fresh_share({a: 10, b: 10}, {a: 10, b: 10}) == 0.0
    assert view.fresh_share({}, {a: 10, b: 10}) == 1.0
    assert view.fresh_share({a: 10}, {a: 10, b: 10}) == pytest.approx(0.25)
    assert view.fresh_share({a: 10, b: 5}, {a: 5, b: 10}) == pytest.approx(0.125)


# --- what is proven ------------------------------------------------------------------------------


def test_a_lineage_above_what_was_signed_is_unproven() -> None:
    view = merged(claim("ann", 10), claim("bob", 5))
    assert view.unproven({key("ann"): 10, key("bob"): 4}) == ()
    assert view.unproven({key("ann"): 11, key("bob"): 5}) == (key("ann"),)
    assert view.unproven({key("cem"): 1}) == (key("cem"),)


# --- asking and answering ------------------------------------------------------------------------


def test_an_answer_holds_what_the_asker_does_not_know() -> None:
    view = merged(record("ann", 3), record("bob", 3), claim("ann", 9), claim("bob", 9))
    asker = merged(record("ann", 3), record("bob", 2), claim("ann", 8), claim("bob", 9))
    answer = view.answer(asker.question())
    assert answer.records == (record("bob", 3).envelope,)
    assert answer.claims == (claim("ann", 9).envelope,)


def test_a_first_question_names_every_record_in_eight_bytes() -> None:
    asker = merged(record("ann", 3), record("bob", 2))
    question = asker.question()
    assert question.names == b"".join(
        record_mark(key(peer), seq).to_bytes(16, "big")[8:]
        for peer, seq in (("ann", 3), ("bob", 2))
    )
    assert merged(record("ann", 3), record("bob", 2)).answer(question).records == ()


def test_names_of_another_length_are_refused() -> None:
    """Seven bytes are no name; whoever says so knows nothing more of what is left out."""
    question = pack(merged(record("ann")).question())
    assert isinstance(decode_request(question), ViewSync)
    with pytest.raises(WireError, match="malformed"):
        decode_request(pack(ViewSync(names=bytes(8 * limits.AUTHORS + 1))))
    assert merged(record("ann")).answer(ViewSync(names=bytes(15))).records == (
        record("ann").envelope,
    )


def test_an_answer_is_bounded_by_the_authors_asked_for() -> None:
    view = merged(*(record(p) for p in PEERS), *(claim(p, 1) for p in PEERS))
    question = merged(claim("ann", 1)).question(only=(key("ann"), key("bob")))
    assert question.claims == {key("ann"): 1}
    answer = view.answer(question)
    assert set(answer.records) == {record("ann").envelope, record("bob").envelope}
    assert answer.claims == (claim("bob", 1).envelope,)


def test_answers_fit_a_message_and_the_rest_comes_with_the_next() -> None:
    """Swollen documents: whoever signs one may fill it with what nobody asked for."""
    records = [record(f"peer {i}", size=60_000) for i in range(12)]
    claims = [claim(f"peer {i}", 1, size=60_000) for i in range(20)]
    view, asker = merged(*records, *claims), SwarmView()
    documents: list[SignedRecord | SignedClaim] = [*records, *claims]
    by_envelope = {document.envelope: document for document in documents}
    exchanges = 0
    while contents(asker) != contents(view):
        answer = view.answer(asker.question())
        encode_message(answer)
        assert sum(map(len, answer.records)) <= RECORDS_BYTES
        assert sum(map(len, answer.claims)) <= CLAIMS_BYTES
        assert answer.records or answer.claims, "an answer that brings nothing never ends"
        add(asker, *(by_envelope[sealed] for sealed in (*answer.records, *answer.claims)))
        exchanges += 1
    assert exchanges == 4


def test_the_largest_document_still_travels() -> None:
    largest = limits.ENVELOPE_BYTES
    view = merged(record("ann", size=largest), claim("ann", 1, size=largest))
    answer = view.answer(SwarmView().question())
    assert len(answer.records) == len(answer.claims) == 1
    encode_message(answer)


def test_an_answer_holds_no_more_documents_than_a_message_may() -> None:
    view = merged(*(record(f"peer {i}") for i in range(limits.RECORDS_PER_MESSAGE + 10)))
    assert len(view.answer(SwarmView().question()).records) == limits.RECORDS_PER_MESSAGE


# --- differences ---------------------------------------------------------------------------------


def test_whoever_has_been_told_everything_is_told_what_changed_since() -> None:
    view, asker = merged(record("ann"), record("bob"), claim("ann", 5)), SwarmView()
    first = view.answer(asker.question())
    assert isinstance(first.upto, int)
    add(asker, record("ann"), record("bob"), claim("ann", 5))
    mark = Mark(theirs=first.upto, own=asker.revision)
    add(view, claim("ann", 6), record("cem"))
    question = asker.question(since=mark)
    assert question == ViewSync(since=first.upto), "what is known to both is not named again"
    answer = view.answer(question)
    assert answer.records == (record("cem").envelope,)
    assert answer.claims == (claim("ann", 6).envelope,)


def test_what_the_asker_has_heard_from_others_in_the_meantime_is_left_out() -> None:
    view, asker = merged(record("ann"), claim("ann", 5)), merged(record("ann"), claim("ann", 5))
    mark = Mark(theirs=view.revision, own=asker.revision)
    for one in (view, asker):
        add(one, claim("ann", 6), record("bob"))
    add(view, claim("bob", 1))
    question = asker.question(since=mark)
    assert question.claims == {key("ann"): 6}
    assert question.records == {key("bob"): 1}
    answer = view.answer(question)
    assert (answer.records, answer.claims) == ((), (claim("bob", 1).envelope,))


def test_what_did_not_fit_is_no_news_of_everything() -> None:
    view = merged(*(record(f"peer {i}") for i in range(limits.RECORDS_PER_MESSAGE + 1)))
    assert view.answer(SwarmView().question()).upto is UNSET
    assert view.answer(ViewSync(since=0)).upto is UNSET
    assert view.answer(ViewSync(since=1)).upto == view.revision


@properties
@given(documents, documents, documents, documents)
def test_two_views_that_ask_for_differences_know_the_same(
    a: list[SignedRecord | SignedClaim],
    b: list[SignedRecord | SignedClaim],
    more: list[SignedRecord | SignedClaim],
    still_more: list[SignedRecord | SignedClaim],
) -> None:
    """Whatever either learns between two questions."""
    ours, theirs = merged(*a), merged(*b)
    by_envelope = {d.envelope: d for d in (*a, *b, *more, *still_more)}
    marks: dict[int, Mark | None] = {id(ours): None, id(theirs): None}
    for news, others in (([], []), (more, still_more), (still_more, more)):
        add(ours, *news)
        add(theirs, *others)
        for asker, answerer in ((ours, theirs), (theirs, ours)):
            revision = asker.revision
            answer = answerer.answer(asker.question(since=marks[id(asker)]))
            add(asker, *(by_envelope[sealed] for sealed in (*answer.records, *answer.claims)))
            assert isinstance(answer.upto, int)
            marks[id(asker)] = Mark(theirs=answer.upto, own=revision)
        assert contents(ours) == contents(theirs)


def test_whoever_has_asked_is_told_no_claims_but_newer_ones() -> None:
    view = merged(claim("ann", 5), claim("bob", 5))
    view.answer(SwarmView().question(), "cem")
    lineage = {key("ann"): 6, key("bob"): 5}
    assert view.proofs_for("cem", lineage) == ()
    view.add_claim(claim("ann", 6))
    assert view.proofs_for("cem", lineage) == (claim("ann", 6).envelope,)
    assert view.proofs_for("cem", lineage) == ()


def test_records_that_both_know_are_not_named_but_summed() -> None:
    known = (record("ann", 3), record("bob"), record("cem", incarnation=2), claim("ann", 5))
    view, asker = merged(record("ann"), record("cem"), *known), merged(*reversed(known))
    question = asker.question(summed=True)
    assert question.records == {}
    assert question.claims == {key("ann"): 5}
    assert view.answer(question) == View(upto=view.revision)
    add(view, record("bob", 2), claim("bob", 1))
    answer = view.answer(question)
    assert answer.upto is UNSET, "they have to be named"
    assert (answer.records, answer.claims) == ((), (claim("bob", 1).envelope,))


def test_a_claim_of_no_steps_says_nothing() -> None:
    assert not SwarmView().add_claim(claim("ann", 0))


def test_each_claim_is_sent_once_per_peer_until_it_grows() -> None:
    view = merged(claim("ann", 5), claim("bob", 5))
    lineage = {key("ann"): 5, key("bob"): 5, key("unknown"): 1}
    assert set(view.proofs_for("cem", lineage)) == {c.envelope for c in view.claims()}
    assert view.proofs_for("cem", lineage) == ()
    assert len(view.proofs_for("dan", lineage)) == 2
    view.add_claim(claim("ann", 6))
    assert view.proofs_for("cem", {**lineage, key("ann"): 6}) == (claim("ann", 6).envelope,)


def test_what_a_peer_sent_it_need_not_be_told() -> None:
    view = merged(claim("ann", 5), claim("bob", 5))
    view.heard_from("cem", claim("ann", 5))
    lineage = {key("ann"): 5, key("bob"): 5}
    assert view.proofs_for("cem", lineage) == (claim("bob", 5).envelope,)


def test_after_a_disconnect_everything_is_told_again() -> None:
    view = merged(claim("ann", 5))
    assert view.proofs_for("cem", {key("ann"): 5})
    view.disconnected("cem")
    view.disconnected("a stranger")
    assert view.proofs_for("cem", {key("ann"): 5})


def test_proofs_leave_room_for_the_manifest_that_they_go_with() -> None:
    claims = [claim(f"peer {i}", 1, size=limits.ENVELOPE_BYTES) for i in range(5)]
    view = merged(*claims)
    lineage = {key(c.author): 1 for c in claims}
    sent: list[bytes] = []
    for _ in range(5):
        proofs = view.proofs_for("ann", lineage)
        encode_message(Offer(manifests=(bytes(limits.ENVELOPE_BYTES),), claims=proofs))
        sent += proofs
    assert sorted(sent) == sorted(c.envelope for c in claims)


def test_a_flood_of_claims_that_find_no_room_is_not_kept_per_peer_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "AUTHORS", 1)
    view = merged(claim("ann", 5))
    for i in range(50):
        flood = claim(f"nobody {i}", 1)
        assert not view.add_claim(flood)
        view.heard_from("mallory", flood)
    assert view.proofs_for("mallory", {key("nobody 1"): 1, key("ann"): 5}) == (
        claim("ann", 5).envelope,
    )
    assert view.answer(SwarmView().question()).claims == (claim("ann", 5).envelope,)
