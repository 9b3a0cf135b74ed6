"""The commands against a daemon that answers: what people read, what programs read."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipd.errors import ExitCode
from support.command import following, gossipd
from support.operator import OTHER, PEER, ServedOperator, served


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ServedOperator]:
    with served(tmp_path) as daemon:
        yield daemon


def test_status_fits_on_a_screen(daemon: ServedOperator, tmp_path: Path) -> None:
    outcome = gossipd("status", home=tmp_path)
    assert outcome.code == 0
    assert (
        outcome.out
        == f"""\
peer      {PEER}
daemon    gossipd 0.1.0 · pid 4242 · up 1 h 2 min · {tmp_path}
task      digits · rounds · swarm cdcdcdcdcdcdcdcd
network   up · 1 connected · 2 known · 1.23 MB in · 89 B out
training  on · 12,340 steps · 685 cycles · loss - · 1,437 examples
round     12 · trainer · sample me …XHTZx9Cv · aggregated by …XHTZx9Cv
serving   accuracy 0.9375 · loss 0.2500 · abababababababab
head      accuracy 0.9375 · loss 0.2500 · abababababababab
base      loss - · efefefefefefefef
updates   5 offered · 4 fetched · 3 merged · 0 adopted · 1 redundant · 2 refused
coding    auto · q2+deflate 12 q3+deflate 3 · 20 bodies sent, 60 kB · 325 kB saved
refused   2 bad-signature
waiting   body from {OTHER} for 1.5 s, 20.0 s left
address   /ip4/192.0.2.7/tcp/4001/p2p/{PEER}
join      gossipd start --peer /ip4/192.0.2.7/tcp/4001/p2p/{PEER}
"""
    )


def test_status_for_programs_is_the_operator_s_unchanged(
    daemon: ServedOperator, tmp_path: Path
) -> None:
    document = gossipd("status", "--format", "json", home=tmp_path).document
    expected = daemon.operator.status()
    expected["training"]["loss"] = None
    assert document == {"schema_version": 1, "status": "ok", "data": expected}


def test_status_is_watched_until_the_daemon_ends(daemon: ServedOperator, tmp_path: Path) -> None:
    with following("status", "--watch", "--format", "json", home=tmp_path) as process:
        assert process.stdout is not None
        assert '"status": "ok"' in process.stdout.readline()
        daemon.stop()
        assert process.wait(30) == ExitCode.NOT_RUNNING


def test_peers_are_listed_a_line_each(daemon: ServedOperator, tmp_path: Path) -> None:
    lines = gossipd("peers", "ls", home=tmp_path).out.splitlines()
    assert lines[0].split() == ["PEER", "STATE", "RTT", "STEPS", "EXAMPLES", "ADDRESS", "NOTE"]
    assert lines[1].startswith(f"{OTHER}  connected  12 ms")
    assert lines[1].endswith("/ip4/192.0.2.8/tcp/4001  refused 2")


def test_peers_are_added_and_removed(daemon: ServedOperator, tmp_path: Path) -> None:
    address = f"/ip4/192.0.2.9/tcp/1/p2p/{OTHER}"
    assert gossipd("peers", "add", address, home=tmp_path).out == f"{OTHER}\n"
    assert gossipd("peers", "rm", OTHER, home=tmp_path).out == f"{OTHER}\n"
    assert daemon.operator.asked == [("add_peer", address), ("remove_peer", OTHER)]


def test_the_daemon_s_error_is_the_command_s(daemon: ServedOperator, tmp_path: Path) -> None:
    outcome = gossipd("peers", "add", "/ip4/192.0.2.9", "--format", "json", home=tmp_path)
    assert outcome.code == ExitCode.FAILURE
    assert outcome.document == {
        "schema_version": 1,
        "status": "error",
        "error": {
            "code": "bad-address",
            "message": "/ip4/192.0.2.9 names no peer",
            "hint": "end it in /p2p/<peer id>",
        },
    }


def test_models_are_listed_and_exported(
    daemon: ServedOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = gossipd("models", "ls", home=tmp_path).out.splitlines()
    assert lines[1].split()[:7] == [
        "abababababababab",
        "serving",
        "0.2500",
        "-",
        "2",
        "1,234",
        "19.2",
    ]

    assert gossipd("models", "export", "serving", "m.safetensors", home=tmp_path).code == 0
    assert daemon.operator.asked == [("export", "serving", str(tmp_path / "m.safetensors"))]


def test_of_many_models_the_newest_are_shown(daemon: ServedOperator, tmp_path: Path) -> None:
    (serving,) = daemon.operator.models()
    older = [
        {**serving, "role": "other", "created": float(n), "hash": f"{n:064x}"} for n in range(9)
    ]
    daemon.operator.models = lambda: [*older, serving]  # type: ignore[method-assign]

    lines = gossipd("models", "ls", home=tmp_path).out.splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ["serving"] + ["other"] * 5
    assert lines[-1] == "... and 4 older ones (--all shows them)"
    assert len(gossipd("models", "ls", "--all", home=tmp_path).out.splitlines()) == 11
    assert len(gossipd("models", "ls", "--format", "json", home=tmp_path).document["data"]) == 10


def test_training_is_paused_and_resumed(daemon: ServedOperator, tmp_path: Path) -> None:
    assert gossipd("train", "pause", home=tmp_path).out == "training is paused\n"
    assert gossipd("train", "resume", "--format", "json", home=tmp_path).document["data"] == {
        "paused": False
    }


def test_the_serving_model_is_evaluated(daemon: ServedOperator, tmp_path: Path) -> None:
    assert gossipd("eval", "--format", "json", home=tmp_path).document["data"]["accuracy"] == 0.95


def test_health_is_an_exit_code_too(daemon: ServedOperator, tmp_path: Path) -> None:
    assert gossipd("health", home=tmp_path).out == "healthy\n"
    daemon.operator.warnings.append(
        {"code": "alone", "severity": "warning", "text": "no peer", "fix": "gossipd peers add"}
    )
    outcome = gossipd("health", home=tmp_path)
    assert outcome.code == ExitCode.DEGRADED
    assert outcome.out == "warning[alone]: no peer (gossipd peers add)\n"
    assert gossipd("health", "--format", "json", home=tmp_path).code == ExitCode.DEGRADED


def test_events_are_read_from_a_number_on(daemon: ServedOperator, tmp_path: Path) -> None:
    for kind in ("connected", "merged", "adopted"):
        daemon.append(kind, peer=OTHER)

    outcome = gossipd("events", "--since", "1", "--format", "json", home=tmp_path)
    assert [(row["seq"], row["kind"]) for row in outcome.lines] == [(2, "merged"), (3, "adopted")]
    text = gossipd("events", home=tmp_path).out.splitlines()
    assert text[0].endswith(f"     1 connected peer={OTHER}")


def test_events_are_followed_until_the_daemon_ends(daemon: ServedOperator, tmp_path: Path) -> None:
    with following("events", "-f", "--format", "json", home=tmp_path) as process:
        assert process.stdout is not None
        daemon.append("connected")
        assert '"kind": "connected"' in process.stdout.readline()
        daemon.append("merged")
        assert '"kind": "merged"' in process.stdout.readline()
        daemon.stop()
        assert "not-running" in process.stdout.read()
        assert process.wait(30) == ExitCode.NOT_RUNNING


def test_logs_are_shown_newest_last(daemon: ServedOperator, tmp_path: Path) -> None:
    logger = logging.Logger("gossipd.network")
    logger.addHandler(daemon.records)
    for number in range(5):
        logger.info("trained", extra={"fields": {"number": number}})
    logger.error("lost")

    lines = gossipd("logs", "-n", "2", home=tmp_path).out.splitlines()
    assert lines[0].endswith("info    network   trained number=4")
    assert lines[1].endswith("error   network   lost")
    (record,) = gossipd("logs", "--level", "error", "--format", "json", home=tmp_path).lines
    assert record["event"] == "lost"


def test_id_is_known_while_the_daemon_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert gossipd("id", "--format", "json", home=home).code == ExitCode.IDENTITY

    made = gossipd("init", "--format", "json", home=home).document["data"]
    asked = gossipd("id", "--format", "json", home=home).document["data"]

    assert asked["peer_id"] == made["peer_id"]


def test_id_comes_from_the_daemon_while_it_runs(daemon: ServedOperator, tmp_path: Path) -> None:
    assert gossipd("id", home=tmp_path).out.startswith(f"peer id     {PEER}\n")


def test_a_ranking_says_who_and_on_request_why(daemon: ServedOperator, tmp_path: Path) -> None:
    plain = gossipd("rank", "peers", home=tmp_path).out
    assert plain.startswith("for 'label/3':")
    assert OTHER in plain
    assert PEER not in plain
    why = gossipd("rank", "models", "--query", "digits", "--explain", home=tmp_path).out
    assert f"vote of {PEER}: 2 words, 1 choices of 4 in common" in why
    assert "1.00 x (0.50 + 0.1) x 0.50" in why
    answer = gossipd("rank", "peers", "--format", "json", home=tmp_path).document["data"]
    assert answer["items"][0]["parts"][0]["similarity"] == 0.5


def test_a_vote_says_that_it_stays_here(daemon: ServedOperator, tmp_path: Path) -> None:
    said = gossipd("rank", "vote", "abab", "--query", "digits", home=tmp_path).out
    assert said.strip() == "noted for 'digits', and kept on this device"


def test_models_are_searched_and_shown(daemon: ServedOperator, tmp_path: Path) -> None:
    head, line = gossipd("models", "search", "seals", home=tmp_path).out.splitlines()
    assert head.split()[:5] == ["MODEL", "BY", "SCORE", "VOTES", "ACCURACY"]
    assert line.split()[:5] == ["abababababababab", "words", "0.30", "1", "0.9375"]
    assert line.endswith("Seals, digits, CC-BY-4.0")
    why = gossipd("models", "search", "seals", "--explain", home=tmp_path).out
    assert f"vote of {PEER}: 2 words, 1 choices of 4 in common" in why
    none = gossipd("models", "search", "nonsense", home=tmp_path).out
    assert none == "no model that is known here has to do with 'nonsense'\n"

    lines = gossipd("models", "show", "abababab", home=tmp_path).out.splitlines()
    assert lines[0].split() == ["hash", "ab" * 32]
    assert {"title Seals", "licence CC-BY-4.0", "taught by 2, 1,234 steps"} <= {
        " ".join(line.split()) for line in lines
    }
    assert daemon.operator.asked[-1] == ("show_model", "abababab")


def test_a_chosen_model_answers_until_follow(daemon: ServedOperator, tmp_path: Path) -> None:
    assert "by choice" not in gossipd("status", home=tmp_path).out
    chosen = gossipd("models", "use", "abababab", home=tmp_path).out
    assert chosen.startswith(
        "predictions use abababababababab, until `gossipd models use --follow`"
    )
    assert chosen.endswith("noted for 'seals'\n")
    assert "abababababababab, by choice" in gossipd("status", home=tmp_path).out
    assert gossipd("models", "ls", home=tmp_path).out.splitlines()[1].endswith("used")

    followed = gossipd("models", "use", "--follow", home=tmp_path).out
    assert followed == "predictions use the serving model again, now abababababababab\n"
    assert daemon.operator.asked[-1] == ("use_model", "None")
    back = gossipd("models", "rollback", home=tmp_path).out
    assert back.startswith("predictions use cdcdcdcdcdcdcdcd instead of abababababababab, until")


def test_models_are_pinned_and_unpinned(daemon: ServedOperator, tmp_path: Path) -> None:
    said = gossipd("models", "pin", "serving", home=tmp_path).out
    assert said == "abababababababab is kept; noted for 'label/3'\n"
    said = gossipd("models", "unpin", "abababab", home=tmp_path).out
    assert said == "abababababababab may go when room is needed\n"
    assert daemon.operator.asked == [("pin_model", "serving"), ("unpin_model", "abababab")]


def test_a_pinned_model_is_listed_however_old_it_is(daemon: ServedOperator, tmp_path: Path) -> None:
    (serving,) = daemon.operator.models()
    older = [
        {**serving, "role": "other", "created": float(n), "hash": f"{n:064x}", "pinned": n == 0}
        for n in range(9)
    ]
    daemon.operator.models = lambda: [*older, serving]  # type: ignore[method-assign]
    lines = gossipd("models", "ls", home=tmp_path).out.splitlines()
    assert [line.endswith("pinned") for line in lines].count(True) == 1
    assert lines[-1] == "... and 3 older ones (--all shows them)"
