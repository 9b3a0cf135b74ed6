"""What a codec is: a delta <-> the bytes that travel.

Bodies come from outside: a codec knows how many bytes a body can have before it sees one, and its
`decode` takes what `encode` can produce for the layout at hand and raises CodecError for all else.
A codec is stateless; what is remembered of a link lies in `feedback`.
"""

from typing import NamedTuple, Protocol

from gossipd.tensors.layout import Layout, Vector

Body = bytes | memoryview
"""Read where it lies, never copied whole."""


class CodecError(Exception):
    """A body that cannot be decoded, or a delta that cannot be encoded.

    `reason` is a short stable token that names a counter: "unknown-codec", "wrong-size",
    "not-finite", "malformed" (bytes that no encoder writes), "out-of-range" (encoding only: larger
    than the codec's numbers reach).
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Sizes(NamedTuple):
    """The shortest and the longest body of a layout, in bytes; equal where it does not vary."""

    least: int
    most: int

    def check(self, body: Body) -> None:
        """Raises CodecError("wrong-size")."""
        if not self.least <= len(body) <= self.most:
            expected = str(self.most) if self.least == self.most else f"{self.least} to {self.most}"
            raise CodecError("wrong-size", f"{len(body)} bytes, not {expected}")


class Codec(Protocol):
    """One way to write a delta down. Called with finite deltas and bodies of the right size."""

    def sizes(self, layout: Layout) -> Sizes:
        """How long a body can be."""
        ...

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        """The body of a delta; `seed` >= 0 is another draw where rounding is random.

        Equal arguments give equal bytes. Raises CodecError("out-of-range").
        """
        ...

    def decode(self, body: Body, layout: Layout) -> Vector:
        """A new float32 [P], not necessarily finite. Raises CodecError("malformed", ...)."""
        ...
