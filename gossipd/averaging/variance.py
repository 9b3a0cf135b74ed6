"""Variance-corrected averaging (arXiv 2404.04616).

The average of models that do not agree has less spread than any of them, and a network of small
weights sits on a plateau until the models correlate. So each weight tensor's spread about its mean
is scaled back to what its inputs had.
"""

import math
from collections.abc import Sequence

import numpy as np

from gossipd.averaging.fused import LARGE, mean_and_moments
from gossipd.averaging.mean import mean, shares
from gossipd.tensors.layout import Layout, Moments, Vector

SELF_WEIGHT = 0.5
"""beta of the paper."""
RESCALED = 32_768
"""Numbers rescaled at once: they stay in the cache next to the core (ours, measured)."""

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
    `believed`) belong to the received models.

    Equal inputs give the very same bits. Finite inputs give a finite result unless one of them
    comes near the end of float32; what overflows is infinite, for the gate to refuse.

    Raises ValueError for no received model, vectors not of this layout, and unusable weights.
    """
    if not received:
        raise ValueError("variance-corrected averaging of no received model")
    if not 0.0 <= self_weight <= 1.0:
        raise ValueError(f"a self weight of {self_weight} is not in [0, 1]")
    parts = shares(weights, len(received))
    models, mixed = list(received), parts
    if own is not None:
        models = [own, *received]
        mixed = [self_weight, *((1.0 - self_weight) * part for part in parts)]
    for model in models:
        layout.check(model)
    claims = declarations(layout, len(received), declared)
    averaged = np.empty(layout.parameters, np.float32)
    for index, (spec, piece) in enumerate(zip(layout.tensors, layout.slices, strict=True)):
        tensors = [model[piece] for model in models]
        if spec.kind != "weight":
            averaged[piece] = mean(tensors, mixed)
            continue
        spreads = mean_and_moments(tensors, mixed, averaged[piece])
        found = spreads.inputs[len(models) - len(received) :]
        target = weighted(believed(found, [claim[index] for claim in claims]), parts)
        correct(averaged[piece], spreads.mean, target)
    return averaged


def declarations(
    layout: Layout, models: int, declared: Declared | None
) -> list[Sequence[float | None]]:
    """What the authors of so many models say of each tensor's variance, [model][tensor].

    A declaration without exactly one number per tensor is none. ValueError for a wrong number of
    them.
    """
    nothing: list[float | None] = [None] * len(layout.tensors)
    if declared is None:
        return [nothing] * models
    if len(declared) != models:
        raise ValueError(f"{len(declared)} declarations for {models} models")
    return [said if said and len(said) == len(nothing) else nothing for said in declared]


def believed(found: Sequence[Moments], declared: Sequence[float | None]) -> list[float]:
    """The variances of one tensor in each model that their average is corrected to.

    Ours: stochastic rounding in a codec adds variance that averaging removes again, so correcting
    to what was decoded inflates the weights. What the author declares is used instead, between 0
    and the decoded variance: it can only make the correction smaller.
    """
    return [
        here.variance if said is None else max(0.0, min(said, here.variance))
        for here, said in zip(found, declared, strict=True)
    ]


def weighted(values: Sequence[float], parts: Sequence[float]) -> float:
    """The mean of values >= 0 by shares that sum to 1; exactly the value when all are equal."""
    first = values[0]
    change = math.fsum(p * (value - first) for value, p in zip(values, parts, strict=True))
    return max(first + change, 0.0)


def correct(tensor: Vector, now: Moments, target: float) -> None:
    """Scale a weight tensor about its mean, in place, from the moments that it has to a variance.

    A tensor without variance (constant, or a single number) stays as it is, and so does every bit
    of one whose variance is the target. Departure from the authors' code: no epsilon, their 1e-4
    under-corrects small layers.

    LARGE tensors in float32: a number x is off by at most 2^-22 * (|x - mean| * factor + |mean|).
    """
    if not 0.0 < now.variance != target:
        return
    factor = math.sqrt(target / now.variance)
    for start in range(0, tensor.size, RESCALED):
        piece = tensor[start : start + RESCALED]
        block = piece if tensor.size >= LARGE else piece.astype(np.float64)
        with np.errstate(over="ignore"):
            block -= now.mean
            block *= factor
            block += now.mean
            piece[:] = block
