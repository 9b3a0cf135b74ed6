"""The API over a real socket: every route, every way to be refused."""

import http.client
import json
import logging
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gossipd.control.api import BODY_BYTES
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from support.operator import OTHER, PEER, ServedOperator, served


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ServedOperator]:
    with served(tmp_path / "home") as daemon:
        yield daemon


@pytest.fixture
def client(daemon: ServedOperator) -> Client:
    return Client(daemon.path)


def raw(
    daemon: ServedOperator, method: str, path: str, body: bytes | None = None
) -> tuple[int, Any]:
    """One request without the client: (HTTP status, decoded answer)."""
    connection = http.client.HTTPConnection("gossipd", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(daemon.path))
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_an_answer_has_one_form(daemon: ServedOperator) -> None:
    status, answer = raw(daemon, "GET", "/v1/id")
    assert status == 200
    assert answer == {
        "schema_version": 1,
        "status": "ok",
        "data": {"peer_id": PEER, "public_key": "00" * 32},
    }


def test_the_socket_is_the_owner_s_alone(daemon: ServedOperator) -> None:
    assert stat.S_IMODE(daemon.path.stat().st_mode) == 0o600


def test_the_client_reads_what_the_operator_says(daemon: ServedOperator, client: Client) -> None:
    status = client.status()
    assert status["peer_id"] == PEER
    assert status["training"]["loss"] is None  # it was not a number, which JSON does not know
    assert [peer["peer_id"] for peer in client.peers()] == [OTHER]
    assert [model["role"] for model in client.models()] == ["serving"]
    assert client.rank("models")["items"][0]["author"] == OTHER
    assert client.show_model("serving")["title"] == "Seals"
    (found,) = client.search_models("seals on ice & snow", 7)["items"]
    assert found["licence"] == "CC-BY-4.0"
    assert ("search_models", "seals on ice & snow", "7") in daemon.operator.asked
    assert client.identity()["peer_id"] == PEER
    assert client.evaluate()["accuracy"] == 0.95


def test_the_client_does_what_the_operator_is_asked(
    daemon: ServedOperator, client: Client, tmp_path: Path
) -> None:
    address = f"/ip4/192.0.2.9/tcp/1/p2p/{OTHER}"
    assert client.add_peer(address) == {"peer_id": OTHER}
    assert client.restrict([OTHER]) == {"allow": [OTHER]}
    assert client.remove_peer(OTHER) == {"peer_id": OTHER}
    assert client.pause() == {"paused": True}
    assert client.status()["training"]["paused"] is True
    assert client.resume() == {"paused": False}
    assert client.export("serving", tmp_path / "m.safetensors")["size"] == 19_240
    assert daemon.operator.asked == [
        ("add_peer", address),
        ("restrict", OTHER),
        ("remove_peer", OTHER),
        ("export", "serving", str(tmp_path / "m.safetensors")),
    ]


def test_a_path_is_exported_as_the_caller_means_it(
    daemon: ServedOperator, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client.export("head", Path("m.safetensors"))
    assert daemon.operator.asked == [("export", "head", str(tmp_path / "m.safetensors"))]


def test_what_the_operator_refuses_arrives_as_it_was_raised(client: Client) -> None:
    with pytest.raises(OperatorError) as refusal:
        client.add_peer("/ip4/192.0.2.9/tcp/1")
    error = refusal.value
    assert (error.code, error.hint, error.exit_code) == (
        "bad-address",
        "end it in /p2p/<peer id>",
        ExitCode.FAILURE,
    )


@pytest.mark.parametrize(
    ("exit_code", "http_status"),
    [
        (ExitCode.FAILURE, 422),
        (ExitCode.USAGE, 400),
        (ExitCode.ALREADY_RUNNING, 409),
        (ExitCode.TIMEOUT, 504),
        (ExitCode.TEMPORARY, 503),
    ],
)
def test_the_http_status_matches_the_exit_code(
    daemon: ServedOperator, exit_code: ExitCode, http_status: int
) -> None:
    daemon.operator.failure = OperatorError("code", "message", "hint", exit_code)
    status, answer = raw(daemon, "GET", "/v1/status")
    assert status == http_status
    assert answer == {
        "schema_version": 1,
        "status": "error",
        "error": {
            "code": "code",
            "message": "message",
            "hint": "hint",
            "exit_code": int(exit_code),
        },
    }


def test_a_fault_of_ours_is_answered_counted_and_logged(
    daemon: ServedOperator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.operator.failure = KeyError("oops")
    status, answer = raw(daemon, "GET", "/v1/status")

    assert status == 500
    assert answer["error"]["code"] == "internal"
    assert "request-failed" in caplog.text
    assert "KeyError: 'oops'" in caplog.text
    daemon.operator.failure = None
    assert "gossipd_api_unexpected_errors_total 1.0" in client.metrics()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"address": 3}', b'{"address": ""}', b'{"address":"/a","x":1}'],
)
def test_a_body_that_does_not_fit_is_refused(daemon: ServedOperator, body: bytes) -> None:
    status, answer = raw(daemon, "POST", "/v1/peers", body)
    assert (status, answer["error"]["code"]) == (400, "bad-request")
    assert daemon.operator.asked == []


def test_a_relative_path_is_refused(daemon: ServedOperator) -> None:
    status, answer = raw(daemon, "POST", "/v1/models/export", b'{"model":"head","path":"m"}')
    assert (status, answer["error"]["code"]) == (400, "bad-request")


def test_a_long_body_is_refused_before_it_is_read(daemon: ServedOperator) -> None:
    """The client sends only a little of what it announced, and still gets its answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(daemon.path))
        connection.sendall(
            b"POST /v1/peers HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
            + b" " * (BODY_BYTES + 1)
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"body-too-large" in answer


def test_endless_headers_are_refused(daemon: ServedOperator) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(daemon.path))
        connection.sendall(b"GET /v1/status HTTP/1.1\r\nX: " + b"x" * 200_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "query", ["since=-1", "since=x", "wait=3600", "wait=nan", "limit=0", "limit=1000000", "what=1"]
)
def test_a_query_that_does_not_fit_is_refused(daemon: ServedOperator, query: str) -> None:
    status, answer = raw(daemon, "GET", f"/events?{query}")
    assert (status, answer["error"]["code"]) == (400, "bad-request")


def test_unknown_routes_and_methods_have_the_one_form_too(daemon: ServedOperator) -> None:
    status, answer = raw(daemon, "GET", "/v2/status")
    assert (status, answer["error"]["code"]) == (404, "no-such-route")
    status, answer = raw(daemon, "DELETE", "/v1/status")
    assert (status, answer["error"]["code"]) == (405, "no-such-route")


def test_a_long_poll_ends_with_the_event(daemon: ServedOperator, client: Client) -> None:
    answers: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: answers.append(client.events(wait=30)))
    reader.start()
    daemon.append("connected", peer=OTHER)
    reader.join(10)

    (answer,) = answers
    (event,) = answer["events"]
    assert (event["seq"], event["kind"], event["peer"]) == (1, "connected", OTHER)
    assert answer["next"] == 1


def test_a_long_poll_without_events_ends_at_its_deadline(client: Client) -> None:
    started = time.monotonic()
    answer = client.events(wait=0.2)
    assert answer["events"] == []
    assert 0.2 <= time.monotonic() - started < 5


def test_stopping_does_not_wait_for_long_polls(tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []
    with served(tmp_path / "home") as daemon:
        client = Client(daemon.path)
        reader = threading.Thread(target=lambda: answers.append(client.events(wait=50)))
        reader.start()
        assert daemon.events.awaited.wait(10)
        started = time.monotonic()
        daemon.stop()
        reader.join(10)
    assert time.monotonic() - started < 2
    assert not (tmp_path / "home" / "api.sock").exists()


def test_stopping_waits_for_nobody_beyond_its_deadline(tmp_path: Path) -> None:
    with served(tmp_path / "home") as daemon:
        daemon.operator.may_evaluate.clear()

        def evaluate() -> None:
            with pytest.raises(OperatorError):
                Client(daemon.path).evaluate()

        caller = threading.Thread(target=evaluate)
        caller.start()
        Client(daemon.path).status()
        started = time.monotonic()
        daemon.stop()
        assert time.monotonic() - started < 8
        caller.join(10)
        assert not caller.is_alive()


def test_a_cursor_of_an_earlier_run_begins_anew(daemon: ServedOperator, client: Client) -> None:
    daemon.append("started")
    answer = client.events(since=900, run="of-before", wait=10)
    assert [event["kind"] for event in answer["events"]] == ["started"]
    assert client.events(since=1, run=answer["run"])["events"] == []


def test_logs_are_read_from_the_ring(daemon: ServedOperator, client: Client) -> None:
    logger = logging.Logger("gossipd.network")
    logger.addHandler(daemon.records)
    logger.info("connected")
    logger.warning("refused")

    assert [row["event"] for row in client.logs()["records"]] == ["connected", "refused"]
    assert [row["event"] for row in client.logs(level="warning")["records"]] == ["refused"]
    assert [row["seq"] for row in client.logs(limit=1, newest=True)["records"]] == [2]


def test_health_is_good_until_there_is_a_warning(daemon: ServedOperator, client: Client) -> None:
    assert client.health() == {"healthy": True, "health": []}

    alone = {"code": "alone", "severity": "warning", "text": "no peer", "fix": "add one"}
    daemon.operator.warnings.append(alone)

    assert raw(daemon, "GET", "/health")[0] == 503
    assert client.health() == {"healthy": False, "health": [alone]}


def test_metrics_are_the_status_in_numbers(client: Client) -> None:
    text = client.metrics()
    for line in (
        "gossipd_training_steps_total 12340.0",
        'gossipd_peers{state="connected"} 1.0',
        'gossipd_peers{state="dialing"} 0.0',
        'gossipd_network_bytes_total{direction="in"} 1.234567e+06',
        'gossipd_model_held_out_accuracy{role="head"} 0.9375',
        'gossipd_updates_total{outcome="merged"} 3.0',
        'gossipd_refused_total{reason="bad-signature"} 2.0',
        "gossipd_waits 1.0",
    ):
        assert line in text.splitlines()
    assert 'held_out_loss{role="base"}' not in text  # not measured yet: left out, not zero
    assert "process_resident_memory_bytes" in text


def test_hostile_names_cannot_forge_metrics(daemon: ServedOperator, client: Client) -> None:
    daemon.operator.warnings.append(
        {"code": 'x"} 1\nforged 1', "severity": "info", "text": "", "fix": ""}
    )
    assert "forged 1" not in client.metrics().splitlines()


def test_many_clients_at_once_are_all_answered(daemon: ServedOperator) -> None:
    answers: list[str] = []
    clients = [
        threading.Thread(target=lambda: answers.append(Client(daemon.path).status()["peer_id"]))
        for _ in range(20)
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(20)
    assert answers == [PEER] * 20


def test_what_the_process_holds_is_told(client: Client) -> None:
    inside = client.inside()
    assert inside["tables"] == {"Roster.table": 7}
    assert {"threads", "tasks", "network_tasks", "objects", "types"} <= inside.keys()
