"""Codecs that write every number as a float of its own."""

import numpy as np

from gossipd.tensors.codec import Body, CodecError, Sizes
from gossipd.tensors.layout import Layout, Vector


class Dense:
    """float32, little-endian. Error bound: 0."""

    def sizes(self, layout: Layout) -> Sizes:
        return Sizes(4 * layout.parameters, 4 * layout.parameters)

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        return delta.astype("<f4", copy=False).tobytes()

    def decode(self, body: Body, layout: Layout) -> Vector:
        return np.frombuffer(body, "<f4").astype(np.float32)


class Half:
    """float16, little-endian, rounded to the nearest.

    Error bound of each number x: max(|x| / 2**11, 2**-25) absolute. From 65520 on a number has no
    float16 and the delta is refused.
    """

    def sizes(self, layout: Layout) -> Sizes:
        return Sizes(2 * layout.parameters, 2 * layout.parameters)

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        with np.errstate(over="ignore"):
            half = delta.astype("<f2")
        if not np.isfinite(half).all():
            largest = float(np.abs(delta).max())
            raise CodecError("out-of-range", f"{largest:g} is beyond float16")
        return half.tobytes()

    def decode(self, body: Body, layout: Layout) -> Vector:
        return np.frombuffer(body, "<f2").astype(np.float32)
