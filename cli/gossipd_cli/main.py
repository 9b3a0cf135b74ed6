"""The command `gossipd`: runs one command, turns what goes wrong into an error and an exit code."""

import os
import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import quick
from gossipd_cli.app import app
from gossipd_cli.output import Format, emit_error

INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""

# The parser's own errors; named through what typer exports, since it moved them between versions.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ParserError: type[Exception] = typer.BadParameter.__mro__[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    quick.install()
    if "_GOSSIPD_COMPLETE" in os.environ:  # the shell asks: typer answers in its own ways
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    try:
        code = get_command(app).main(arguments, prog_name="gossipd", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except OperatorError as error:
        emit_error(_format_in(arguments), error)
        return error.exit_code
    except (_UsageError, _ParserError) as error:
        emit_error(_format_in(arguments), _of_parser(error))
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us (`| head`) has enough. Nothing is left to flush into the broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except OSError as error:
        problem = OperatorError("os-error", str(error), "see what the system says about it")
        emit_error(_format_in(arguments), problem)
        return problem.exit_code


def _of_parser(error: Exception) -> OperatorError:
    """A usage error in the form of all our errors."""
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    message = message.replace("Value error, ", "")  # the converter's own words, of use to nobody
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "gossipd"
    return OperatorError("usage", message, f"`{command} --help` shows how", ExitCode.USAGE)


def _format_in(arguments: Sequence[str]) -> Format:
    """The format asked for on a command line that may not have been understood."""
    asked = ""
    for place, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--format":
            asked = arguments[place + 1] if place + 1 < len(arguments) else ""
        elif argument.startswith("--format="):
            asked = argument.removeprefix("--format=")
    return Format.json if asked == "json" else Format.text
