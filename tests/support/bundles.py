"""Bundles in tests: taken apart, changed, put together again."""

from collections.abc import Callable, Sequence

from gossipd.wire import bundle
from gossipd.wire.bundle import Damage, Frame, Kind

Part = tuple[Kind, bytes]


def reader(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: content[offset : offset + length]


def frames(content: bytes) -> list[Frame]:
    """Of a whole bundle."""
    found = list(bundle.scan(reader(content), len(content)))
    assert not any(isinstance(frame, Damage) for frame in found), found
    return [frame for frame in found if isinstance(frame, Frame)]


def parts(content: bytes) -> list[Part]:
    return [(f.kind, content[f.offset : f.offset + f.length]) for f in frames(content)]


def joined(found: Sequence[Part]) -> bytes:
    return b"".join(piece for kind, payload in found for piece in bundle.frame(kind, payload))


def flipped(content: bytes, offset: int) -> bytes:
    """With one bit changed."""
    return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]


def changed(content: bytes, kind: Kind, number: int = 0) -> bytes:
    """With one bit changed in the middle of the payload of one part."""
    frame = [f for f in frames(content) if f.kind == kind][number]
    return flipped(content, frame.offset + frame.length // 2)
