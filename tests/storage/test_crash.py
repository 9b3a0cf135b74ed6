"""Kill -9 at any instant: the last committed head is there, whole, and no number comes twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossipd.storage import atomic
from support.tree import ROOT


def crash(*arguments: object) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "support.crash", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, int] = json.loads(done.stdout)
    return report


def test_a_writer_killed_at_random_instants(tmp_path: Path) -> None:
    report = crash("kill", tmp_path / "home", 15, 1)
    assert report["rounds"] == 15
    assert report["committed"] >= 15


def test_a_writer_that_ends_at_each_call_that_changes_a_file(tmp_path: Path) -> None:
    assert crash("points", tmp_path / "home")["points"] >= 20


def test_content_is_on_the_disk_before_its_name_and_the_name_before_we_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that makes a file survive lost power; a kill alone would not show its lack."""
    calls: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        what = Path(f"/proc/self/fd/{descriptor}").resolve()
        calls.append("sync directory" if what == tmp_path else "sync content")
        sync(descriptor)

    def replace(source: Path, place: Path) -> None:
        calls.append("name")
        rename(source, place)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)

    atomic.replace(tmp_path / "file", b"content")

    assert calls == ["sync content", "name", "sync directory"]
    assert (tmp_path / "file").read_bytes() == b"content"

    calls.clear()
    atomic.replace(tmp_path / "other", b"what can be fetched again", synced=False)
    assert calls == ["name"]
