"""What the operator got wrong is answered with a code, the reason and the fix."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.own_data import idx_images


def gossipd(*arguments: str, home: Path, **environ: str) -> tuple[int, dict[str, Any]]:
    """(exit code, the one JSON document on stdout) of a command."""
    run = subprocess.run(
        [sys.executable, "-m", "gossipd_cli", *arguments, "--format", "json"],
        capture_output=True,
        timeout=60,
        env={**os.environ, "GOSSIPD_HOME": str(home), **environ},
        check=False,
    )
    return run.returncode, json.loads(run.stdout)


def error_of(document: dict[str, Any]) -> dict[str, str]:
    assert document["status"] == "error"
    error: dict[str, str] = document["error"]
    assert error["hint"]
    return error


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_an_unknown_key_in_the_configuration(home: Path) -> None:
    assert gossipd("init", home=home)[0] == 0
    config = home / "config.toml"
    config.write_text(config.read_text() + "\n[network]\nprot = 4001\n")
    code, document = gossipd("start", home=home)
    error = error_of(document)
    assert code == 5
    assert "network.prot" in error["message"]
    assert "network.port" in error["message"] + error["hint"]
    assert not (home / "state.db").exists()


def test_a_value_out_of_range(home: Path) -> None:
    code, document = gossipd("start", "--set", "gossip.self_weight=7", home=home)
    assert code == 5
    assert "gossip.self_weight" in error_of(document)["message"]


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, document = gossipd(
            "start", "--no-mdns", "--listen", "127.0.0.1", "--port", str(port), home=home
        )
    error = error_of(document)
    assert (code, error["code"]) == (1, "port-in-use")
    assert str(port) in error["message"]
    assert not (home / "api.sock").exists()


def test_a_key_that_others_can_read(home: Path) -> None:
    assert gossipd("init", home=home)[0] == 0
    key = home / "identity.key"
    key.chmod(0o644)
    code, document = gossipd("start", "--no-mdns", home=home)
    error = error_of(document)
    assert (code, error["code"]) == (6, "identity-permissions")
    assert "chmod 600" in error["hint"]
    assert key.stat().st_mode & 0o777 == 0o644


def test_a_data_folder_that_is_not_there(home: Path, tmp_path: Path) -> None:
    code, document = gossipd("init", "--data", str(tmp_path / "nowhere"), home=home)
    assert code in (2, 5)
    assert "nowhere" in error_of(document)["message"]
    assert not home.exists()


def test_a_data_folder_without_images(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    code, document = gossipd("init", "--data", str(folder), home=home)
    assert (code, error_of(document)["code"]) == (1, "bad-data")
    assert not home.exists()

    images = idx_images(folder) / "t10k-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    code, document = gossipd("init", "--data", str(folder), home=home)
    assert (code, error_of(document)["code"]) == (1, "bad-data")
    assert str(images) in error_of(document)["message"]

    images.write_bytes(whole)
    assert gossipd("init", "--data", str(folder), home=home)[0] == 0
    images.unlink()
    code, document = gossipd("start", "--no-mdns", "--listen", "127.0.0.1", home=home)
    assert code == 5
    assert str(folder) in error_of(document)["message"]


def test_an_address_that_is_none(home: Path) -> None:
    code, document = gossipd("start", "--peer", "192.168.1.5:4001", home=home)
    assert code in (2, 5)
    assert "/p2p/" in error_of(document)["hint"]


def test_asking_a_daemon_that_does_not_run(home: Path) -> None:
    code, document = gossipd("status", home=home)
    assert (code, error_of(document)["code"]) == (3, "not-running")
