"""A delta <-> the bytes that travel. A codec is stateless: nothing is remembered per peer.

Bodies come from outside: `decode` accepts exactly what `encode` can produce for the layout at hand
and raises CodecError for all else. A codec is added by putting it into the registry below.
"""

from typing import Protocol

import numpy as np

from gossipd.tensors.layout import Layout, Vector


class CodecError(Exception):
    """A body that cannot be decoded, or a delta that cannot be encoded.

    `reason` is a short stable token that names a counter: "unknown-codec", "wrong-size",
    "not-finite", "out-of-range" (encoding only: larger than the codec's numbers reach).
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Codec(Protocol):
    """One way to write a delta down. Called with deltas and bodies of the right kind and size."""

    def body_size(self, layout: Layout) -> int:
        """Length of a body in bytes; the longest one where it varies."""
        ...

    def encode(self, delta: Vector, layout: Layout) -> bytes:
        """The body of a finite delta. Raises CodecError("out-of-range")."""
        ...

    def decode(self, body: bytes, layout: Layout) -> Vector:
        """A new float32 [P] from a body of any length. Raises CodecError("wrong-size")."""
        ...


class Dense:
    """float32, little-endian. Error bound: 0."""

    def body_size(self, layout: Layout) -> int:
        return 4 * layout.parameters

    def encode(self, delta: Vector, layout: Layout) -> bytes:
        return delta.astype("<f4", copy=False).tobytes()

    def decode(self, body: bytes, layout: Layout) -> Vector:
        _check_size(body, self.body_size(layout))
        return np.frombuffer(body, "<f4").astype(np.float32)


class Half:
    """float16, little-endian, rounded to the nearest.

    Error bound of each number x: max(|x| / 2**11, 2**-25) absolute. From 65520 on a number has no
    float16 and the delta is refused.
    """

    def body_size(self, layout: Layout) -> int:
        return 2 * layout.parameters

    def encode(self, delta: Vector, layout: Layout) -> bytes:
        with np.errstate(over="ignore"):
            half = delta.astype("<f2")
        if not np.isfinite(half).all():
            largest = float(np.abs(delta).max())
            raise CodecError("out-of-range", f"{largest:g} is beyond float16")
        return half.tobytes()

    def decode(self, body: bytes, layout: Layout) -> Vector:
        _check_size(body, self.body_size(layout))
        return np.frombuffer(body, "<f2").astype(np.float32)


_CODECS: dict[str, Codec] = {"dense": Dense(), "half": Half()}


def names() -> tuple[str, ...]:
    """Every codec that this version knows."""
    return tuple(_CODECS)


def body_size(name: str, layout: Layout) -> int:
    """Length in bytes of a body of this codec; the longest one where it varies."""
    return _find(name).body_size(layout)


def encode(name: str, delta: Vector, layout: Layout) -> bytes:
    """The body of `delta`, float32 [P].

    Raises CodecError ("unknown-codec", "not-finite", "out-of-range"); ValueError when the delta is
    not of this layout.
    """
    codec = _find(name)
    layout.check(delta)
    _check_finite(delta)
    return codec.encode(delta, layout)


def decode(name: str, body: bytes, layout: Layout) -> Vector:
    """The delta that `body` holds: a new, finite float32 [P].

    Raises CodecError ("unknown-codec", "wrong-size", "not-finite").
    """
    delta = _find(name).decode(body, layout)
    _check_finite(delta)
    return delta


def _find(name: str) -> Codec:
    codec = _CODECS.get(name)
    if codec is None:
        raise CodecError("unknown-codec", name)
    return codec


def _check_size(body: bytes, expected: int) -> None:
    if len(body) != expected:
        raise CodecError("wrong-size", f"{len(body)} bytes, not {expected}")


def _check_finite(delta: Vector) -> None:
    if not np.isfinite(delta).all():
        raise CodecError("not-finite")
