"""Every command of docs/faq.md can be typed as it stands there, on a real daemon."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipd.errors import ExitCode
from support.desk import Desk, patients, trained
from support.operator import OTHER
from support.tree import ROOT

LINES = re.findall(
    r"^    (gossipd .*)", (ROOT / "docs" / "faq.md").read_text("utf-8"), re.MULTILINE
)
MAY_COMPLAIN = (0, ExitCode.DEGRADED)
"""What health and doctor end with: somebody who is alone is told so."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    yield desk
    desk.stop()


@pytest.mark.slow
def test_every_command_of_the_page_works(desk: Desk) -> None:
    for name, seed in (("patients", 1), ("test", 2)):
        patients(desk.folder / f"{name}.csv", 100, seed)
    desk.type("ann", "gossipd init --data patients.csv --target diagnosis")
    desk.type("ann", "gossipd start --detach --listen 127.0.0.1 --no-mdns")
    trained(desk, "ann")
    desk.type("ann", f"gossipd members issue {OTHER} > membership")

    for line in LINES:
        who = "ben" if " init " in line else "ann"
        complains = line in ("gossipd health", "gossipd doctor")
        line = line.replace("12D3KooW...", OTHER)
        desk.type(who, line, codes=MAY_COMPLAIN if complains else (0,))

    assert len(LINES) > 12
    assert (desk.folder / "model.safetensors").stat().st_size > 0
