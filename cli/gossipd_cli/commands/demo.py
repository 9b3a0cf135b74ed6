"""`gossipd demo`: a swarm on this machine, to see what it is about."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gossipd_cli.options import FormatOption, example
from gossipd_cli.output import Format, emit

app = typer.Typer()


class Mode(StrEnum):
    """What `--mode` takes."""

    rounds = "rounds"
    gossip = "gossip"


class Averaging(StrEnum):
    """What `--averaging` takes."""

    variance_corrected = "variance_corrected"
    mean = "mean"


@app.command("demo", epilog=example("gossipd demo", "gossipd demo --nodes 8 --no-exchange"))
def demo(
    nodes: Annotated[int, typer.Option(min=1, max=100, help="Daemons to start.")] = 5,
    mode: Annotated[
        Mode, typer.Option(help="In sampled rounds, or each on its own clock.")
    ] = Mode.rounds,
    seconds: Annotated[
        float, typer.Option(min=5.0, max=86_400.0, help="How long they run.")
    ] = 90.0,
    exchange: Annotated[
        bool, typer.Option("--exchange/--no-exchange", help="Whether they exchange models.")
    ] = True,
    averaging: Annotated[
        Averaging, typer.Option(help="How a node merges the models it gets.")
    ] = Averaging.variance_corrected,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where to write the plot and the numbers. Default: the plot, here.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the daemons' homes and logs in place.")
    ] = False,
    output_format: FormatOption = Format.text,
) -> None:
    """Start a few daemons here, each with its own part of the data, and see them learn."""
    from gossipd_scenarios import demo as scenario

    result: dict[str, Any] = scenario.run(
        {
            "nodes": nodes,
            "mode": mode.value,
            "seconds": seconds,
            "exchange": exchange,
            "averaging": averaging.value,
            "output": output,
            "keep": keep,
            "quiet": output_format is Format.json,
        }
    )
    emit(output_format, result, lambda data: str(data["summary"]))
