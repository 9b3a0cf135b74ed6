"""`gossipd metrics`: what a collector gets."""

from pathlib import Path

from gossipd.errors import ExitCode
from support.command import gossipd
from support.operator import served


def test_they_are_shown_and_written_as_a_whole(tmp_path: Path) -> None:
    with served(tmp_path):
        shown = gossipd("metrics", "show", home=tmp_path).out
        assert "gossipd_training_steps_total 12340.0" in shown
        file = tmp_path / "out" / "gossipd.prom"
        file.parent.mkdir()
        for _ in range(2):
            assert gossipd("metrics", "write", file, home=tmp_path).code == 0
        assert "gossipd_round 12.0" in file.read_text()
        assert [path.name for path in file.parent.iterdir()] == ["gossipd.prom"]


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    with served(tmp_path):
        where = tmp_path / "nowhere" / "file"
        outcome = gossipd("metrics", "write", where, "--format", "json", home=tmp_path)
    assert (outcome.code, outcome.document["error"]["code"]) == (
        ExitCode.FAILURE,
        "cannot-write",
    )
