"""The local examples that judge models and are never trained on. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.partition import Indices

SHARE = 0.1
"""Of each class. Ours: a guess."""
FEWEST_PER_CLASS = 3
"""But never over half of a class. Ours: below it one example decides about a class."""


def hold_out(examples: int, labels: NDArray[np.int64] | None, seed: int) -> tuple[Indices, Indices]:
    """(training, held out): sorted, disjoint positions that cover `examples`.

    With labels the share is taken class by class, so that a rare class is judged too; a class of
    one example is trained on. The same seed and labels give the same split, after a restart too.
    """
    rng = np.random.default_rng([seed, examples])
    groups = (
        [np.arange(examples, dtype=np.int64)]
        if labels is None
        else [np.flatnonzero(labels == label) for label in np.unique(labels)]
    )
    held = np.zeros(examples, dtype=np.bool_)
    for group in groups:
        wanted = max(round(SHARE * len(group)), FEWEST_PER_CLASS)
        held[rng.permutation(group)[: min(wanted, len(group) // 2)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
