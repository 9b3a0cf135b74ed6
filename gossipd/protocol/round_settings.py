"""What the operator chooses of the rounds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """The operator's choice; config.py says where the defaults come from."""

    sample: int
    aggregators: int
    success_fraction: float
    activity_window: int
    local_steps: int
    """Mini-batches per round; 0: it is not available for any, as a node without data."""
    round_seconds: float
    """Least time between two rounds."""
    exchange: bool
