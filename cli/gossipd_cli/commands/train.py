"""`gossipd train`: pause and resume."""

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
    emit(output_format, client(home).resume(), lambda data: "training goes on")
