"""Similarity and score: examples by hand from the paper's text, and the same counted anew."""

from collections.abc import Callable, Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.protocol.ranking.catalogue import Catalogue
from gossipd.protocol.ranking.rules import PAPER, Rules
from gossipd.protocol.ranking.score import Ranking, explore
from support.properties import properties

I1, I2, I3, I4 = (bytes([n] * 8) for n in (1, 2, 3, 4))
Row = tuple[str, str, bytes]


def ranking(*rows: Row, rules: Rules = PAPER, catalogue: Catalogue | None = None) -> Ranking:
    made = Ranking("me", rules, catalogue or Catalogue())
    for node, query, item in rows:
        made.add(node, query, item, 0.0)
    return made


EXAMPLE: tuple[Row, ...] = (
    ("me", "cat sat", I1),
    ("me", "dog", I2),
    ("b", "cat sat", I1),
    ("b", "dog", I3),
    ("c", "fish", I2),
    ("d", "cat", I2),
)
"""With me: b shares cat, sat, dog and item 1 under one query, union 3: (3 + 1²)/3 = 4/3.
c shares nothing but item 2 under another query, union 2: 0. d shares cat, union 2: 1/2."""


def test_similarity_is_that_of_the_papers_text() -> None:
    made = ranking(*EXAMPLE)
    assert [made.similarity(node) for node in ("me", "b", "c", "d")] == [1, 1, 0, (1 / 2) / (4 / 3)]


def test_shared_items_count_squared_and_shared_terms_do_not() -> None:
    """b: three terms, no item: 3/6. c: no term beyond the shared queries' own three, three items:
    (3 + 3²)/3."""
    own = [("me", query, item) for query, item in zip("xyz", (I1, I2, I3), strict=True)]
    others = [("b", query, bytes([9, n] * 4)) for n, query in enumerate("xyz")]
    alike = [("c", query, item) for _, query, item in own]
    made = ranking(*own, *others, *alike)
    assert made.similarity("b") == pytest.approx((3 / 6) / ((3 + 9) / 3))


def test_who_only_asks_the_same_is_like_nobody_by_our_rules() -> None:
    """d shares cat alone; b an item too, and is therefore like me by what both ask."""
    made = ranking(*EXAMPLE, rules=Rules())
    assert [made.similarity(node) for node in ("b", "c", "d")] == [1, 0, 0]


def test_scores_are_those_of_the_papers_text() -> None:
    """F = 1: item 2 has me: 1 + 1; item 3 has b: 1 + 1; with a second click of c's both of its
    votes count 0 + 1 each."""
    made = ranking(*EXAMPLE, ("c", "dog", I3), ("c", "dog", I3))
    b = (made.similarity("b"), made.similarity("c"))
    scores = {one.item: one.score for one in made.rank("dog")}
    assert scores[I2] == 2
    assert scores[I3] == pytest.approx(b[0] + 1 + 2 * (b[1] + 1))


def test_an_unlike_node_may_count_for_nothing() -> None:
    made = ranking(*EXAMPLE, rules=Rules(unlike=0, one_vote=False, cap=None))
    (one,) = made.rank("fish")
    assert one.score == 0


def test_one_node_has_one_vote_for_an_item_under_a_query() -> None:
    flood = [("b", "dog", I3)] * 100
    assert ranking(*flood).rank("dog")[0].score == 100
    assert ranking(*flood, rules=Rules(unlike=1)).rank("dog")[0].score == 1


def test_a_node_that_votes_for_everything_counts_for_little_in_each() -> None:
    rows = [("b", str(n), I3) for n in range(200)]
    made = ranking(*rows, rules=Rules(unlike=1, cap=50))
    assert made.rank("7")[0].score == pytest.approx(50 / 200)
    assert made.explain("7", I3)[0].scale == 50 / 200


def test_a_vote_loses_half_its_worth_in_a_half_life() -> None:
    made = Ranking("me", Rules(unlike=1, half_life=10.0), Catalogue())
    made.add("b", "dog", I1, 0.0)
    made.add("c", "dog", I1, 20.0)
    made.add("d", "dog", I2, 20.0)
    assert [(one.item, one.score) for one in made.rank("dog")] == [(I1, 1.25), (I2, 1.0)]


def test_half_lives_do_not_overflow() -> None:
    made = Ranking("me", Rules(unlike=1, half_life=1.0), Catalogue())
    for number in range(8):
        made.add(f"n{number}", "dog", I1, number * 1000.0)
    assert made.rank("dog")[0].score == pytest.approx(1.0)


def test_an_items_own_metadata_come_before_clicks() -> None:
    catalogue = Catalogue()
    catalogue.put(I4, ["A Dog", "animals"])
    made = ranking(*EXAMPLE, catalogue=catalogue)
    assert [one.item for one in made.rank("dog")] == [I4, I2, I3]
    assert made.rank("dog")[0].matches


def test_a_query_that_nobody_asked_gets_metadata_else_what_is_popular() -> None:
    catalogue = Catalogue()
    catalogue.put(I4, ["horse"])
    made = ranking(*EXAMPLE, catalogue=catalogue)
    assert [one.item for one in made.rank("horse")] == [I4]
    assert [one.item for one in made.rank("zebra")] == [I2, I1, I3]


def test_ties_go_to_the_lowest_item() -> None:
    made = ranking(("b", "dog", I3), ("c", "dog", I1), ("d", "dog", I2))
    assert [one.item for one in made.rank("dog")] == [I1, I2, I3]


def test_the_order_of_words_and_their_case_do_not_matter() -> None:
    assert ranking(("b", "cat sat", I1)).rank("SAT cat  cat")[0].score == 1


def test_an_explanation_adds_up_to_the_score() -> None:
    made = ranking(*EXAMPLE, ("d", "dog", I3))
    parts = made.explain("dog", I3)
    assert [part.node for part in parts] == ["b", "d"]
    assert sum(part.score for part in parts) == pytest.approx(made.rank("dog")[0].score)
    assert (parts[0].terms, parts[0].items, parts[0].union) == (3, 1, 3)


def test_exploring_swaps_two_places_half_of_the_time() -> None:
    shown = ranking(*((f"n{n}", "dog", bytes([n] * 8)) for n in range(5))).rank("dog")
    seen = [explore(shown, Random(seed)) for seed in range(200)]
    moved = [sum(a != b for a, b in zip(shown, one, strict=True)) for one in seen]
    assert set(moved) == {0, 2}
    assert 70 < moved.count(2) < 130


# --- the same, counted anew ----------------------------------------------------------------------

NODES, QUERIES = ("me", "b", "c", "d"), ("x", "y", "x y", "z")
ROWS = st.tuples(st.sampled_from(NODES), st.sampled_from(QUERIES), st.sampled_from([I1, I2, I3]))


def naive_similarity(rows: Iterable[Row], node: str) -> float:
    rows = list(rows)

    def raw(other: str) -> float:
        def of(name: str, pick: Callable[[Row], object]) -> set[object]:
            return {pick(row) for row in rows if row[0] == name}

        def top(name: str) -> set[str]:
            counts: dict[str, int] = {}
            for row in rows:
                for term in row[1].split() if row[0] == name else ():
                    counts[term] = counts.get(term, 0) + 1
            return set(sorted(counts, key=lambda t: (-counts[t], t))[:10])

        common = of("me", lambda r: r[1:]) & of(other, lambda r: r[1:])
        shared = {row[2] for row in rows if row[1:] in common}
        union = of("me", lambda r: r[2]) | of(other, lambda r: r[2])
        return (len(top("me") & top(other)) + len(shared) ** 2) / len(union) if union else 0.0

    names = {row[0] for row in rows} - {"me"}
    largest = max(map(raw, names), default=0.0)
    return raw(node) / largest if largest and node in names else 0.0


@properties
@given(st.lists(ROWS, max_size=40), st.data())
def test_what_is_kept_up_to_date_is_what_would_be_counted_anew(
    rows: list[Row], data: st.DataObject
) -> None:
    made = ranking(*rows)
    gone = data.draw(st.integers(0, len(rows)))
    made.rank("x")  # so that removing has something to bring up to date
    for node, query, item in rows[:gone]:
        made.remove(node, query, item, 0.0)
    rest = rows[gone:]
    for node in NODES[1:]:
        assert made.similarity(node) == pytest.approx(naive_similarity(rest, node))
    for query in QUERIES:
        expected = {
            item: sum(
                1 + (1.0 if node == "me" else naive_similarity(rest, node))
                for node, asked, chosen in rest
                if (asked, chosen) == (query, item)
            )
            for item in (I1, I2, I3)
        }
        found = {one.item: one.score for one in made.rank(query) if query in {r[1] for r in rest}}
        assert found == pytest.approx({i: s for i, s in expected.items() if s})


@properties
@given(st.lists(ROWS, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], rng: Random) -> None:
    shuffled = rng.sample(rows, len(rows))
    one, other = ranking(*rows, rules=Rules(cap=3)), ranking(*shuffled, rules=Rules(cap=3))
    for query in {row[1] for row in rows}:
        for a, b in zip(one.rank(query), other.rank(query), strict=True):
            assert a.score == pytest.approx(b.score)


@properties
@given(st.lists(ROWS, max_size=60), st.integers(0, 4))
def test_the_first_few_are_those_of_the_whole_ranking(rows: list[Row], limit: int) -> None:
    catalogue = Catalogue()
    catalogue.put(I1, ["x"])
    catalogue.put(I4, ["x", "z"])
    for rules in (PAPER, Rules()):
        made = ranking(*rows, rules=rules, catalogue=catalogue)
        for query in QUERIES:
            assert made.rank(query, limit) == made.rank(query)[:limit]
