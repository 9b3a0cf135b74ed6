"""What goes wrong with a fleet or a scenario, in the form in which operators are told."""

from gossipd.errors import ExitCode, OperatorError


class FleetError(OperatorError):
    """A daemon or the fleet did not do what was asked of it. The hint is the end of its log."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}".rstrip()


class ScenarioError(OperatorError):
    """A scenario that does not hold together, or that cannot be run here."""

    def __init__(self, message: str, hint: str, code: str = "bad-scenario") -> None:
        super().__init__(code, message, hint, ExitCode.CONFIG)
