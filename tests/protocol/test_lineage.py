"""Version vectors: how two models stand to each other, and what remains when they merge."""

from hypothesis import given
from hypothesis import strategies as st

from gossipd.protocol.lineage import Relation, compare, is_news, join, more_in
from support.properties import properties

A, B, C = b"author-a", b"author-b", b"author-c"
SMALL, LARGE = b"\x01" * 32, b"\x02" * 32

lineages = st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 5))


def test_who_has_learnt_the_same_is_equal() -> None:
    assert compare({A: 1, B: 2}, {B: 2, A: 1}) is Relation.EQUAL


def test_an_author_with_no_steps_says_as_much_as_no_author() -> None:
    assert compare({A: 1}, {A: 1, B: 0}) is Relation.EQUAL
    assert compare({A: 1, B: 0}, {A: 1}) is Relation.EQUAL


def test_who_has_more_of_one_and_less_of_none_is_ahead() -> None:
    assert compare({A: 1}, {A: 1, B: 1}) is Relation.AHEAD
    assert compare({}, {A: 1}) is Relation.AHEAD
    assert compare({A: 1, B: 1}, {A: 1}) is Relation.BEHIND


def test_who_each_has_something_of_their_own_is_concurrent() -> None:
    assert compare({A: 2, B: 1}, {A: 1, B: 2}) is Relation.CONCURRENT


def test_more_in_names_the_authors_that_only_one_side_has_learnt_from_in_a_stable_order() -> None:
    side = {C: 3, B: 1, A: 2}
    assert more_in(side, {B: 1, A: 1}) == (A, C)
    assert more_in({A: 1}, side) == ()


@properties
@given(lineages, lineages)
def test_comparison_looks_the_same_from_both_sides(
    own: dict[bytes, int], other: dict[bytes, int]
) -> None:
    mirrored = {Relation.AHEAD: Relation.BEHIND, Relation.BEHIND: Relation.AHEAD}
    relation = compare(own, other)
    assert compare(other, own) is mirrored.get(relation, relation)


@properties
@given(lineages, lineages, lineages)
def test_join_is_idempotent_commutative_and_associative(
    a: dict[bytes, int], b: dict[bytes, int], c: dict[bytes, int]
) -> None:
    assert join(a, a) == join(a)
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c) == join(a, b, c)


@properties
@given(lineages, lineages)
def test_join_never_shrinks_and_adds_nothing_of_its_own(
    a: dict[bytes, int], b: dict[bytes, int]
) -> None:
    joined = join(a, b)
    for side in (a, b):
        assert compare(side, joined) in (Relation.EQUAL, Relation.AHEAD)
    assert all(steps in (a.get(author), b.get(author)) for author, steps in joined.items())


@properties
@given(lineages, lineages)
def test_of_two_different_models_exactly_one_side_has_news_unless_both_have(
    a: dict[bytes, int], b: dict[bytes, int]
) -> None:
    """Nobody waits for the other in vain, and between equals exactly one gives way."""
    forth, back = is_news(a, SMALL, b, LARGE), is_news(b, LARGE, a, SMALL)
    match compare(a, b):
        case Relation.CONCURRENT:
            assert forth
            assert back
        case Relation.AHEAD:
            assert (forth, back) == (True, False)
        case Relation.BEHIND:
            assert (forth, back) == (False, True)
        case Relation.EQUAL:
            assert (forth, back) == (False, bool(a))


def test_between_equal_lineages_the_smaller_hash_is_news() -> None:
    assert is_news({A: 1}, LARGE, {A: 1}, SMALL)
    assert not is_news({A: 1}, SMALL, {A: 1}, LARGE)
    assert not is_news({A: 1}, SMALL, {A: 1}, SMALL)


def test_a_model_that_has_learnt_nothing_is_no_news_to_a_newcomer() -> None:
    assert not is_news({}, None, {}, SMALL)
    assert not is_news({}, None, {A: 0}, SMALL)
    assert is_news({}, None, {A: 1}, SMALL)
