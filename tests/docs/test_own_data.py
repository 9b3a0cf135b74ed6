"""Every command of docs/own-data.md does what the page says, on real daemons."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.desk import SECONDS, Desk, patients, trained
from support.tree import ROOT

pytest.importorskip("PIL", reason="the extra `images` is not installed")

from PIL import Image

PAGE = (ROOT / "docs" / "own-data.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def birds(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name, light in (("finch", 0), ("owl", 120)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = (rng.integers(0, 80, (24, 24)) + light).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


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
