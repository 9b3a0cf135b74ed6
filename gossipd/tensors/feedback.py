"""What a link remembers, so that a codec that leaves much out loses nothing for good.

`topk` is biased: what is never among the largest is never sent. Two ways to send it later:

`Estimate`, EF21 (Richtarik, Sokolov, Fatkhullin 2021, arXiv 2106.05203): both ends hold the same
estimate g of what the sender has. For a contraction C and an x that comes to rest, g reaches x.

    c = C(x - g)        travels
    g <- g + c          on both ends

`Residual`, the older error feedback (Stich, Cordonnier, Jaggi 2018, arXiv 1809.07599): the sender
alone adds what it left out to what it sends next. For deltas to a reference that the receiver has
in any case, so that it need not remember anything and may be another one each time.

    c = C(x + e)        travels, and is what the receiver takes
    e <- x + e - c      on the sender

Both are values: a step makes the next one, and who holds them keeps the one that has come true.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gossipd.tensors import codecs
from gossipd.tensors.codec import Body, CodecError
from gossipd.tensors.layout import HASH_BYTES, Layout, Vector, content_hash


@dataclass(frozen=True)
class Estimate:
    """What the receiver of a link holds of what its sender has.

    The sender goes on to the next estimate once the receiver has said that it has it. Both name an
    estimate by `id`; when they do not name the same one (a restart without its state, a lost
    answer) the link begins again with a full send: `Estimate(nothing(layout)).send(...)` by a
    codec that leaves little out.
    """

    vector: Vector
    """float32 [P]. Not to be written to."""

    @cached_property
    def id(self) -> bytes:
        """Its content hash."""
        return content_hash(self.vector)

    def send(
        self, codec: str, target: Vector, layout: Layout, seed: int = 0
    ) -> tuple[bytes, "Estimate"]:
        """The body that brings the receiver nearer to `target`, and where it then stands.

        Raises as `codecs.encode` does; CodecError("not-finite") too when the estimate overflows.
        """
        with np.errstate(over="ignore"):
            gap = target - self.vector
        body = codecs.encode(codec, gap, layout, seed)
        return body, self.receive(codec, body, layout)

    def receive(self, codec: str, body: Body, layout: Layout) -> "Estimate":
        """Where the receiver stands after `body`; CodecError as `codecs.decode` does, and
        "not-finite" when the estimate overflows."""
        return Estimate(_sum(codecs.decode(codec, body, layout), self.vector))

    def to_bytes(self) -> bytes:
        """Its state for a restart."""
        return _kept(self.vector)

    @classmethod
    def from_bytes(cls, state: Body, layout: Layout) -> "Estimate":
        """CodecError ("wrong-size", "not-finite", "malformed") for what is damaged or of another
        layout: then the link begins again."""
        return cls(_restored(state, layout))


@dataclass(frozen=True)
class Residual:
    """What a sender has left out so far. Losing it loses that, and nothing else."""

    vector: Vector
    """float32 [P]. Not to be written to."""

    def send(
        self, codec: str, delta: Vector, layout: Layout, seed: int = 0
    ) -> tuple[bytes, "Residual"]:
        """The body for `delta` and what was left out before, and what is left out now.

        Raises as `codecs.encode` does; CodecError("not-finite") too when the sum overflows.
        """
        whole = _sum(delta.copy(), self.vector)
        body = codecs.encode(codec, whole, layout, seed)
        whole -= codecs.decode(codec, body, layout)
        return body, Residual(whole)

    def to_bytes(self) -> bytes:
        """Its state for a restart."""
        return _kept(self.vector)

    @classmethod
    def from_bytes(cls, state: Body, layout: Layout) -> "Residual":
        """CodecError as `Estimate.from_bytes`; then it begins with nothing left out."""
        return cls(_restored(state, layout))


def nothing(layout: Layout) -> Vector:
    """float32 [P] of zeros: what a link begins with."""
    return np.zeros(layout.parameters, np.float32)


def _sum(into: Vector, other: Vector) -> Vector:
    with np.errstate(over="ignore"):
        into += other
    if not np.isfinite(into).all():
        raise CodecError("not-finite", "the sum overflows")
    return into


def _kept(vector: Vector) -> bytes:
    return content_hash(vector) + vector.astype("<f4", copy=False).tobytes()


def _restored(state: Body, layout: Layout) -> Vector:
    whole = memoryview(state)
    vector = codecs.decode("dense", whole[HASH_BYTES:], layout)
    if content_hash(vector) != whole[:HASH_BYTES]:
        raise CodecError("malformed", "the state is damaged")
    return vector
