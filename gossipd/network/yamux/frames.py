"""Yamux frames: 12 bytes of header, and a body when the frame is DATA."""

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct("!BBHII")
"""Version, kind, flags, stream id, length."""
VERSION = 0
SYN, ACK, FIN, RST = 1, 2, 4, 8
GOODBYE_NORMAL = 0
GOODBYE_PROTOCOL_ERROR = 1
INITIAL_WINDOW = 256 * 1024
"""Specification: what a new stream may send without an update."""
NOISE_PLAINTEXT = 65519
"""The most that one Noise message carries: 65,535 bytes less the 16 of its tag."""
FRAME_BYTES = NOISE_PLAINTEXT - HEADER.size
"""Longest body that we send: such a frame fills one Noise message."""


class Kind(enum.IntEnum):
    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class ProtocolError(Exception):
    """The peer broke the specification."""


class Frame(NamedTuple):
    kind: Kind
    flags: int
    number: int
    """Stream id; 0 is the connection itself."""
    length: int
    """Of the body; else the increment, the ping's value or the reason to go away."""


def encode(
    kind: Kind, flags: int, number: int, length: int, body: bytes | memoryview = b""
) -> bytes:
    return HEADER.pack(VERSION, kind, flags, number, length) + body


class Parser:
    """Bytes as they arrive -> frames, each DATA frame followed by its body in pieces."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        """What `data` completes. Raises ProtocolError, after which the parser is of no more use."""
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                yield piece
                continue
            piece = data[position : position + HEADER.size - len(self._header)]
            position += len(piece)
            self._header += piece
            if len(self._header) < HEADER.size:
                return
            version, kind, flags, number, length = HEADER.unpack(self._header)
            self._header = b""
            if version != VERSION or kind > Kind.GO_AWAY:
                raise ProtocolError(f"version {version}, kind {kind}")
            if kind == Kind.DATA:
                self._left = length
            yield Frame(Kind(kind), flags, number, length)
