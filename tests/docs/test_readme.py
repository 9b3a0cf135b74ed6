"""Who has read the README and nothing else: own rows on three machines, joined by one line."""

import csv

import pytest

from support.desk import SECONDS, Desk, patients
from support.pages import commands
from support.tree import ROOT
from support.waiting import until


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_command_of_the_page_works_and_three_machines_learn_together(desk: Desk) -> None:
    for seed, name in enumerate(("patients", "mine")):
        patients(desk.folder / f"{name}.csv", 150, seed)
    patients(desk.folder / "new.csv", 30, 7, target=False)

    for line in commands(ROOT / "README.md"):
        if line.begins("gossipd predict"):
            until(lambda: desk.teachers("cid") == 3, SECONDS, "all three to be in one model")
            desk.type("cid", "gossipd wait --accuracy 0.8 --timeout 60")
        if line.is_typed:
            desk.read(line, lambda: desk.client("ben").identity()["peer_id"])

    with (desk.folder / "answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    right = [row["prediction"] == ("ill" if int(row["age"]) > 55 else "well") for row in answers]
    assert len(right) == 30
    assert sum(right) > 24
    ben = desk.client("ben")
    until(lambda: ben.status()["network"]["connected"] == 0, SECONDS, "ben to be shut out")
