"""An entropy stage: another codec's body, its bytes by how often each of them occurs.

Quantised bodies are mostly zeros and hardly ever repeat a string, so this is deflate (RFC 1951)
with Huffman codes alone, which is fast: benchmarks.codecs has what it costs and saves.
"""

import zlib

from gossipd.tensors.codec import Body, Codec, CodecError, Sizes
from gossipd.tensors.layout import Layout, Vector

RAW = -zlib.MAX_WBITS
"""No header and no checksum: bodies are verified by their chunks' hashes."""
LEAST_FACTOR = 1032
"""Deflate makes nothing shorter than by this factor (zlib's technical details)."""


class Deflated:
    """`inner`'s body, deflated; its error bound is the inner codec's."""

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def sizes(self, layout: Layout) -> Sizes:
        least, most = self._inner.sizes(layout)
        # The longest is zlib's own bound (deflateBound) for what cannot be made shorter.
        return Sizes(
            least // LEAST_FACTOR + 1, most + (most >> 12) + (most >> 14) + (most >> 25) + 13
        )

    def encode(self, delta: Vector, layout: Layout, seed: int) -> bytes:
        stage = zlib.compressobj(wbits=RAW, strategy=zlib.Z_HUFFMAN_ONLY)
        return stage.compress(self._inner.encode(delta, layout, seed)) + stage.flush()

    def decode(self, body: Body, layout: Layout) -> Vector:
        sizes = self._inner.sizes(layout)
        stage = zlib.decompressobj(wbits=RAW)
        try:
            # No more than this is ever unpacked, whatever the body would grow to.
            inner = stage.decompress(body, sizes.most)
            rest = stage.decompress(stage.unconsumed_tail, 1) if not stage.eof else b""
        except zlib.error as error:
            raise CodecError("malformed", str(error)) from None
        if rest or not stage.eof or stage.unused_data:
            raise CodecError("malformed", "the deflated bytes do not end where the body does")
        sizes.check(inner)
        return self._inner.decode(inner, layout)
