"""The averaging rules once more, as plainly as they can be written: all float64, no blocks.

Written from the rules, not from gossipd.averaging, which is held against it.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gossipd.averaging.concurrent import Side
from gossipd.tensors.layout import Layout, Vector

Wide = NDArray[np.float64]


def mean(models: Sequence[Vector], weights: Sequence[float] | None = None) -> Wide:
    stack = np.stack([model.astype(np.float64) for model in models])
    return np.asarray(np.average(stack, axis=0, weights=weights))


def target(variances: Sequence[float], said: Sequence[float | None], weights: Wide) -> float:
    total = 0.0
    for variance, claim, weight in zip(variances, said, weights, strict=True):
        total += weight * (variance if claim is None else min(variance, claim))
    return total


def rescaled(tensor: Wide, variance: float) -> Wide:
    now = tensor.var()
    if now == 0:
        return tensor
    return np.asarray(tensor.mean() + (tensor - tensor.mean()) * np.sqrt(variance / now))


def variance_corrected(
    layout: Layout,
    own: Vector | None,
    received: Sequence[Vector],
    beta: float,
    weights: Sequence[float] | None = None,
    declared: Sequence[Sequence[float]] | None = None,
) -> Wide:
    out = mean(received, weights)
    if own is not None:
        out = beta * own.astype(np.float64) + (1 - beta) * out
    shares = np.ones(len(received)) if weights is None else np.array(weights)
    shares = shares / shares.sum()
    for index, (spec, piece) in enumerate(zip(layout.tensors, layout.slices, strict=True)):
        if spec.kind == "weight":
            variances = [float(m[piece].astype(np.float64).var()) for m in received]
            said = [None if declared is None else row[index] for row in declared or received]
            out[piece] = rescaled(out[piece], target(variances, said, shares))
    return out


def overlap(sides: Sequence[Side]) -> float:
    values = []
    for a, b in combinations(sides, 2):
        if a.class_counts is None or b.class_counts is None:
            values.append(1.0)
        else:
            first = np.array(a.class_counts) / sum(a.class_counts)
            second = np.array(b.class_counts) / sum(b.class_counts)
            values.append(float(np.minimum(first, second).sum()))
    return sum(values) / len(values)


def merge_concurrent(layout: Layout, sides: Sequence[Side], average: str) -> Wide:
    common = overlap(sides)
    examples = np.array([side.examples for side in sides], np.float64)
    layers = common * examples / examples.sum() + (1 - common) / len(sides)
    labelled = all(side.class_counts is not None for side in sides)
    out = np.zeros(layout.parameters)
    for spec, piece in zip(layout.tensors, layout.slices, strict=True):
        tensors = [side.vector[piece].astype(np.float64).reshape(spec.shape) for side in sides]
        weights = [np.full(spec.shape, layer) for layer in layers]
        if spec.name in layout.output and labelled:
            counts = np.array([side.class_counts for side in sides], np.float64)
            for row in range(spec.shape[0]):
                column = counts[:, row]
                for weight, share in zip(
                    weights, column / column.sum() if column.sum() else layers, strict=True
                ):
                    weight[row] = share
        merged = np.sum([w * t for w, t in zip(weights, tensors, strict=True)], axis=0)
        if spec.kind == "weight" and average == "variance_corrected":
            shares = np.array([weight.mean() for weight in weights])
            merged = rescaled(
                merged, target([t.var() for t in tensors], [None] * len(sides), shares)
            )
        out[piece] = merged.reshape(-1)
    return out
