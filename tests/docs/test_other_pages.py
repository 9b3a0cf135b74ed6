"""The commands of the pages that tell no story, typed in order on daemons that pages share."""

import shutil
from pathlib import Path

import pytest

from support.desk import Desk, patients, trained
from support.operator import OTHER
from support.pages import DOCS, commands

SHARED = ("dashboard.md", "how-to.md", "ranking.md", "scenarios.md", "faq.md")
"""By ann, whose daemon runs, and ben, who has just been let in: the last one stops hers."""


def with_data(folder: Path) -> None:
    for seed, name in enumerate(("patients", "test", "mine")):
        patients(folder / f"{name}.csv", 100, seed)


def typed(desk: Desk, page: str) -> None:
    for line in commands(DOCS / page):
        if line.is_typed:
            desk.read(line, lambda: OTHER)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_command_works(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_data(tmp_path)
    desk.type("ann", "gossipd init --data patients.csv --target diagnosis")
    desk.type("ann", "gossipd start --detach --listen 127.0.0.1 --no-mdns")
    trained(desk, "ann")
    desk.type("ann", "gossipd invite")
    for page in SHARED:
        desk.type("ann", f"gossipd members issue {OTHER} > membership")
        desk.folder = tmp_path / page.removesuffix(".md")
        desk.folder.mkdir()
        with_data(desk.folder)
        shutil.copy(desk.home("ann") / "task.json", desk.folder)
        monkeypatch.chdir(desk.folder)
        typed(desk, page)
    assert (desk.folder / "model.safetensors").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_command_of_deploying_works(desk: Desk) -> None:
    typed(desk, "deploy.md")
    ed = desk.client("ed").status()
    assert ed["membership"]["state"] == "member"
    assert desk.client("fay").status()["addresses"][0].startswith("/ip4/203.0.113.7/tcp/")
