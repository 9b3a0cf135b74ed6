"""Merging models that learnt apart: each of them knows work that the others do not contain.

Ours, after Bristle's output layer: plain weights by data wipe a minority out, equal weights hurt
the host of a lone node. How much the sides' labels overlap decides between the two, and each row of
the output layer goes to the sides that know its class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum
from typing import Literal

import numpy as np

from gossipd.averaging.fused import mean_and_moments, spreads_of
from gossipd.averaging.mean import mean, shares
from gossipd.averaging.variance import believed, correct, declarations, weighted
from gossipd.tensors.layout import Layout, Vector, content_hash

Average = Literal["variance_corrected", "mean"]
_Key = tuple[int, tuple[int, ...], tuple[float, ...], float, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the models that meet, and the data behind the work that only it holds."""

    vector: Vector
    """float32 [P]."""
    examples: int
    """D: examples of the authors of whom this side holds more steps than the others; >= 0."""
    class_counts: Sequence[int] | None
    """Their label profile, one count per class; None where it is unknown or a regression."""
    declared: Sequence[float] | None = None
    """Variance of each tensor before encoding, as the author signed it."""
    fresh: float = 1.0
    """How much of what those authors have taught this side is new to the others, in [0, 1]."""
    shared: Sequence[int] | None = None
    """Class counts behind what it has learnt and the others have too; None counts as nothing."""


def merge_concurrent(
    layout: Layout,
    sides: Sequence[Side],
    average: Average = "variance_corrected",
) -> Vector:
    """One model, float32 [P], of two or more concurrent ones. The order of `sides` has no effect
    on a single bit, so two islands that meet make the same model.

        overlap = sum_c min(share_a(c), share_b(c))              1 where labels are unknown
        weight of a side in all layers = overlap * D_side / sum(D) + (1 - overlap) / sides
        row c of the output layer (and its bias) = by the sides' counts of class c; where nobody
            counts any, and where a side's labels are unknown, by the layers' weights

    Ours: with more than two sides the overlap is the mean over all pairs. Sides that have met
    before weigh by how much of each is new: instead of an equal share such a side gets that of its
    `fresh` part among all, but no more than an equal share, the side with most examples the rest;
    what is `shared` counts in the rows by the layers' weights. Else a late copy of what was merged
    a round ago would count half again. Taken for itself, not among all, the part shrinks for ever
    between islands that meet again and again, and with it what they learn from each other
    (scenario `sneakernet` before: worst .66 to .74 in the end, now .79 to .86; three seeds).
    "variance_corrected"
    then corrects to the weighted mean of the sides' variances, in the output layer by the mean of
    its rows' weights: a side that has no row there has no say in their spread either.

    Raises ValueError for fewer than two sides, and vectors not of this layout.
    """
    if len(sides) < 2:
        raise ValueError("a merge of fewer than two sides")
    for side in sides:
        layout.check(side.vector)
    sides = _ordered(sides)
    return _weighed(layout, sides, _layer_weights(sides), average)


def _weighed(
    layout: Layout,
    sides: Sequence[Side],
    layers: list[float],
    average: Average,
) -> Vector:
    """The sides by these weights, and by the counts of a row's class where those are known."""
    vectors = [side.vector for side in sides]
    rows = _row_weights(layout, sides, layers)
    declared = declarations(layout, len(sides), [side.declared for side in sides])

    merged = np.empty(layout.parameters, np.float32)
    for index, (spec, piece) in enumerate(zip(layout.tensors, layout.slices, strict=True)):
        out, tensors, parts = merged[piece], [vector[piece] for vector in vectors], layers
        corrected = average == "variance_corrected" and spec.kind == "weight"
        if rows is not None and spec.name in layout.output:
            _mean_of_rows(out, tensors, rows)
            parts = [fsum(column) / len(rows) for column in zip(*rows, strict=True)]
            spreads = spreads_of(tensors, out) if corrected else None
        elif corrected:
            spreads = mean_and_moments(tensors, layers, out)
        else:
            out[:], spreads = mean(tensors, layers), None
        if spreads is not None:
            said = [declaration[index] for declaration in declared]
            correct(out, spreads.mean, weighted(believed(spreads.inputs, said), parts))
    return merged


def overlap(first: Sequence[int] | None, second: Sequence[int] | None) -> float:
    """How far two label profiles agree: 0 for disjoint labels, 1 for equal shares or unknown."""
    if first is None or second is None or len(first) != len(second):
        return 1.0
    total_first, total_second = sum(first), sum(second)
    if not total_first or not total_second:
        return 1.0
    pairs = zip(first, second, strict=True)
    return min(fsum(min(a / total_first, b / total_second) for a, b in pairs), 1.0)


def _ordered(sides: Sequence[Side]) -> list[Side]:
    """In an order that depends on what they are alone. Models are hashed, which takes longer than
    to average them, only where nothing else tells two sides apart."""
    keys = [_key(side) for side in sides]

    def order(index: int) -> tuple[_Key, bytes]:
        key = keys[index]
        return key, content_hash(sides[index].vector) if keys.count(key) > 1 else b""

    return [sides[index] for index in sorted(range(len(sides)), key=order)]


def _key(side: Side) -> _Key:
    return (
        side.examples,
        tuple(side.class_counts or ()),
        tuple(side.declared or ()),
        side.fresh,
        tuple(side.shared or ()),
    )


def _layer_weights(sides: Sequence[Side]) -> list[float]:
    pairs = [overlap(a.class_counts, b.class_counts) for a, b in combinations(sides, 2)]
    common = fsum(pairs) / len(pairs)
    examples = [side.examples for side in sides]
    by_data = shares(examples if any(examples) else None, len(sides))
    fresh = fsum(side.fresh for side in sides)
    alike = [min(side.fresh / fresh if fresh else 1.0, 1.0 / len(sides)) for side in sides]
    host = max(range(len(sides)), key=examples.__getitem__)
    alike[host] = 1.0 - fsum(alike[:host] + alike[host + 1 :])
    return [common * a + (1.0 - common) * b for a, b in zip(by_data, alike, strict=True)]


def _row_weights(
    layout: Layout, sides: Sequence[Side], layers: list[float]
) -> list[list[float]] | None:
    """Shares [class][side] in the output layer's rows; None where rows follow the layers."""
    profiles = [side.class_counts or () for side in sides]
    if any(len(profile) != layout.classes or not any(profile) for profile in profiles):
        return None
    nothing: Sequence[int] = [0] * len(profiles[0])
    known = [
        side.shared if side.shared and len(side.shared) == layout.classes else nothing
        for side in sides
    ]
    columns = zip(zip(*profiles, strict=True), zip(*known, strict=True), strict=True)
    return [
        shares([n + w * old for n, old, w in zip(new, both, layers, strict=True)], len(sides))
        if any(new)
        else layers
        for new, both in columns
    ]


def _mean_of_rows(out: Vector, tensors: Sequence[Vector], rows: list[list[float]]) -> None:
    """Write the mean of flat `tensors` into `out`, each row by its own shares."""
    by_row = [tensor.reshape(len(rows), -1) for tensor in tensors]
    for index, (target, parts) in enumerate(zip(out.reshape(len(rows), -1), rows, strict=True)):
        target[:] = mean([tensor[index] for tensor in by_row], parts)
