"""People at their desks, typing what a page of docs/ says into one shell."""

import json
import os
import re
import shlex
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode
from gossipd_cli.processes import Watch
from support.command import gossipd
from support.keys import key_from
from support.pages import Line
from support.waiting import until

SECONDS = 60.0


MAY_COMPLAIN = ("gossipd health", "gossipd doctor")
"""Who is alone is told so by an exit code."""


class Desk:
    """A folder with everybody's files, and a state directory for each of the page's people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = folder
        self._homes: set[Path] = set()

    def home(self, who: str) -> Path:
        home = self._place / who
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

    def read(self, line: Line, peer: Callable[[], str]) -> str:
        """Type a line of a page as each of its people, with what its reader has to put in; what the
        last one was told. `peer` is whom the page means by PEER."""
        said = ""
        for who in line.who:
            text = self._filled(who, line.text, peer)
            if text.startswith("kill -9 "):
                self._kill(int(text.split()[-1]))
            elif text.startswith("gossipd "):
                complains = text.startswith(MAY_COMPLAIN)
                said = self.type(who, text, codes=(0, ExitCode.DEGRADED) if complains else (0,))
            if text.startswith("gossipd invite") and " gossipd-l" in said:
                self.line = said.split()[-1]
        return said

    def _filled(self, who: str, text: str, peer: Callable[[], str]) -> str:
        if text.startswith("gossipd start"):
            text += " --listen 127.0.0.1 --no-mdns"
        makers: dict[str, Callable[[], str]] = {
            r"\bLINE\b|gossipd-l[\w.-]+": lambda: self.line,
            r"\bPEER\b|12D3KooW\.\.\.": peer,
            r"12D3KooB\.\.\.": lambda: self._id("ben"),
            r"12D3KooX\.\.\.": lambda: key_from("somebody else")[1],
            r"\bPID\b": lambda: str(self.client(who).status()["pid"]),
            r"\b3fa9c1d2\b": lambda: self.client(who).status()["models"]["serving"]["hash"][:8],
            r"\b5f3a90c1\b": lambda: str(self.client(who).invitations()[-1]["id"]),
            r"\b4001\b": lambda: str(self._free_port()),
            r"/var/lib/node_exporter/textfile/|/media/stick/": lambda: "",
        }
        for pattern, made in makers.items():
            if re.search(pattern, text):
                text = re.sub(pattern, made(), text)
        return text

    def _kill(self, pid: int) -> None:
        with closing(Watch(pid)) as watch:
            os.kill(pid, signal.SIGKILL)
            assert watch.ended(SECONDS)

    def _id(self, who: str) -> str:
        said = self.type(who, "gossipd id --format json")
        return str(json.loads(said)["data"]["peer_id"])

    def _free_port(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as found:
            return int(found.getsockname()[1])

    def teachers(self, who: str) -> int:
        """How many have taught the newest of its models."""
        return max((len(model["lineage"]) for model in self.client(who).models()), default=0)

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
