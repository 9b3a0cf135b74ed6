"""`gossipd completion`: the shell finishes commands and options."""

from enum import StrEnum
from typing import Annotated

import typer

from gossipd_cli.options import FormatOption, HomeOption, example
from gossipd_cli.output import Format, emit

COMPLETE = "_GOSSIPD_COMPLETE"

app = typer.Typer()


class Shell(StrEnum):
    """Those that typer can write for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command(
    "completion",
    epilog=example(
        "gossipd completion bash > ~/.local/share/bash-completion/completions/gossipd",
        "gossipd completion zsh > ~/.zfunc/_gossipd",
        "gossipd completion fish > ~/.config/fish/completions/gossipd.fish",
    ),
)
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Print what the shell needs to finish gossipd's commands and options."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name="gossipd", complete_var=COMPLETE, shell=shell.value)
    emit(output_format, {"shell": shell.value, "script": script}, lambda data: data["script"])
