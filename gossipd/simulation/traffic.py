"""What is sent, by node and kind of message. Payloads only: neither headers nor heartbeats."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

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
    received: Counter[str] = field(default_factory=Counter)
    """Bytes: what was lost on the way is not among them."""


class _Kind(msgspec.Struct):
    """What a message calls itself; all else of it is skipped."""

    t: str = "?"


_kinds = msgspec.msgpack.Decoder(_Kind)


def kind_of(payload: bytes) -> str:
    """A message's `t` field; "?" for what is none of ours."""
    try:
        return _kinds.decode(payload).t
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "?"
