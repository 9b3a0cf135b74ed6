"""An initial model that is the same bits on every machine, with every version of numpy and torch.

The task's digest holds the hash of its initial model, so machines must agree on it to the last bit.
Each number is made from raw PCG64 output, which numpy guarantees for ever (NEP 19; distributions it
does not), by operations that IEEE 754 rounds in one way only.

The rule is torch's own for linear and convolutional layers, weights and biases alike:
uniform in +-1/sqrt(fan_in) of the layer's weight.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.parameters import fan_in
from gossipd.tensors.layout import Layout

_DOMAIN = b"gossipd/genesis/1"
_MANTISSA_BITS = 24


def portable_genesis(layout: Layout, task: str, seed: int) -> NDArray[np.float32]:
    """float32 [P] for a model of linear and convolutional layers, each its weight before its bias.

    ValueError for a layout with anything else: a buffer, or a bias without a weight.
    """
    vector = np.empty(layout.parameters, dtype=np.float32)
    last: tuple[str, int] | None = None
    for spec, piece in zip(layout.tensors, layout.slices, strict=True):
        module = spec.name.rpartition(".")[0]
        if spec.kind == "weight":
            last = (module, fan_in(spec.shape))
        if spec.kind == "buffer" or last is None or last[0] != module:
            raise ValueError(f"no portable initial value for {spec.name}: it is in no linear layer")
        vector[piece] = _uniform(f"{task}/{seed}/{spec.name}", piece.stop - piece.start, last[1])
    return vector


def _uniform(label: str, count: int, inputs: int) -> NDArray[np.float32]:
    digest = hashlib.blake2b(_DOMAIN + b"/" + label.encode(), digest_size=16).digest()
    generator = np.random.PCG64(int.from_bytes(digest, "big"))
    raw = generator.random_raw(count)
    # k / 2^24 with odd k in (-2^24, 2^24): symmetric, never zero, exact in float64.
    signed = 2 * (raw >> np.uint64(64 - _MANTISSA_BITS)).astype(np.int64) + 1 - 2**_MANTISSA_BITS
    unit: NDArray[np.float64] = signed.astype(np.float64) / 2**_MANTISSA_BITS
    return (unit * (1.0 / math.sqrt(inputs))).astype(np.float32)
