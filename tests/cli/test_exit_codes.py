"""How commands end without a daemon: exit codes, errors for people, errors for programs."""

from pathlib import Path

import pytest

from gossipd.errors import ExitCode
from support.command import following, gossipd, gossipd_process

ASKING_THE_DAEMON = [
    ("status",),
    ("health",),
    ("eval",),
    ("peers", "ls"),
    ("peers", "add", "/ip4/192.0.2.9/tcp/1/p2p/x"),
    ("peers", "rm", "x"),
    ("models", "ls"),
    ("models", "show", "serving"),
    ("models", "search", "seals"),
    ("models", "use", "--follow"),
    ("models", "rollback"),
    ("models", "pin", "serving"),
    ("models", "unpin", "serving"),
    ("train", "pause"),
    ("train", "resume"),
    ("logs",),
    ("events",),
    ("stop",),
]


@pytest.mark.parametrize("command", ASKING_THE_DAEMON, ids=" ".join)
def test_without_a_daemon_a_command_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    outcome = gossipd(*command, "--format", "json", home=tmp_path)

    assert outcome.code == ExitCode.NOT_RUNNING
    error = outcome.document["error"]
    assert error["code"] == "not-running"
    assert "gossipd start" in error["hint"]
    assert outcome.err == ""


def test_people_get_an_error_and_a_hint_on_stderr(tmp_path: Path) -> None:
    outcome = gossipd_process("status", home=tmp_path)

    assert outcome.code == ExitCode.NOT_RUNNING
    assert outcome.out == ""
    first, second = outcome.err.splitlines()
    assert first == f"error[not-running]: no daemon answers on {tmp_path}/api.sock"
    assert second.startswith("hint: `gossipd start`")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("statsu", "No such command 'statsu'. Did you mean 'status'", "`gossipd --help`"),
        ("peers add", "Missing argument 'ADDRESS'.", "`gossipd peers add --help`"),
        ("status --nonsense", "No such option: --nonsense", "`gossipd status --help`"),
        ("start --port x", "Invalid value for '--port'", "`gossipd start --help`"),
        ("start --port 70000", "Invalid value for '--port'", "`gossipd start --help`"),
        ("start --set fanout", "'fanout' is not KEY=VALUE", "`gossipd start --help`"),
        ("init --data /no/such/directory", "Invalid value for '--data'", "`gossipd init --help`"),
        ("models use", "name one model, or --follow", "`gossipd models search`"),
        ("models use abababab --follow", "a model and --follow", "`gossipd models search`"),
        ("demo --averaging median", "'median' is not one of", "`gossipd demo --help`"),
    ],
)
def test_a_misused_command_says_what_is_wrong(
    line: str, message: str, hint: str, tmp_path: Path
) -> None:
    people = gossipd(*line.split(), home=tmp_path)
    programs = gossipd(*line.split(), "--format=json", home=tmp_path)

    assert people.code == programs.code == ExitCode.USAGE
    assert people.out == ""
    assert people.err.startswith("error[usage]: ")
    assert message in people.err
    assert hint in people.err
    error = programs.document["error"]
    assert error["code"] == "usage"
    assert message in error["message"]


def test_an_unknown_format_is_a_misuse(tmp_path: Path) -> None:
    outcome = gossipd("status", "--format", "xml", home=tmp_path)
    assert outcome.code == ExitCode.USAGE
    assert "'xml' is not one of 'text', 'json'" in outcome.err


def test_what_follows_the_double_dash_is_no_option(tmp_path: Path) -> None:
    outcome = gossipd("peers", "rm", "--", "--format=json", home=tmp_path)
    assert outcome.out == ""
    assert outcome.err.startswith("error[not-running]")


def test_bad_settings_have_their_own_code(tmp_path: Path) -> None:
    outcome = gossipd("start", "--set", "gossip.fanuot=3", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.CONFIG
    assert outcome.document["error"]["code"] == "bad-config"
    assert "gossip.fanout" in outcome.document["error"]["hint"]


def test_a_reader_who_has_enough_is_no_error(tmp_path: Path) -> None:
    """As in `gossipd --help | head -1`: no traceback."""
    with following("start", "--help", home=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(30)
