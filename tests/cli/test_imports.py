"""Commands that only ask the daemon start fast, because of what they do not load."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gossipd_cli.app import app
from support.command import environment
from support.operator import OTHER, served

HEAVY = {
    "asyncio",
    "cryptography",
    "httpx",
    "libp2p",
    "numpy",
    "prometheus_client",
    "pydantic",
    "rich",
    "starlette",
    "structlog",
    "torch",
    "trio",
    "uvicorn",
}


WORKING = {
    "init": "reads data",
    "start": "is the daemon",
    "stop": "would end the one that the others ask",
    "join": "reads data, and dials",
    "doctor": "looks at everything",
    "predict": "computes",
    "members": "signs, or checks signatures",
    "task": "reads data, or runs code",
    "demo": "starts daemons",
    "service install": "asks systemd",
    "service uninstall": "asks systemd",
    "peers unblock": "complains where nobody is blocked; else as peers block",
    "scenario": "plans or runs one",
    "dashboard": "is a page",
}
"""Commands that do work of their own, and may load what it needs."""

LINES = [
    "status",
    "status --format json",
    "health",
    "id",
    "peers ls",
    "peers add /ip4/192.0.2.9/tcp/1/p2p/x",
    "models ls --format json",
    "train pause",
    "logs",
    "events",
    "version",
    "invite --no-qr",
    "invite --list",
    "wait",
    "config get",
    "config get network.port",
    "config paths",
    "config validate",
    "config reload",
    "logs --set network=debug",
    "metrics show",
    "service show",
    "completion bash",
    "eval",
    "peers rm x",
    f"peers block {OTHER}",
    "models show serving",
    "models export serving model",
    "models search seals",
    "models use --follow",
    "models rollback",
    "models pin serving",
    "models unpin serving",
    "rank peers",
    "rank models",
    "rank vote abababab --query seals",
    "bundle export stick",
    "bundle import stick",
    "train resume",
    "metrics write prom",
    "config set network.port 4001",
]


def names(command: Any = None, *path: str) -> set[str]:
    """The words of every command."""
    command = command or get_command(app)
    below = getattr(command, "commands", {})
    if not below:
        return {" ".join(path)}
    return {found for name, inner in below.items() for found in names(inner, *path, name)}


def test_every_command_is_fast_or_does_work() -> None:
    asked = {name for name in names() for line in LINES if f"{line} ".startswith(f"{name} ")}
    left = {name for name in names() - asked if not {name, name.split()[0]} & WORKING.keys()}
    assert left == set()


@pytest.mark.parametrize("line", LINES)
def test_a_fast_command_loads_nothing_heavy(line: str, tmp_path: Path) -> None:
    script = (
        "import sys; from gossipd_cli.main import main; code = main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sys.modules)); sys.exit(code)"
    )
    with served(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", script, *line.split()],
            env=environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert {name.partition(".")[0] for name in done.stderr.split()} & HEAVY == set()
