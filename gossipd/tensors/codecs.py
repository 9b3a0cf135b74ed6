"""Every codec by its name, and the checks that all of them share.

    dense           float32                                                 error: none
    half            float16                                                 2**-11 of each number
    q8, q4, q3, q2  multiples of a row's scale, rounded stochastically      less than one step
    topk            the largest numbers alone, eight bits each              what is left out
    NAME+deflate    a quantised body, its bytes entropy-coded               as NAME (q3 only so)

Each one's class says how its bodies are made and, exactly, what it may be off by. A codec is added
by putting it into the registry below; a body's format never changes under its name.
"""

import numpy as np

from gossipd.tensors.codec import Body, Codec, CodecError, Sizes
from gossipd.tensors.deflated import Deflated
from gossipd.tensors.floats import Dense, Half
from gossipd.tensors.layout import Layout, Vector
from gossipd.tensors.quantised import Quantised
from gossipd.tensors.sparse import TopK

__all__ = ["Body", "CodecError", "Sizes", "body_sizes", "decode", "encode", "names"]

TOP_ONE_IN = 50
"""Of how many numbers `topk` keeps one: ours, measured by benchmarks.codecs."""
_Q8, _Q4, _Q2 = Quantised(127, bits=8), Quantised(7, bits=4), Quantised(1, bits=2)

_CODECS: dict[str, Codec] = {
    "dense": Dense(),
    "half": Half(),
    "q8": _Q8,
    "q4": _Q4,
    "q2": _Q2,
    "topk": TopK(TOP_ONE_IN),
    "q8+deflate": Deflated(_Q8),
    "q4+deflate": Deflated(_Q4),
    # Seven multiples have no packing of their own: in four bits each, deflate finds what is unused.
    "q3+deflate": Deflated(Quantised(3, bits=4)),
    "q2+deflate": Deflated(_Q2),
}


def names() -> tuple[str, ...]:
    """Every codec that this version knows."""
    return tuple(_CODECS)


def body_sizes(name: str, layout: Layout) -> Sizes:
    """How long a body of this codec can be, in bytes. Raises CodecError("unknown-codec")."""
    return _find(name).sizes(layout)


def encode(name: str, delta: Vector, layout: Layout, seed: int = 0) -> bytes:
    """The body of `delta`, float32 [P].

    The same bytes whenever the arguments are the same; where rounding is random, another `seed`
    (>= 0) draws anew. Raises CodecError ("unknown-codec", "not-finite", "out-of-range"); ValueError
    when the delta is not of this layout.
    """
    codec = _find(name)
    layout.check(delta)
    _check_finite(delta)
    return codec.encode(delta, layout, seed)


def decode(name: str, body: Body, layout: Layout) -> Vector:
    """The delta that `body` holds: a new, finite float32 [P].

    Raises CodecError ("unknown-codec", "wrong-size", "malformed", "not-finite"). A body of another
    size is refused before anything is allocated for it.
    """
    codec = _find(name)
    codec.sizes(layout).check(body)
    delta = codec.decode(body, layout)
    _check_finite(delta)
    return delta


def _find(name: str) -> Codec:
    codec = _CODECS.get(name)
    if codec is None:
        raise CodecError("unknown-codec", name)
    return codec


def _check_finite(delta: Vector) -> None:
    if not np.isfinite(delta).all():
        raise CodecError("not-finite")
