"""What is new since a revision, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from gossipd.protocol.changes import Changes
from support.properties import properties


@properties
@given(st.lists(st.integers(0, 9), max_size=400), st.integers(0, 400))
def test_what_changed_since_is_known_however_often_room_was_made(
    changed: list[int], moment: int
) -> None:
    changes: Changes[int] = Changes()
    for key in changed:
        changes.add(key)
    assert changes.revision == len(changed)
    assert set(changes.since(moment)) == set(changed[moment:])
    assert len(set(changes.since(0))) == len(changes.since(0))


def test_what_changes_for_ever_takes_no_room_for_ever() -> None:
    changes: Changes[int] = Changes()
    for number in range(10_000):
        changes.add(number % 5)
    assert len(changes) < 100
    assert changes.since(9_998) == [3, 4]
    assert changes.since(10_000) == []
    assert changes.since(10**9) == []
