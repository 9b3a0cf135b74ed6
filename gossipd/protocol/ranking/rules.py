"""How votes count: the paper's rules and our defences, each of which can be switched."""

from dataclasses import dataclass

TOP_TERMS = 10
"""Query terms of a node that similarity looks at: paper."""
EXPLORATION = 0.5
"""Chance that two places of a ranking are swapped before it is shown: paper."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a click counts for. The defaults are a daemon's (`OURS`), `PAPER` the paper's."""

    unlike: float = 0.1
    """F: what a node counts for whatever it chooses, beside its similarity. Departure from the
    paper (0 or 1): ours, measured by benchmarks/grank.py. With 1, three attackers to each honest
    node outvote them; with 0, who has chosen nothing yet learns nothing from the others."""
    one_vote: bool = True
    """Departure from the paper: who chooses an item under one query again adds nothing to it."""
    cap: float | None = 128.0
    """Departure from the paper: all votes of one node together count for at most so many. Ours, a
    guess: an honest node of the paper's experiment makes 139 clicks, of which some 85 are votes."""
    terms_alone: bool = False
    """Whether who only asks the same is like somebody. Departure from the paper (True): ours. Under
    ten labels everybody asks the same, and three who had chosen nothing that anybody else had were
    the likest of all (scenario sybils)."""
    half_life: float | None = None
    """Departure from the paper: seconds after which a vote counts half; None: never."""


OURS = Rules()
PAPER = Rules(unlike=1.0, one_vote=False, cap=None, terms_alone=True)
