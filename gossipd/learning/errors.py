"""What is wrong with somebody's data or task, in words that the operator can act on."""

from pathlib import Path


class LearningError(Exception):
    """The task cannot be learnt as it stands. `reason` says what is wrong, `hint` what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class DataError(LearningError):
    """A file or folder is not the data that the task needs."""

    def __init__(self, path: Path | str, reason: str, hint: str) -> None:
        super().__init__(f"{path}: {reason}", hint)
        self.path = Path(path)


class TaskError(LearningError):
    """A task's model and data do not fit together: its author has to correct it."""
