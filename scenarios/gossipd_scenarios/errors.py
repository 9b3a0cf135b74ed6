"""What goes wrong with a fleet, in the form in which operators are told."""

from gossipd.errors import OperatorError


class FleetError(OperatorError):
    """A daemon or the fleet did not do what was asked of it. The hint is the end of its log."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}".rstrip()
