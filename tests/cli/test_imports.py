"""Commands that only ask the daemon start fast, because of what they do not load."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.command import environment
from support.operator import served

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


@pytest.mark.parametrize(
    "line",
    [
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
    ],
)
def test_a_fast_command_loads_nothing_heavy(line: str, tmp_path: Path) -> None:
    script = (
        "import sys; from gossipd_cli.main import main; code = main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sys.modules)); sys.exit(code)"
    )
    with served(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", script, *line.split()],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert {name.partition(".")[0] for name in done.stderr.split()} & HEAVY == set()
