"""`gossipd train`: pause and resume."""

from typing import Any

from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Pause and resume local training.")


@app.command("pause", epilog=example("gossipd train pause"))
def pause(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Stop training; models are still exchanged."""
    emit(output_format, client(home).pause(), lambda data: "training is paused")


@app.command("resume", epilog=example("gossipd train resume"))
def resume(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Train again."""
    emit(output_format, client(home).resume(), _resumed)


def _resumed(data: dict[str, Any]) -> str:
    if data["paused"]:
        return "training goes on as soon as nothing else is against it: `gossipd status` says what"
    return "training goes on"
