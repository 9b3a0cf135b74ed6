"""The tables' benchmark on one split: what three nodes learn together, the shipped way."""

import pytest

from benchmarks.tables import SOURCES, Job, Source, run


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_three_parts_of_a_table_come_close_to_all_rows(source: Source) -> None:
    row = run(Job(source, split=1, rounds=15))
    if source.measure == "accuracy":
        assert row.all_rows > 0.9
        assert row.together > row.all_rows - 0.05  # on 44 or 142 rows
    else:
        assert row.together < 1.05 * row.all_rows
        assert row.together < 65  # always the mean: 77
