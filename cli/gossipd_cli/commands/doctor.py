"""`gossipd doctor`: why it does not work, with the daemon running or not."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gossipd.config import Paths, home_directory, load, paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.options import FormatOption, HomeOption, example
from gossipd_cli.output import Format, emit

if TYPE_CHECKING:
    from gossipd.doctor.findings import Finding
    from gossipd.doctor.machine import Machine

STATUS_SECONDS = 3.0
"""A daemon that does not answer in that time is one of the things to be found."""

app = typer.Typer()


@app.command("doctor", epilog=example("gossipd doctor", "gossipd doctor --format json"))
def doctor(home: HomeOption = None, output_format: FormatOption = Format.text) -> int:
    """Look for what is wrong, here and at each known peer, and say how to mend it.

    Works while the daemon runs and while it does not. Exit code 4 when something is wrong.
    """
    from gossipd.doctor.machine import Machine

    data = report(home, Machine())
    emit(output_format, data, render.doctor)
    return 0 if data["healthy"] else ExitCode.DEGRADED


def report(home: Path | None, machine: "Machine") -> dict[str, Any]:
    """{healthy, daemon: "running" | "stopped", findings: [...], summary}."""
    import msgspec

    from gossipd.doctor.local import summary

    paths = paths_of(home_directory(home))
    daemon = Client(paths.socket, STATUS_SECONDS)
    status, models, peers = None, [], []
    with suppress(OperatorError):  # what keeps it from answering is for the checks to find
        status = daemon.status()
        models, peers = daemon.models(), daemon.peers()
    findings = list(_findings(paths, machine, status, models, peers))
    counts = summary(findings)
    return {
        "healthy": counts["error"] == 0,
        "daemon": "stopped" if status is None else "running",
        "findings": msgspec.to_builtins(findings),
        "summary": dict(counts),
    }


def _findings(
    paths: Paths,
    machine: "Machine",
    status: dict[str, Any] | None,
    models: list[dict[str, Any]],
    peers: list[dict[str, Any]],
) -> Iterator["Finding"]:
    from gossipd.doctor import known, local
    from gossipd.doctor.findings import skipped

    foreign = [m for m in models if status and m["author"] not in (None, status["peer_id"])]
    found = list(local.examine(paths, machine, status, foreign, peers))
    yield from found
    if status is not None:
        yield from known.examine(peers, machine)
        return
    wrong = [f.check for f in found if f.verdict == "error" and f.check in _NEEDED]
    if wrong:
        yield skipped("tcp", f"peers are asked once this is mended: {', '.join(wrong)}")
        return
    from gossipd.doctor import probe
    from gossipd.members.membership import at_rest

    with at_rest(paths.home) as books:
        yield from probe.examine(paths, load(paths.home), books.identity)


_NEEDED = ("key", "lock", "configuration", "version")
"""Without these the daemon does not start, nor can the doctor speak in its name."""
