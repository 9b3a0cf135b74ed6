"""Shards: reproducible, disjoint, and nothing is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.learning.partition import Indices, Scheme, Shard, by_classes, dirichlet, iid

labels = st.lists(st.integers(0, 9), max_size=200).map(lambda rows: np.array(rows, dtype=np.int64))
nodes = st.integers(1, 20)
seeds = st.integers(0, 2**32)


def assert_deals_everything_once(parts: list[Indices], examples: int) -> None:
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == list(range(examples))


@given(examples=st.integers(0, 300), nodes=nodes, seed=seeds)
def test_iid_deals_every_example_once_and_evenly(examples: int, nodes: int, seed: int) -> None:
    parts = iid(examples, nodes, seed)
    assert_deals_everything_once(parts, examples)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(labels=labels, nodes=nodes, alpha=st.floats(0.01, 100), seed=seeds)
def test_dirichlet_deals_every_example_once(
    labels: Indices, nodes: int, alpha: float, seed: int
) -> None:
    assert_deals_everything_once(dirichlet(labels, nodes, alpha, seed), len(labels))


@given(labels=labels, nodes=nodes, per_node=st.integers(1, 12), seed=seeds)
def test_classes_gives_each_node_its_number_and_loses_none_that_can_be_held(
    labels: Indices, nodes: int, per_node: int, seed: int
) -> None:
    parts = by_classes(labels, nodes, per_node, seed)
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together)
    present = len(np.unique(labels))
    assert all(len(np.unique(labels[part])) <= per_node for part in parts)
    if nodes * per_node >= present:
        assert_deals_everything_once(parts, len(labels))


def test_holders_of_a_class_share_it_evenly() -> None:
    labels = np.repeat(np.arange(4), 100)
    parts = by_classes(labels, nodes=4, per_node=2, seed=3)
    for part in parts:
        held, counts = np.unique(labels[part], return_counts=True)
        assert len(held) == 2
        assert counts.tolist() == [50, 50]


def test_a_small_alpha_is_more_skewed_than_a_large_one() -> None:
    labels = np.repeat(np.arange(10), 200)

    def largest_share(alpha: float) -> float:
        parts = dirichlet(labels, 10, alpha, seed=1)
        return float(
            np.mean([np.bincount(labels[p], minlength=10).max() / max(len(p), 1) for p in parts])
        )

    assert largest_share(0.1) > 0.4 > 0.15 > largest_share(100)


@pytest.mark.parametrize("scheme", ["all", "iid", "dirichlet", "classes"])
def test_every_node_computes_the_same_partition(scheme: Scheme) -> None:
    labels = np.arange(100) % 10

    def picked(node: int, seed: int) -> bytes:
        return Shard(scheme, node, 4, seed=seed).pick(100, labels).tobytes()

    assert [picked(node, 5) for node in range(4)] == [picked(node, 5) for node in range(4)]
    assert scheme == "all" or picked(0, 5) != picked(0, 6)


@pytest.mark.parametrize("scheme", ["dirichlet", "classes"])
def test_a_regression_cannot_be_dealt_out_by_labels(scheme: Scheme) -> None:
    with pytest.raises(ValueError, match="class labels"):
        Shard(scheme, 0, 2).pick(10)
    assert len(Shard("iid", 0, 2).pick(10)) == 5


@pytest.mark.parametrize(
    "impossible",
    [
        {"nodes": 0},
        {"node": 3, "nodes": 3},
        {"node": -1},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"classes_per_node": 0},
        {"seed": -1},
    ],
)
def test_a_shard_that_cannot_be_is_refused(impossible: dict[str, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the words differ)
        Shard("iid", **impossible)  # type: ignore[arg-type]


# --- several parts, some classes -----------------------------------------------------------------


def test_a_node_takes_as_many_parts_as_it_is_given() -> None:
    dealt = [Shard("iid", node, 10, parts=parts) for node, parts in ((0, 1), (1, 4), (5, 5))]
    rows = [shard.pick(100) for shard in dealt]
    assert [len(row) for row in rows] == [10, 40, 50]
    assert sorted(np.concatenate(rows)) == list(range(100))


@pytest.mark.parametrize("scheme", ["all", "iid", "dirichlet", "classes"])
def test_a_node_with_no_part_holds_nothing(scheme: Scheme) -> None:
    assert len(Shard(scheme, 1, 3, parts=0).pick(30, np.arange(30) % 3)) == 0


@pytest.mark.parametrize("scheme", ["all", "iid", "dirichlet", "classes"])
def test_only_examples_of_the_chosen_classes_are_dealt_out(scheme: Scheme) -> None:
    labels = np.arange(60) % 6
    rows = np.concatenate(
        [Shard(scheme, n, 2, classes_per_node=1, labels=(1, 4)).pick(60, labels) for n in range(2)]
    )
    assert set(labels[rows]) == {1, 4}
    assert set(rows) == set(np.flatnonzero(np.isin(labels, (1, 4))))


def test_more_parts_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="3 parts from number 2 on"):
        Shard("iid", 2, 4, parts=3)


def test_choosing_classes_needs_labels() -> None:
    with pytest.raises(ValueError, match="class labels"):
        Shard("iid", labels=(1,)).pick(10)
