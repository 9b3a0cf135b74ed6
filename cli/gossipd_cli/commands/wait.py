"""`gossipd wait`: a script goes on once the daemon is so far."""

import time
from typing import Annotated, Any

import typer

from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli.options import FormatOption, HomeOption, client, example
from gossipd_cli.output import Format, emit
from gossipd_cli.render import measure

POLL_SECONDS = 0.25
WAIT_SECONDS = 60.0

app = typer.Typer()


@app.command(
    "wait",
    epilog=example(
        "gossipd wait --timeout 30",
        "gossipd wait --peers 2 --timeout 120 && gossipd wait --accuracy 0.9",
        "gossipd wait --round 20 --format json",
    ),
)
def wait(
    peers: Annotated[
        int | None, typer.Option(min=1, help="Until so many are connected.", show_default=False)
    ] = None,
    round_: Annotated[
        int | None, typer.Option("--round", min=1, help="Until this round.", show_default=False)
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Until the serving model is so good on held-out examples.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.0, max=604_800.0, help="Seconds to wait at most.")
    ] = WAIT_SECONDS,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Wait until the daemon answers, and all that is asked for holds; exit code 8 in vain.

    A daemon that does not run yet is waited for, too.
    """
    wanted = {
        name: value
        for name, value in (("peers", peers), ("round", round_), ("accuracy", accuracy))
        if value is not None
    }
    daemon, deadline = client(home), time.monotonic() + timeout
    while True:
        found = _look(daemon)
        if found is not None and _holds(found, wanted):
            emit(output_format, found, _told)
            return
        if time.monotonic() >= deadline:
            raise _in_vain(timeout, wanted, found)
        time.sleep(min(POLL_SECONDS, max(deadline - time.monotonic(), 0.01)))


def _holds(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether it is so far; what nobody has measured yet is not."""
    return all(found[k] is not None and found[k] >= value for k, value in wanted.items())


def _look(daemon: Client) -> dict[str, Any] | None:
    """How far it is; None: nobody answers yet."""
    try:
        status = daemon.status()
    except OperatorError as error:
        if error.exit_code not in (ExitCode.NOT_RUNNING, ExitCode.TEMPORARY, ExitCode.TIMEOUT):
            raise
        return None
    round_ = status["round"]
    return {
        "peers": status["network"]["connected"],
        "round": round_["number"] if round_ else 0,
        "accuracy": status["models"]["serving"]["held_out_accuracy"],
    }


def _told(found: dict[str, Any]) -> str:
    accuracy = measure(found["accuracy"])
    return f"{found['peers']} peers, round {found['round']}, accuracy {accuracy}"


def _in_vain(timeout: float, wanted: dict[str, Any], found: dict[str, Any] | None) -> OperatorError:
    if found is None:
        message = f"no daemon answers after {timeout:g} s"
    else:
        goals = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
        message = f"not {goals} after {timeout:g} s: {_told(found)}"
    return OperatorError(
        "timeout", message, "`gossipd doctor` says what is wrong", ExitCode.TIMEOUT
    )
