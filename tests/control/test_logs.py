"""One pipe for all log lines: ours, the libraries', on a stream and in the ring."""

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipd.control.logs import VALUE_CHARACTERS, LogRing, configure, get_logger


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        if handler.name in ("gossipd-stream", "gossipd-ring"):
            root.removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)
    logging.getLogger("gossipd").setLevel(logging.NOTSET)


def test_a_line_names_time_level_room_event_and_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    get_logger("network").info("connected", peer="12D3", why="it was known", count=3)

    captured = capsys.readouterr()
    assert captured.out == ""
    time, _, rest = captured.err.partition(" ")
    assert time.endswith("Z")
    assert rest == 'info    network   connected peer=12D3 why="it was known" count=3\n'


def test_json_lines_carry_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="json")
    get_logger("network").warning("refused", reason="bad-signature", loss=float("nan"))

    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "room": "network",
        "event": "refused",
        "fields": {"reason": "bad-signature", "loss": "nan"},
    }


def test_the_libraries_come_through_the_same_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    ring = configure()
    logging.getLogger("zeroconf").warning("dial of %s failed", "x")
    logging.getLogger("zeroconf").info("chatter")
    warnings.warn("old way", DeprecationWarning, stacklevel=1)

    events = [(row["room"], row["event"].splitlines()[0]) for row in ring.since(0).rows]
    assert events[0] == ("zeroconf", "dial of x failed")
    assert events[1][0] == "py.warnings"
    assert len(events) == 2
    assert "dial of x failed" in capsys.readouterr().err


def test_a_room_that_knows_only_stdlib_logging_is_heard_too() -> None:
    ring = configure()
    logging.getLogger("gossipd.storage").info("saved", extra={"fields": {"size": 7}})

    (row,) = ring.since(0).rows
    assert (row["room"], row["event"], row["fields"]) == ("storage", "saved", {"size": 7})


def test_what_is_below_the_level_is_left_out() -> None:
    ring = configure(level="warning")
    get_logger("runtime").info("merged")
    get_logger("runtime").warning("late")
    assert [row["event"] for row in ring.since(0).rows] == ["late"]


def test_a_reader_filters_by_level() -> None:
    ring = configure(level="debug")
    log = get_logger("runtime")
    log.debug("a")
    log.info("b")
    log.error("c")

    assert [row["event"] for row in ring.since(0, level="info").rows] == ["b", "c"]
    assert ring.since(0, level="error").next == 3


def test_what_strangers_send_stays_on_one_line_and_short() -> None:
    ring = configure()
    get_logger("network").info("refused", agent="evil\n2026 error forged \x1b[2J", why="x" * 10**6)

    fields = ring.since(0).rows[0]["fields"]
    assert fields["agent"] == "evil\\n2026 error forged \\x1b[2J"
    assert len(fields["why"]) == VALUE_CHARACTERS


def test_secrets_are_not_written() -> None:
    ring = configure()
    get_logger("control").info("token", bearer_token="hunter2", private_key=b"hunter2")

    assert "hunter2" not in json.dumps(ring.since(0).rows)
    assert b"hunter2".hex() not in json.dumps(ring.since(0).rows)


def test_fields_may_have_any_name() -> None:
    ring = configure()
    get_logger("runtime").info("100% odd", name="n", message="m", args="a", level="l")
    (row,) = ring.since(0).rows
    assert row["event"] == "100% odd"
    assert row["fields"] == {"name": "n", "message": "m", "args": "a", "level": "l"}


def test_an_exception_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    ring = configure()
    try:
        raise ValueError("what\x1b[2J")
    except ValueError:
        get_logger("runtime").exception("failed")

    (row,) = ring.since(0).rows
    assert row["level"] == "error"
    assert row["exception"].endswith("ValueError: what\\x1b[2J")
    assert "    ValueError: what" in capsys.readouterr().err


def test_a_detached_daemon_writes_to_rotating_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossipd.control.logs.FILE_BYTES", 1000)
    configure(file=tmp_path / "logs" / "gossipd.log")
    for number in range(100):
        get_logger("runtime").info("trained", number=number)

    files = sorted(file.name for file in (tmp_path / "logs").iterdir())
    assert files == ["gossipd.log", "gossipd.log.1", "gossipd.log.2"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "logs").iterdir()} == {0o600}
    assert "number=99" in (tmp_path / "logs" / "gossipd.log").read_text()
    assert capsys.readouterr().err == ""


def test_configuring_again_replaces_what_was(capsys: pytest.CaptureFixture[str]) -> None:
    first = configure()
    second = configure()
    get_logger("runtime").info("once")

    assert first.since(0).rows == []
    assert len(second.since(0).rows) == 1
    assert capsys.readouterr().err.count("once") == 1


def test_several_threads_write_and_no_number_is_given_twice() -> None:
    ring = LogRing(capacity=10_000)
    logger = logging.Logger("gossipd.test")
    logger.addHandler(ring)

    def write() -> None:
        for _ in range(500):
            logger.info("x")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [row["seq"] for row in ring.since(0, 10_000).rows] == list(range(1, 2001))
