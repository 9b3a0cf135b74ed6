"""Lineages as differences: what travels of one whose receiver holds another that is much like it.

What is signed, hashed and stored always has its whole lineage. Only inside a message may an
envelope leave it out: then it names a lineage, says which entries differ from it, and has the bytes
of the payload before and after. Whoever holds the named one makes of it the very bytes that were
signed, and checks them like any other envelope.

A lineage's name is a hash of what it says, so that nobody can give it to another one.
"""

import hashlib
from collections.abc import Mapping

from gossipd.wire import limits
from gossipd.wire.envelope import join, split
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack
from gossipd.wire.messages import AbridgedManifest

NAME_BYTES = 16
"""Two lineages with one name take 2^64 trials to find; what builds on these is refused then."""
UNHELD = "unheld-lineage"
"""Why a message is refused that leaves out what its receiver does not hold. Nobody's fault."""

Lineage = Mapping[bytes, int]


class Known:
    """A lineage, the bytes that stand for it in a payload, and its name. Nothing of it changes."""

    __slots__ = ("__weakref__", "lineage", "name", "packed")

    def __init__(self, lineage: dict[bytes, int]) -> None:
        self.lineage = lineage
        self.packed = pack(lineage)
        self.name = hashlib.blake2b(self.packed, digest_size=NAME_BYTES).digest()


def difference(old: Lineage, new: Lineage) -> dict[bytes, int]:
    """What makes `new` of `old`: author -> steps, 0 for an author that is not in `new`. In an order
    that is the same in every process."""
    changes = dict(new.items() - old.items())
    if len(old) + len(changes) > len(new):  # else every author of the old one is in the new one
        changes.update(dict.fromkeys(old.keys() - new.keys(), 0))
    return dict(sorted(changes.items()))


def changed(old: Lineage, changes: Lineage) -> dict[bytes, int]:
    """What differs from `old` by `changes`; WireError "malformed" when it is too long."""
    new = {author: steps for author, steps in {**old, **changes}.items() if steps}
    if len(new) > limits.AUTHORS:
        raise WireError("malformed", f"a lineage of {len(new)} authors")
    return new


def abridge(
    sealed: bytes, lineage: Known, against: Known, changes: dict[bytes, int]
) -> bytes | AbridgedManifest:
    """The envelope of a manifest with this lineage, which differs from another by `changes`; as it
    is when its author has written the lineage in another way than `pack` does."""
    payload, public_key, signature = split(sealed)
    head, found, tail = payload.partition(lineage.packed)
    if not found:
        return sealed
    return AbridgedManifest(head, tail, public_key, signature, against.name, changes)


def restore(abridged: AbridgedManifest, against: Lineage) -> bytes:
    """The envelope that was abridged: as its author signed it, if its signature holds. WireError
    "malformed" or "too-large" when it cannot have been one."""
    whole = pack(changed(against, abridged.changes))
    payload = b"".join((abridged.head, whole, abridged.tail))
    return join(payload, abridged.public_key, abridged.signature)
