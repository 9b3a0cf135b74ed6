"""Variance-corrected averaging (arXiv 2404.04616).

The average of models that do not agree has less spread than any of them, and a network of small
weights sits on a plateau until the models correlate. So each weight tensor's spread about its mean
is scaled back to what its inputs had.
"""

import math
from collections.abc import Sequence

import numpy as np

from gossipd.averaging.mean import BLOCK, mean, shares
from gossipd.tensors.layout import Layout, Vector

SELF_WEIGHT = 0.5
"""beta of the paper."""

Declared = Sequence[Sequence[float] | None]
"""Per model: the variance of each tensor before encoding as its author signed it, or None."""


def variance_corrected(
    layout: Layout,
    own: Vector | None,
    received: Sequence[Vector],
    *,
    self_weight: float = SELF_WEIGHT,
    weights: Sequence[float] | None = None,
    declared: Declared | None = None,
) -> Vector:
    """One model of at least one received one and, if given, the own one; all float32 [P].

    With `own`, the paper's rule:

        o  = beta * w + (1 - beta) * mean_j(m_j)
        v* = mean_j(Var(m_j))       the received models' variances; own model excluded

    Departure from the paper: without `own` (an aggregation), o = mean_j(m_j) and v* is the weighted
    mean of all inputs' variances. `weights` (equal by default) and `declared` (see
    `input_variances`) belong to the received models.

    Equal inputs give the very same bits. Finite inputs give a finite result unless one of them
    comes near the end of float32; what overflows is infinite, for the gate to refuse.

    Raises ValueError for no received model, vectors not of this layout, and unusable weights.
    """
    if not received:
        raise ValueError("variance-corrected averaging of no received model")
    if not 0.0 <= self_weight <= 1.0:
        raise ValueError(f"a self weight of {self_weight} is not in [0, 1]")
    parts = shares(weights, len(received))
    if own is None:
        averaged = mean(received, parts)
    else:
        others = [(1.0 - self_weight) * part for part in parts]
        averaged = mean([own, *received], [self_weight, *others])
    variances = input_variances(layout, received, declared)
    targets = [weighted(column, parts) for column in zip(*variances, strict=True)]
    correct(layout, averaged, targets)
    return averaged


def input_variances(
    layout: Layout, models: Sequence[Vector], declared: Declared | None = None
) -> list[tuple[float, ...]]:
    """The variances [model][tensor] that an average of `models` is corrected to.

    Ours: stochastic rounding in a codec adds variance that averaging removes again, so correcting
    to what was decoded inflates the weights. What the author declares is used instead, between 0
    and the decoded variance: it can only make the correction smaller. A declaration without exactly
    one number per tensor is none.
    """
    measured = [layout.variances(model) for model in models]
    if declared is None:
        return measured
    return [
        decoded
        if said is None or len(said) != len(decoded)
        else tuple(max(0.0, min(pair)) for pair in zip(said, decoded, strict=True))
        for said, decoded in zip(declared, measured, strict=True)
    ]


def weighted(values: Sequence[float], parts: Sequence[float]) -> float:
    """The mean of values >= 0 by shares that sum to 1; exactly the value when all are equal."""
    first = values[0]
    change = math.fsum(p * (value - first) for value, p in zip(values, parts, strict=True))
    return max(first + change, 0.0)


def correct(layout: Layout, vector: Vector, targets: Sequence[float]) -> None:
    """Scale each weight tensor of `vector` about its mean, in place, to its target variance.

    A tensor without variance (constant, or a single number) stays as it is, and so does every bit
    of one whose variance is the target. Departure from the authors' code: no epsilon, their 1e-4
    under-corrects small layers.
    """
    every = zip(layout.tensors, layout.slices, layout.moments(vector), targets, strict=True)
    for spec, piece, now, target in every:
        if spec.kind == "weight" and 0.0 < now.variance != target:
            _rescale(vector[piece], now.mean, math.sqrt(target / now.variance))


def _rescale(values: Vector, centre: float, factor: float) -> None:
    """values = centre + (values - centre) * factor, in place."""
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK].astype(np.float64)
        block -= centre
        block *= factor
        block += centre
        with np.errstate(over="ignore"):
            values[start : start + BLOCK] = block
