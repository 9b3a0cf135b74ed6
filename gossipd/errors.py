"""The one form in which an operator is told that something cannot be done."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the commands exit with; scripts rely on these numbers."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    DEGRADED = 4
    CONFIG = 5
    IDENTITY = 6
    ALREADY_RUNNING = 7
    TIMEOUT = 8
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
