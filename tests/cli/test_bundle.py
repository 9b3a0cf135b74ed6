"""`gossipd bundle`: what people see of it, and what scripts."""

from pathlib import Path

from gossipd.errors import ExitCode
from support.command import gossipd
from support.operator import PEER, served


def test_a_bundle_is_written_and_read_by_the_daemon(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "north.bundle"
    with served(home) as daemon:
        written = gossipd("bundle", "export", file, "--all", "--format", "json", home=home)
        assert (written.code, written.document["data"]["updates"]) == (0, 2)
        gossipd("bundle", "export", file, "--force", home=home)
        read = gossipd("bundle", "import", file, "--format", "json", home=home)
        assert read.document["data"]["author"] == PEER
        assert read.document["data"]["refused"] == {"bad-chunk": 1}
        assert daemon.operator.asked == [
            ("export_bundle", str(file), "True", "False"),
            ("export_bundle", str(file), "False", "True"),
            ("import_bundle", str(file)),
        ]
        shown = gossipd("bundle", "import", file, home=home).out.splitlines()
    assert [line.split(maxsplit=1) for line in shown] == [
        ["taken", "7 documents, 2 of them updates"],
        ["known", "1 documents"],
        ["refused", "1 bad-chunk"],
    ]


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    outcome = gossipd("bundle", "import", "x", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.NOT_RUNNING
    assert outcome.document["error"]["code"] == "not-running"
