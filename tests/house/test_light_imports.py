"""`gossipd status` answers in a blink: what it imports pulls in nothing heavy, however indirectly.

The import walls see only our own imports; here they are made, in a fresh interpreter.
"""

import subprocess
import sys

import pytest

HEAVY = {
    "httpx",
    "libp2p",
    "matplotlib",
    "networkx",
    "nicegui",
    "numpy",
    "prometheus_client",
    "psutil",
    "safetensors",
    "sklearn",
    "starlette",
    "structlog",
    "torch",
    "trio",
    "uvicorn",
}


@pytest.mark.parametrize(
    "module",
    [
        "gossipd",
        "gossipd.config",
        "gossipd.control.client",
        "gossipd.members.identity",
        "gossipd_cli.main",
    ],
)
def test_nothing_heavy_is_loaded(module: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
