"""The one form in which an operator is told that something cannot be done."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the commands exit with; scripts rely on these numbers."""

    OK = 0
    """Done."""
    FAILURE = 1
    """It could not be done; the error says why."""
    USAGE = 2
    """The command line, or a request, makes no sense."""
    NOT_RUNNING = 3
    """No daemon answers."""
    DEGRADED = 4
    """It runs, and something is wrong: `health` or `doctor` found it."""
    CONFIG = 5
    """A mistake in the settings, or in what they name."""
    IDENTITY = 6
    """The key, a right or a membership is missing or refused."""
    ALREADY_RUNNING = 7
    """Another daemon, or another piece of the same work, is at it."""
    TIMEOUT = 8
    """It did not happen in the time that was given."""
    TEMPORARY = 75
    """As in sysexits.h: the same command may work later."""


class OperatorError(Exception):
    """Something that the operator can mend: what it is, in words, and what to do about it."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        exit_code: ExitCode = ExitCode.FAILURE,
    ) -> None:
        super().__init__(message)
        self.code = code
        """Stable, kebab-case; scripts rely on it."""
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
