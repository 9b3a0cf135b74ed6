"""People at their desks, typing what a page of docs/ says into one shell."""

import shlex
from pathlib import Path

import numpy as np

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode
from support.command import gossipd
from support.waiting import until

SECONDS = 60.0


class Desk:
    """A folder with everybody's files, and a state directory for each of the page's people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._homes: set[Path] = set()

    def home(self, who: str) -> Path:
        home = self.folder / who
        self._homes.add(home)
        return home

    def client(self, who: str) -> Client:
        return Client(paths_of(self.home(who)).socket)

    def type(self, who: str, line: str, *, codes: tuple[int, ...] = (0,)) -> str:
        """Do what a shell would; what is printed goes into a file where the line says so."""
        words, _, file = line.partition("  #")[0].partition(" > ")
        command, *arguments = shlex.split(words)
        assert command == "gossipd"
        outcome = gossipd(*arguments, home=self.home(who))
        assert outcome.code in codes, f"{line}\n{outcome.out}\n{outcome.err}"
        if file:
            (self.folder / file).write_text(outcome.out)
        return outcome.out

    def stop(self) -> None:
        for home in self._homes:
            outcome = gossipd("stop", "--timeout", str(SECONDS), home=home)
            assert outcome.code in (0, ExitCode.NOT_RUNNING), outcome.err


def patients(path: Path, rows: int, seed: int, *, target: bool = True) -> None:
    rng = np.random.default_rng(seed)
    lines = ["age,blood_pressure,smoker,ward" + (",diagnosis" if target else "")]
    for _ in range(rows):
        age, smoker = rng.integers(20, 90), rng.choice(["yes", "no"])
        pressure = "" if rng.random() < 0.05 else f"{rng.normal(120, 10):.1f}"
        cells = [str(age), pressure, smoker, rng.choice(["A", "B"])]
        lines.append(",".join(cells + (["ill" if age > 55 else "well"] if target else [])))
    path.write_text("\n".join(lines) + "\n")


def trained(desk: Desk, who: str) -> None:
    until(lambda: desk.client(who).status()["training"]["cycles"] >= 20, SECONDS, "training")
