"""An invitation as people hand it on: one line, and a picture of it.

    gossipd- <base64 of [version, secret, invitation, addresses]>       into a closed swarm
    gossipd- <base64 of [version, swarm, task, inviter, addresses, mode]>  to an open one

The secret is the seed of the invitation's key. It never travels: who enters signs its own peer id
with that key, which the founder's signed invitation names, so what one device shows is of no use
to who sees it. Whoever has the line can enter; it is to be handed on like a key.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta, Struct

from gossipd.wire import limits
from gossipd.wire.envelope import open_invitation, swarm_of_invitation
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack, unpack
from gossipd.wire.identifiers import digest, peer_id_of, public_key_of
from gossipd.wire.messages import Digest, Mode, SignedInvitation

PREFIX = "gossipd-"
SECRET_BYTES = 16
"""128 bits: nobody guesses it, and the line stays short."""
LINE_BYTES = 2048
"""Far more than a line of ours has; of a longer one nothing is read."""
ADDRESSES = 4
"""More do not fit into a picture of eighty columns."""
_CLOSED, _OPEN = 1, 2
"""What the first number of a line says: how to read the rest. A newer form has another one."""

_Addresses = Annotated[
    tuple[Annotated[str, Meta(max_length=limits.ADDRESS_TEXT)], ...], Meta(max_length=ADDRESSES)
]


class _Closed(Struct, frozen=True, array_like=True):
    form: int
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]
    invitation: Annotated[bytes, Meta(max_length=limits.MEMBERSHIP_BYTES)]
    addresses: _Addresses


class _Open(Struct, frozen=True, array_like=True):
    form: int
    swarm: Digest
    task: Digest
    inviter: Digest
    addresses: _Addresses
    mode: Mode = "rounds"


class _Form(Struct, frozen=True, array_like=True):
    form: int


class Line(Struct, frozen=True):
    """What a line says. `addresses` lead to `inviter`, without its name at their end."""

    swarm: bytes
    task: bytes
    inviter: str
    """Peer id; of a closed swarm its founder's."""
    addresses: tuple[str, ...]
    mode: Mode = "rounds"
    invitation: SignedInvitation | None = None
    """None: the swarm is open, and whoever comes is in."""
    secret: bytes = b""


def key_of(secret: bytes) -> Ed25519PrivateKey:
    """The key of an invitation."""
    return Ed25519PrivateKey.from_private_bytes(digest(b"gossipd/1/invitation-key/", secret))


def public_key_of_secret(secret: bytes) -> bytes:
    return key_of(secret).public_key().public_bytes_raw()


def proof_text(swarm: bytes, member: str) -> bytes:
    """What the invitation's key signs for `member`, the peer id that the connection proves."""
    return b"gossipd/1/enter\x00" + swarm + member.encode()


def prove(secret: bytes, swarm: bytes, member: str) -> bytes:
    """64 bytes: `member` holds the line."""
    return key_of(secret).sign(proof_text(swarm, member))


def is_proven(signed: SignedInvitation, swarm: bytes, member: str, proof: bytes) -> bool:
    key = Ed25519PublicKey.from_public_bytes(signed.invitation.key)
    try:
        key.verify(proof, proof_text(swarm, member))
    except InvalidSignature:
        return False
    return True


def closed_line(secret: bytes, envelope: bytes, addresses: Sequence[str]) -> str:
    return _text(_Closed(_CLOSED, secret, envelope, tuple(addresses[:ADDRESSES])))


def open_line(
    swarm: bytes, task: bytes, inviter: str, addresses: Sequence[str], mode: Mode = "rounds"
) -> str:
    key = public_key_of(inviter)
    return _text(_Open(_OPEN, swarm, task, key, tuple(addresses[:ADDRESSES]), mode))


def read(text: str) -> Line:
    """A line, with or without "gossipd join" before it, its signature checked.

    WireError: "malformed" (it is no such line, or not whole), "version" (a newer gossipd's),
    "too-large", "bad-signature", "forged-membership".
    """
    word = text.replace("gossipd join", "", 1).strip()
    if not word.startswith(PREFIX):
        raise WireError("malformed", f"it does not begin with {PREFIX}")
    word = "".join(word.removeprefix(PREFIX).split())  # mail folds long lines
    if len(word) > LINE_BYTES:
        raise WireError("too-large", f"{len(word)} characters")
    try:
        data = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise WireError("malformed", "it is not whole") from None
    form = unpack(data, _Form).form
    if form == _OPEN:
        said = unpack(data, _Open)
        inviter = peer_id_of(said.inviter)
        return Line(said.swarm, said.task, inviter, said.addresses, said.mode)
    if form != _CLOSED:
        raise WireError("version", "a newer gossipd wrote it")
    told = unpack(data, _Closed)
    swarm = swarm_of_invitation(told.invitation)
    signed = open_invitation(told.invitation, swarm)
    if signed.invitation.key != public_key_of_secret(told.secret):
        raise WireError("malformed", "its secret is not its invitation's")
    made = signed.invitation
    return Line(swarm, made.task, signed.founder, told.addresses, made.mode, signed, told.secret)


def _text(said: _Closed | _Open) -> str:
    return PREFIX + base64.urlsafe_b64encode(pack(said)).decode().rstrip("=")
