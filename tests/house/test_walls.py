"""The walls between the rooms: they stand, and each is seen to stop what it is there to stop.

A contract that never fails may be a contract that checks nothing: a mistyped module, a forgotten
`include_external_packages`. So every contract of pyproject.toml is broken here once per way, by a
line appended to a copy of the packages.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.tree import PACKAGES, ROOT

CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
}

# contract, file, the line that must not stand there
BREACHES = [
    ("wire", "gossipd/wire/limits.py", "from gossipd.tensors import layout"),
    ("tensors", "gossipd/tensors/layout.py", "from gossipd.wire import limits"),
    ("averaging", "gossipd/averaging/__init__.py", "from gossipd.tensors import codecs"),
    ("averaging", "gossipd/averaging/__init__.py", "import gossipd.wire"),
    ("protocol", "gossipd/protocol/events.py", "from gossipd.tensors.layout import Layout"),
    ("protocol", "gossipd/protocol/events.py", "from gossipd.runtime.ports import Clock"),
    ("runtime", "gossipd/runtime/ports.py", "import gossipd.storage"),
    ("runtime", "gossipd/runtime/ports.py", "import gossipd.network"),
    ("runtime", "gossipd/runtime/ports.py", "from gossipd.config import Config"),
    ("learning", "gossipd/learning/__init__.py", "import gossipd.runtime"),
    ("learning", "gossipd/learning/__init__.py", "import gossipd.averaging"),
    ("storage", "gossipd/storage/__init__.py", "import gossipd.learning"),
    ("network", "gossipd/network/interface.py", "import gossipd.protocol"),
    ("network-interface", "gossipd/network/interface.py", "from gossipd.network import memory"),
    ("simulation", "gossipd/simulation/__init__.py", "from gossipd.network import memory"),
    ("simulation", "gossipd/simulation/__init__.py", "import gossipd.learning"),
    ("simulation", "gossipd/simulation/__init__.py", "from gossipd.config import Config"),
    ("control", "gossipd/control/operator.py", "import gossipd.storage"),
    ("control", "gossipd/control/operator.py", "import gossipd.daemon"),
    ("light", "gossipd/config.py", "import numpy"),
    ("light", "gossipd/control/client.py", "import httpx"),
    (
        "light",
        "gossipd/members/identity.py",
        "from gossipd.tensors import codecs",
    ),  # by way of numpy
    *(
        ("pure", f"gossipd/{room}/__init__.py", f"import {module}")
        for room, module in [
            ("wire", "time"),
            ("wire", "random"),
            ("tensors", "torch"),
            ("tensors", "os"),
            ("averaging", "threading"),
            ("averaging", "sqlite3"),
            ("protocol", "asyncio"),
            ("protocol", "socket"),
            ("protocol", "trio"),
        ]
    ),
    ("torch", "gossipd/storage/files.py", "import pyarrow"),
    ("torch", "gossipd/storage/__init__.py", "import torch.nn"),
    ("torch", "gossipd_scenarios/__init__.py", "from torch import nn"),
    ("libp2p", "gossipd/runtime/ports.py", "import libp2p.crypto"),
    ("libp2p", "gossipd/control/__init__.py", "import trio"),
    ("disk", "gossipd/learning/__init__.py", "from safetensors.numpy import save_file"),
    ("disk", "gossipd/control/__init__.py", "import sqlite3"),
    ("web", "gossipd/network/__init__.py", "from starlette.applications import Starlette"),
    ("daemon", "gossipd/learning/__init__.py", "from gossipd import daemon"),
    ("cli", "gossipd_cli/__init__.py", "import gossipd.storage"),
    ("cli", "gossipd_cli/__init__.py", "from gossipd.control import operator"),
    ("scenarios", "gossipd_scenarios/__init__.py", "import gossipd.runtime.ports"),
    ("page", "gossipd/control/__init__.py", "import nicegui"),
    ("page", "gossipd_cli/__init__.py", "from fastapi import FastAPI"),
    ("dashboard", "gossipd_dashboard/feed.py", "from gossipd.config import Config"),
    ("dashboard", "gossipd_dashboard/guard.py", "import gossipd.network.interface"),
    ("packages", "gossipd_dashboard/__init__.py", "import gossipd_scenarios"),
    ("packages", "gossipd/config.py", "import gossipd_dashboard"),
    ("packages", "gossipd/config.py", "import gossipd_scenarios"),
    ("packages", "gossipd/config.py", "import gossipd_cli"),
    ("packages", "gossipd_scenarios/__init__.py", "import gossipd_cli"),
]


def lint_imports(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the linter on the packages that lie in `directory`, side by side."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo", *arguments],
        cwd=directory,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(
            package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_walls_stand(copy: Path) -> None:
    verdict = lint_imports(copy)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_every_contract_is_broken_below() -> None:
    assert {contract for contract, _, _ in BREACHES} == set(CONTRACTS)


@pytest.mark.parametrize(
    ("contract", "file", "line"), BREACHES, ids=[f"{c}: {line}" for c, _, line in BREACHES]
)
def test_a_breach_is_seen(copy: Path, contract: str, file: str, line: str) -> None:
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")

    verdict = lint_imports(copy, "--contract", contract)

    assert verdict.returncode == 1
    assert f"{CONTRACTS[contract]} BROKEN" in verdict.stdout, verdict.stdout + verdict.stderr
