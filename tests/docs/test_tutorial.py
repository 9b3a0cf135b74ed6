"""docs/tutorial.md, typed from its first line to its last on three real daemons."""

import csv
import re
import subprocess
import sys

import pytest

from support.desk import SECONDS, Desk
from support.pages import DOCS, lines
from support.waiting import until

PAGE = DOCS / "tutorial.md"


def block(kind: str) -> str:
    """The page's only block of Python, or of TOML."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    return str(found)


def answered(desk: Desk) -> float:
    """Share of the answers that are right: the new table has them, too."""
    rows = list(csv.DictReader((desk.folder / "answers.csv").read_text().splitlines()))
    assert len(rows) == 119
    right = [row["prediction"] == row["diagnosis"] for row in rows]
    return right.count(True) / len(rows)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_page_does_what_it_says(desk: Desk) -> None:
    script = [sys.executable, "-c", block("python")]
    subprocess.run(script, cwd=desk.folder, timeout=SECONDS, check=True)
    (desk.folder / "village.toml").write_text(block("toml"))

    for line in lines(PAGE):
        if line.begins("gossipd models ls"):
            until(lambda: desk.teachers("south") == 3, SECONDS, "all three to be in one model")
        said = desk.read(line, lambda: desk.client("east").identity()["peer_id"])
        if line.begins("gossipd predict"):
            assert answered(desk) > 0.9
        if line.begins("gossipd doctor"):
            assert "the daemon is stopped" in said
        if line.begins("gossipd scenario run"):
            assert "holds" in said
            assert (desk.folder / "village" / "report.html").exists()
    east = desk.client("east")
    until(lambda: east.status()["network"]["connected"] == 0, SECONDS, "east to be shut out")
