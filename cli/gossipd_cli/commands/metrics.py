"""`gossipd metrics`: the numbers that Prometheus reads."""

from pathlib import Path
from typing import Annotated

import typer

from gossipd.errors import OperatorError
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Show the daemon's metrics, or write them where a collector looks.")


@app.command("show", epilog=example("gossipd metrics show", "gossipd metrics show | grep peers"))
def show(home: HomeOption = None, output_format: FormatOption = Format.text) -> None:
    """Print them in the Prometheus text format; docs/metrics.md explains each."""
    text = client(home).metrics()
    emit(output_format, {"text": text}, lambda data: data["text"].rstrip("\n"))


@app.command(
    "write",
    epilog=example("gossipd metrics write /var/lib/node_exporter/textfile/gossipd.prom"),
)
def write(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Replaced as a whole, never half-written.")
    ],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write them into a file, as node_exporter's textfile collector wants it; run it by a timer."""
    from gossipd.storage.atomic import deliver

    text = client(home).metrics()
    try:
        deliver(file.absolute(), [text.encode()], overwrite=True)
    except OSError as error:
        raise OperatorError(
            "cannot-write",
            f"{file} cannot be written: {error.strerror}",
            "give a file in a directory that is there and writable",
        ) from None
    lines = sum(not line.startswith("#") for line in text.splitlines())
    emit(output_format, {"file": str(file), "values": lines}, lambda d: f"{d['values']} values")
