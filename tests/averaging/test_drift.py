"""Ten thousand merges later the weights are as large as they were.

A target that is 1 % too large diverges within some thousand merges (a note of the paper's author),
so an error that no single merge shows would show here.
"""

import numpy as np
import pytest

from gossipd.averaging.variance import variance_corrected
from support.vectors import flat, normal

MERGES = 10_000
LAYOUT = flat(100)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_spread_does_not_drift(scale: float) -> None:
    """Nodes start from permutations of the same weights, and between merges they "train" by
    exchanging two of them: models differ all the time, and nothing but a merge changes a variance.
    """
    chance = np.random.default_rng(7)
    start = normal(LAYOUT, 1, scale)
    nodes = [chance.permutation(start) for _ in range(4)]
    apart = 0
    for _ in range(MERGES):
        me, first, second = chance.choice(4, size=3, replace=False)
        merged = variance_corrected(LAYOUT, nodes[me], [nodes[first], nodes[second]])
        apart += not np.array_equal(merged, nodes[first])
        a, b = chance.integers(LAYOUT.parameters, size=2)
        merged[[a, b]] = merged[[b, a]]
        nodes[me] = merged
    ratios = [LAYOUT.variances(node)[0] / LAYOUT.variances(start)[0] for node in nodes]
    assert ratios == pytest.approx([1.0] * 4, abs=1e-5)
    assert apart > 0.9 * MERGES
