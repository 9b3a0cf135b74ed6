"""What judges is never trained on; what is trained on comes in a stream that can be resumed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.learning.batches import BatchStream
from gossipd.learning.split import hold_out


@given(rows=st.lists(st.integers(0, 5), max_size=120), seed=st.integers(0, 2**32))
def test_the_split_is_disjoint_complete_and_reproducible(rows: list[int], seed: int) -> None:
    labels = np.array(rows, dtype=np.int64)
    training, held = hold_out(len(labels), labels, seed)
    assert sorted([*training, *held]) == list(range(len(labels)))
    again = hold_out(len(labels), labels, seed)
    assert np.array_equal(training, again[0])
    assert np.array_equal(held, again[1])


def test_each_class_is_judged_and_none_is_emptied() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 10, 4, 1])
    training, held = hold_out(len(labels), labels, seed=0)
    assert np.bincount(labels[held], minlength=4).tolist() == [10, 3, 2, 0]
    assert np.bincount(labels[training], minlength=4).tolist() == [90, 7, 2, 1]


def test_a_regression_holds_out_a_tenth() -> None:
    training, held = hold_out(200, None, seed=0)
    assert (len(training), len(held)) == (180, 20)


def test_an_epoch_shows_every_example_once() -> None:
    rows = np.concatenate(list(BatchStream(50, 7, seed=1).take(0, 100)))
    assert len(rows) == 700
    for epoch in rows[:700].reshape(14, 50):
        assert sorted(epoch) == list(range(50))
    assert rows[:50].tolist() != rows[50:100].tolist()


@given(
    examples=st.integers(1, 40),
    batch=st.integers(1, 50),
    first=st.integers(0, 30),
    count=st.integers(0, 20),
)
def test_a_stream_can_be_entered_anywhere(
    examples: int, batch: int, first: int, count: int
) -> None:
    stream = BatchStream(examples, batch, seed=9)
    whole = [rows.tolist() for rows in stream.take(0, first + count)]
    assert [rows.tolist() for rows in stream.take(first, count)] == whole[first:]
    assert {len(rows) for rows in whole} <= {min(batch, examples)}


def test_a_hash_will_do_as_a_position() -> None:
    assert len(next(BatchStream(10, 4, seed=2**64).take(2**62, 1))) == 4


def test_a_stream_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no stream"):
        BatchStream(0, 4, seed=0)
