"""Rounding at random must not make a swarm's weights grow: that is what declared variances are for.

Averages of quantised models, each encoded as `runtime.models` does it, corrected by
`averaging.variance` as a round's aggregator does it.
"""

import numpy as np
import pytest

from gossipd.averaging.variance import variance_corrected
from gossipd.tensors.codecs import decode, encode
from gossipd.tensors.layout import Layout, TensorSpec
from support.vectors import normal

LAYOUT = Layout((TensorSpec("w", (20, 100), "weight"),))
ROUNDS, TRAINERS = 40, 5


def growth(codec: str, *, declared: bool) -> float:
    """How many times its norm a model has after rounds in which nodes agree but for small noise."""
    model = start = normal(LAYOUT, 1, scale=0.05)
    for number in range(ROUNDS):
        common = normal(LAYOUT, 1000 + number, scale=0.002)
        received, said = [], []
        for node in range(TRAINERS):
            seed = number * TRAINERS + node
            delta = common + normal(LAYOUT, 10_000 + seed, scale=0.002)
            said.append(LAYOUT.variances(model + delta))
            received.append(model + decode(codec, encode(codec, delta, LAYOUT, seed), LAYOUT))
        model = variance_corrected(LAYOUT, None, received, declared=said if declared else None)
    return float(np.linalg.norm(model) / np.linalg.norm(start))


def test_corrected_to_what_was_declared_weights_stay_as_they_are_in_float32() -> None:
    exact = growth("dense", declared=True)
    assert growth("q2", declared=True) == pytest.approx(exact, rel=0.01)
    assert growth("q8", declared=True) == pytest.approx(exact, rel=0.01)


def test_corrected_to_what_was_decoded_they_grow() -> None:
    """Else the test above would show nothing."""
    assert growth("q2", declared=False) > 1.03 * growth("dense", declared=False)


def test_decoding_takes_up_variance() -> None:
    """Why: the decoded model has the variance of its rounding on top of its own."""
    delta = normal(LAYOUT, 1)
    (before,) = LAYOUT.variances(delta)
    (after,) = LAYOUT.variances(decode("q2", encode("q2", delta, LAYOUT), LAYOUT))
    assert after > 2 * before
