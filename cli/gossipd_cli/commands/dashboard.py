"""`gossipd dashboard`: the page on which a swarm is watched."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from gossipd.config import home_directory, paths_of
from gossipd.errors import OperatorError
from gossipd_cli.options import HomeOption, StreamFormatOption, example
from gossipd_cli.output import Format, emit_line, say
from gossipd_cli.processes import COMMAND, TERMINATE_SECONDS

app = typer.Typer()


def require() -> None:
    """Raises "no-dashboard" where the extra was not installed."""
    if find_spec("nicegui") is None:
        raise OperatorError(
            "no-dashboard", "the dashboard is not installed", "pip install 'gossipd[dashboard]'"
        )


@contextlib.contextmanager
def watched() -> Iterator[Path]:
    """A dashboard of the scenario that tells of itself in the folder, as a process of its own.

    Its link is said on stderr. On a terminal the page stays after the block until Ctrl-C.
    """
    require()
    with tempfile.TemporaryDirectory(prefix="gossipd-run-") as folder:
        page = subprocess.Popen(
            [*COMMAND, "dashboard", "--run", folder],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
        try:
            yield Path(folder)
            if sys.stderr.isatty():
                say("The page stays until Ctrl-C.")
                page.wait()
        finally:
            page.terminate()
            try:
                page.wait(TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                page.kill()
                page.wait()


@app.command(
    "dashboard",
    epilog=example(
        "gossipd dashboard",
        "gossipd dashboard --port 8080",
        "gossipd dashboard --host 192.168.1.5",
    ),
)
def dashboard(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens: an address of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: one that is free.")] = 0,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="Another name by which a browser may call it.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="A scenario that runs.", show_default=False),
    ] = None,
    home: HomeOption = None,
    output_format: StreamFormatOption = Format.text,
) -> None:
    """Show the daemon in a browser: open the link that this prints, Ctrl-C ends it."""
    require()
    from gossipd_dashboard.fleet import Fleet
    from gossipd_dashboard.serve import Listen, serve

    if run is not None:
        fleet = Fleet.of_run(run)
    else:
        fleet = Fleet({"daemon": paths_of(home_directory(home)).socket})

    def opened(link: str) -> None:
        emit_line(output_format, {"link": link}, lambda data: str(data["link"]))
        say("Whoever has this link can do what you can. Ctrl-C ends the dashboard, not the daemon.")

    serve(fleet, Listen(host, port, tuple(names or ())), opened)
