"""A bundle: signed documents and the bodies of updates as one file, to be carried by hand.

    file   = frame*                           the first one a header, the last one an end
    frame  = mark (4) kind (1) length (8, big-endian) CRC-32 of these (4), payload of that length

Nothing in it is believed for being in it: documents are signed, bodies are named by the hashes in
their manifests. So frames only have to be found: a stick that was pulled too early, or has bad
sectors, loses what is damaged, and the rest can be read.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack, unpack
from gossipd.wire.identifiers import DIGEST_BYTES
from gossipd.wire.messages import Digest, PeerId

VERSION = 1
MARK = b"\xf6gsB"
"""What a frame begins with: not text, so that no text file is taken for a bundle."""
_HEAD = struct.Struct(">4sBQ")
HEAD_BYTES = _HEAD.size + 4
SEARCHED_BYTES = 64 * limits.KIB
"""How much of a file is looked through at once for the next mark."""

Kind = Literal[
    "header", "record", "claim", "revocation", "manifest", "body", "end", "model", "unknown"
]
"""model: what bodies are deltas against. unknown: what only newer versions know; passed over."""
_KINDS: dict[int, Kind] = {
    0: "header",
    1: "record",
    2: "claim",
    3: "revocation",
    4: "manifest",
    5: "body",
    6: "end",
    7: "model",
}
_NUMBERS: dict[Kind, int] = {kind: number for number, kind in _KINDS.items()}
_LONGEST: dict[Kind, int] = {
    "header": limits.TEXT_BYTES,
    "record": limits.RECORD_BYTES,
    "claim": limits.CLAIM_BYTES,
    "revocation": limits.MEMBERSHIP_BYTES,
    "manifest": limits.ENVELOPE_BYTES,
    "body": limits.BODY_BYTES + DIGEST_BYTES,
    "end": 0,
    "model": limits.BODY_BYTES + DIGEST_BYTES,
    "unknown": limits.BODY_BYTES,
}

Read = Callable[[int, int], bytes]
"""(offset, length) -> so many bytes of the file, fewer only at its end."""


class Header(Struct, frozen=True, kw_only=True):
    """What a bundle says of itself. Nobody has signed it: it explains, and decides nothing."""

    format: Literal["gossipd-bundle"] = "gossipd-bundle"
    version: Annotated[int, Meta(ge=1)] = VERSION
    swarm: Digest
    author: PeerId
    """Who has written it."""
    created: Annotated[float, Meta(ge=0, le=4.2e9)]
    """Unix seconds by that one's clock."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where something lies in a bundle."""

    kind: Kind
    offset: int
    """Of its payload."""
    length: int


@dataclass(frozen=True, slots=True)
class Damage:
    """What cannot be read: "damaged", "too-large" (a frame says so), "truncated"."""

    reason: str


# --- writing -------------------------------------------------------------------------------------


def frame(kind: Kind, *parts: bytes) -> tuple[bytes, ...]:
    """The pieces of one frame, one after the other."""
    head = _HEAD.pack(MARK, _NUMBERS[kind], sum(map(len, parts)))
    return head + checksum(head), *parts


def checksum(head: bytes) -> bytes:
    """Of mark, kind and length: without it, a damaged length would hide what follows."""
    return zlib.crc32(head).to_bytes(4, "big")


def header(swarm: bytes, author: str, created: float) -> tuple[bytes, ...]:
    return frame("header", pack(Header(swarm=swarm, author=author, created=created)))


# --- reading -------------------------------------------------------------------------------------


def scan(read: Read, size: int) -> Iterator[Frame | Damage]:
    """What lies in a file of `size` bytes. No payload is read, so whatever a frame says of its
    length costs nothing; after damage it goes on at the next mark."""
    offset, ended = 0, False
    while offset < size:
        found = _frame_at(read, offset, size)
        yield found
        if isinstance(found, Frame):
            ended = found.kind == "end"
            offset = found.offset + found.length
        else:
            ended = ended or found.reason == "truncated"
            offset = _next_mark(read, offset + 1, size)
    if not ended:
        yield Damage("truncated")


def _frame_at(read: Read, offset: int, size: int) -> Frame | Damage:
    head = read(offset, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return Damage("truncated")
    mark, number, length = _HEAD.unpack_from(head)
    if mark != MARK or head[_HEAD.size :] != checksum(head[: _HEAD.size]):
        return Damage("damaged")
    kind = _KINDS.get(number, "unknown")
    if length > _LONGEST[kind]:
        return Damage("too-large")
    if offset + HEAD_BYTES + length > size:
        return Damage("truncated")
    return Frame(kind, offset + HEAD_BYTES, length)


def _next_mark(read: Read, offset: int, size: int) -> int:
    """Where the next frame may begin; the end of the file when none does."""
    while offset < size:
        piece = read(offset, SEARCHED_BYTES)
        place = piece.find(MARK)
        if place >= 0:
            return offset + place
        if len(piece) < SEARCHED_BYTES:
            break
        # A mark may lie across two pieces.
        offset += len(piece) - len(MARK) + 1
    return size


def read_header(payload: bytes) -> Header:
    """WireError "malformed" when it is none, "version" when this program is too old for it."""
    found = unpack(payload, Header, longest=limits.TEXT_BYTES)
    if found.version > VERSION:
        raise WireError("version", f"bundle version {found.version}, this is {VERSION}")
    return found
