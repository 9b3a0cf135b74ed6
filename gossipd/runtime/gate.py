"""The gate: judges the candidate after merging or adopting, never the incoming model.

It refuses what is not finite, and what is worse on local held-out examples than a uniform guess
while the own model is not. Only the classes that this node trains on count as answers: a model of
an island with other labels answers with those, which is knowledge, not damage. Measured by us
(digits, two classes on each of five nodes, 60 cycles, share refused), all classes against known
ones:

    honest merge .01 .01    honest fast-forward .79 .02
    adopted: noise .71 .80, sign flipped .48 .34, negated .62 .87, zero 1.0 1.0
    averaged in: sign flipped .77 .93, negated 1.0 1.0, large noise .99 .97, zero .35 .80

What it cannot see is a bias towards classes that this node does not have, nor, on a node with one
class, anything but numbers that are not finite.
"""

import math

from gossipd.runtime.ports import Evaluation


def refusal(candidate: Evaluation, own: Evaluation | None, guess: float) -> str | None:
    """Why the candidate must not be taken; None when it may, and when nothing is held out.

    `own`: None for the task's initial model. It may do better than a guess by chance, and what has
    been learnt in a round or two worse; but nothing is lost with it, and a swarm that kept it would
    begin again for ever.
    `guess`: the loss of a uniform guess among the known classes.
    """
    if candidate.examples == 0 or candidate.known_loss is None:
        return None
    if not math.isfinite(candidate.loss):
        return "loss is not finite"
    if own is None or own.known_loss is None:
        return None
    if candidate.known_loss > guess >= own.known_loss:
        return f"loss {candidate.known_loss:.3g} is worse than a guess ({guess:.3g})"
    return None
