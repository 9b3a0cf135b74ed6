"""What is sent, by node and kind of message. Payloads only: neither headers nor heartbeats."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

Observer = Callable[[str, str, str, int], None]
"""(kind, sender, receiver, bytes): called for everything that is sent."""


@dataclass(slots=True)
class Traffic:
    """What one node has sent and received in all its lives.

    Kinds: a message's `t` field, "fetch" (what asks for a body), "body" and "failed".
    """

    messages: Counter[str] = field(default_factory=Counter)
    """How many were sent."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes."""
    swarm: Counter[str] = field(default_factory=Counter)
    """Those of them that say who is in the swarm and whose steps a model holds: what can but grow
    with the swarm."""
    received: Counter[str] = field(default_factory=Counter)
    """Bytes: what was lost on the way is not among them."""


_NOTHING = Raw(b"")


class _Abridged(Struct, array_like=True):
    head: Raw
    tail: Raw
    public_key: Raw
    signature: Raw
    against: Raw
    changes: Raw


class _Message(Struct):
    """What a message calls itself, and what it says of the swarm; all else of it is skipped."""

    t: str = "?"
    records: Raw = _NOTHING
    claims: Raw = _NOTHING
    only: Raw = _NOTHING
    activity: Raw = _NOTHING
    names: Raw = _NOTHING
    sum: Raw = _NOTHING
    lineage: Raw = _NOTHING
    against: Raw = _NOTHING
    held: Raw = _NOTHING
    manifests: tuple[bytes | _Abridged, ...] = ()


class _Envelope(Struct, array_like=True):
    version: int
    type: str
    payload: bytes


class _Manifest(Struct):
    lineage: Raw = _NOTHING


_messages = msgspec.msgpack.Decoder(_Message)
_envelopes = msgspec.msgpack.Decoder(_Envelope)
_manifests = msgspec.msgpack.Decoder(_Manifest)


def kind_of(payload: bytes) -> tuple[str, int]:
    """A message's `t` field and how many of its bytes are about the swarm: records and what stands
    for them, claims, activity, lineages. ("?", 0) for what is none of ours."""
    try:
        said = _messages.decode(payload)
        lineages = sum(_lineage_bytes(manifest) for manifest in said.manifests)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "?", 0
    view = (said.records, said.claims, said.only, said.activity, said.names, said.sum)
    parts = (*view, said.lineage, said.against, said.held)
    return said.t, lineages + sum(len(memoryview(part)) for part in parts)


def _lineage_bytes(manifest: bytes | _Abridged) -> int:
    if isinstance(manifest, bytes):
        return _whole_lineage_bytes(manifest)
    return len(memoryview(manifest.against)) + len(memoryview(manifest.changes))


@lru_cache(maxsize=256)
def _whole_lineage_bytes(envelope: bytes) -> int:
    lineage = _manifests.decode(_envelopes.decode(envelope).payload).lineage
    return len(memoryview(lineage))
