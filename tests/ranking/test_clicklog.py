"""The click log: what is taken, what is not, what goes, and that a pull brings the rest."""

from hypothesis import given
from hypothesis import strategies as st

from gossipd.protocol.ranking.clicklog import ClickLog, Held
from gossipd.wire.clicks import Click, ClickSheet, SignedSheet
from gossipd.wire.envelope import open_sheet, seal
from gossipd.wire.messages import ClickPull, ClickSheets
from support.keys import key_from
from support.properties import properties

SWARM = bytes(32)
ITEM = bytes(8)


def sheet(
    author: str, seq: int, incarnation: int = 1, rows: int = 1, query: str = "q"
) -> SignedSheet:
    clicks = tuple(Click(query, ITEM) for _ in range(rows))
    made = ClickSheet(incarnation=incarnation, seq=seq, clicks=clicks)
    return open_sheet(seal(made, SWARM, key_from(author)[2]), SWARM)


A, B = key_from("a")[1], key_from("b")[1]


def numbers(log: ClickLog) -> list[tuple[str, int]]:
    sheets = [open_sheet(one, SWARM) for one in log.answer(ClickPull()).sheets]
    return [(one.author, one.sheet.seq) for one in sheets]


def pull(to: ClickLog, source: ClickLog, name: str = "source") -> int:
    """Until nothing more comes; the sheets that came."""
    came = 0
    while True:
        answer = source.answer(to.question(name), room=600)
        for sealed in answer.sheets:
            to.take(name, open_sheet(sealed, SWARM), 0.0)
            came += 1
        assert to.heard(name, answer)
        if not answer.more:
            return came


def test_only_the_next_sheet_of_an_author_is_taken() -> None:
    log = ClickLog()
    verdicts = [log.take("c", sheet("a", seq), 0.0)[0] for seq in (3, 4, 4, 6, 3, 5)]
    assert verdicts == ["new", "new", "click-replayed", "click-gap", "click-replayed", "new"]
    assert numbers(log) == [(A, 3), (A, 4), (A, 5)]


def test_the_author_itself_may_have_dropped_what_came_before() -> None:
    log = ClickLog()
    log.take("c", sheet("a", 1), 0.0)
    assert log.take(A, sheet("a", 9), 0.0)[0] == "new"


def test_a_wiped_disk_begins_at_one_again_and_voids_what_was() -> None:
    log = ClickLog()
    log.take(A, sheet("a", 1), 0.0)
    log.take(A, sheet("a", 2), 0.0)
    verdict, gone = log.take(A, sheet("a", 1, incarnation=2), 0.0)
    assert (verdict, len(gone)) == ("new", 2)
    assert log.take(A, sheet("a", 3), 0.0)[0] == "click-void"
    assert numbers(log) == [(A, 1)]


def test_two_sheets_of_one_number_are_a_fork() -> None:
    log = ClickLog()
    first, second = sheet("a", 1), sheet("a", 1, query="another")
    log.take(A, first, 0.0)
    assert log.take("c", second, 0.0)[0] == "click-fork"
    assert log.fork_of(second) == first


def test_the_oldest_go_first_and_an_authors_own_before_those_of_others() -> None:
    log = ClickLog(rows=10, per_author=6)
    log.take("c", sheet("b", 1, rows=3), 0.0)
    gone: list[Held] = []
    for seq in range(1, 9):
        gone += log.take("c", sheet("a", seq), 0.0)[1]
    assert [held.signed.sheet.seq for held in gone] == [1, 2]
    assert numbers(log) == [(B, 1)] + [(A, seq) for seq in range(3, 9)]
    log.take("c", sheet("c", 1, rows=2), 0.0)
    assert numbers(log)[0] == (A, 3)
    assert log.rows == 8


def test_a_pull_brings_what_is_not_here_and_nothing_twice() -> None:
    source, to, other = ClickLog(), ClickLog(), ClickLog()
    for seq in range(1, 20):
        source.take("c", sheet("a", seq), 0.0)
    source.take("c", sheet("b", 1), 0.0)
    assert pull(to, source) == 20
    assert pull(to, source) == 0
    source.take("c", sheet("b", 2), 0.0)
    assert to.question("source").marks == {}
    assert pull(to, source) == 1
    # What another one has brought is named, and so not sent.
    assert pull(other, to, "first") == 21
    assert len(other.question("source").marks) == 2
    assert pull(other, source) == 0


def test_who_began_to_count_anew_tells_everything() -> None:
    source, to = ClickLog(), ClickLog()
    source.take("c", sheet("a", 1), 0.0)
    assert len(source.answer(ClickPull(since=99)).sheets) == 1
    to.heard("source", ClickSheets(upto=99))
    to.parted("source")
    assert to.question("source") == ClickPull()


def test_an_answer_that_does_not_get_on_makes_no_sense() -> None:
    log = ClickLog()
    assert log.heard("p", ClickSheets(upto=5))
    assert log.heard("p", ClickSheets(upto=5))
    assert not log.heard("p", ClickSheets(upto=4))
    assert not log.heard("p", ClickSheets(upto=5, more=True))
    assert not log.heard("p", ClickSheets(upto=5, sheets=(b"x",)))


@properties
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_whoever_pulls_from_whom_in_the_end_all_hold_the_same(steps: list[tuple[int, int]]) -> None:
    names = ("a", "b", "c", "d")
    ids = [key_from(name)[1] for name in names]
    logs = [ClickLog() for _ in names]
    said = [0] * len(names)
    for one, other in steps:
        if one == other:
            said[one] += 1
            logs[one].take(ids[one], sheet(names[one], said[one]), 0.0)
        else:
            pull(logs[one], logs[other], ids[other])
    for _ in range(2):
        for one in range(len(logs)):
            for other in range(len(logs)):
                if one != other:
                    pull(logs[one], logs[other], ids[other])
    everything = {(ids[n], seq) for n in range(4) for seq in range(1, said[n] + 1)}
    for log in logs:
        assert set(numbers_all(log)) == everything
        for author in ids:
            mine = [seq for name, seq in numbers_all(log) if name == author]
            assert mine == sorted(mine)


def numbers_all(log: ClickLog) -> list[tuple[str, int]]:
    fresh = ClickLog()
    pull(fresh, log)
    return numbers(fresh)
