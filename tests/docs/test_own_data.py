"""Every command of docs/own-data.md does what the page says, on real daemons."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode
from support.command import gossipd
from support.tree import ROOT
from support.waiting import until

pytest.importorskip("PIL", reason="the extra `images` is not installed")

from PIL import Image

PAGE = (ROOT / "docs" / "own-data.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SECONDS = 60.0


class Desk:
    """A folder with everybody's files, and a state directory for each of the page's people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def home(self, who: str) -> Path:
        return self.folder / who

    def client(self, who: str) -> Client:
        return Client(paths_of(self.home(who)).socket)

    def type(self, who: str, line: str) -> str:
        """Do what a shell would; what is printed goes into a file where the line says so."""
        words, _, file = line.partition(" > ")
        command, *arguments = shlex.split(words)
        assert command == "gossipd"
        outcome = gossipd(*arguments, home=self.home(who))
        assert outcome.code == 0, f"{line}\n{outcome.out}\n{outcome.err}"
        if file:
            (self.folder / file).write_text(outcome.out)
        return outcome.out

    def stop(self) -> None:
        for who in {who for who, _ in BLOCKS}:
            outcome = gossipd("stop", "--timeout", str(SECONDS), home=self.home(who))
            assert outcome.code in (0, ExitCode.NOT_RUNNING), outcome.err


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    yield desk
    desk.stop()


def patients(path: Path, rows: int, seed: int, *, target: bool = True) -> None:
    rng = np.random.default_rng(seed)
    lines = ["age,blood_pressure,smoker,ward" + (",diagnosis" if target else "")]
    for _ in range(rows):
        age, smoker = rng.integers(20, 90), rng.choice(["yes", "no"])
        pressure = "" if rng.random() < 0.05 else f"{rng.normal(120, 10):.1f}"
        cells = [str(age), pressure, smoker, rng.choice(["A", "B"])]
        lines.append(",".join(cells + (["ill" if age > 55 else "well"] if target else [])))
    path.write_text("\n".join(lines) + "\n")


def birds(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name, light in (("finch", 0), ("owl", 120)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = (rng.integers(0, 80, (24, 24)) + light).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def trained(desk: Desk, who: str) -> None:
    until(lambda: desk.client(who).status()["training"]["cycles"] >= 20, SECONDS, "training")


def table(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def filled(desk: Desk, line: str) -> str:
    """The line with what its reader has to put in, and away from the local network."""
    if "gossipd start" in line:
        line += " --listen 127.0.0.1 --no-mdns"
    if "LINE" in line:
        answer = json.loads(desk.type("ann", "gossipd invite --format json"))
        line = line.replace("LINE", answer["data"]["line"])
    return line


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_command_of_the_page_works(desk: Desk) -> None:
    for name, rows, seed in (("patients", 150, 1), ("mine", 150, 2), ("test", 100, 3)):
        patients(desk.folder / f"{name}.csv", rows, seed)
    patients(desk.folder / "new.csv", 20, 4, target=False)
    birds(desk.folder / "birds")

    for who, block in BLOCKS:
        for line in block.splitlines():
            said = desk.type(who, filled(desk, line))
            if "start --detach" in line:
                trained(desk, who)
            if line.startswith("gossipd eval"):
                accuracy = re.search(r"^accuracy +([\d.]+)$", said, re.MULTILINE)
                assert accuracy is not None
                assert float(accuracy[1]) > 0.8

    for name in ("answers.csv", "answers-of-both.csv"):
        answers = table(desk.folder / name)
        right = ["ill" if int(row["age"]) > 55 else "well" for row in answers]
        assert (
            np.mean([row["prediction"] == r for row, r in zip(answers, right, strict=True)]) > 0.7
        )
    both = desk.client("ben").status()
    assert both["network"]["connected"] == 1
    assert both["task"] == "patients"

    (script,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (desk.folder / "use.py").write_text(script)
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "use.py"],
        env=alone,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout
    assert answer.strip() in ("['ill']", "['well']")
