"""Two daemons never work in one state directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.lock import Lock

HOLDER = """
import sys
from pathlib import Path
from gossipd.storage.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "lock"


def test_the_second_is_told_who_is_there(path: Path) -> None:
    with Lock(path), pytest.raises(OperatorError) as refused, Lock(path):
        pass
    assert refused.value.code == "already-running"
    assert refused.value.exit_code == ExitCode.ALREADY_RUNNING
    assert f"pid {os.getpid()}" in refused.value.message


def test_after_the_first_has_gone_the_second_may(path: Path) -> None:
    for _ in range(2):
        with Lock(path):
            pass
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_holder_that_was_killed_holds_nothing(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OperatorError, match=f"pid {holder.pid}"), Lock(path):
            pass
        holder.kill()
        holder.wait(10)
        with Lock(path):
            pass


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(OperatorError) as refused, Lock(tmp_path / "home" / "lock"):
        pass
    assert (refused.value.code, refused.value.exit_code) == ("home-unusable", ExitCode.IDENTITY)
