"""Names that are derived from keys and content by hashing."""

import hashlib
from functools import lru_cache

import base58

_ED25519_PROTOBUF_PREFIX = bytes.fromhex("08011220")
_IDENTITY_MULTIHASH_PREFIX = bytes([0x00, 0x24])

DIGEST_BYTES = 32
AUTHOR_BYTES = 8
MARK_BYTES = 16


def digest(*parts: bytes | memoryview) -> bytes:
    """BLAKE2b-256 of the concatenated parts, which are not copied."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


@lru_cache(maxsize=16384)
def peer_id_of(public_key: bytes) -> str:
    """The libp2p peer id (base58) of a raw 32-byte Ed25519 public key.

    libp2p peer id specification: keys of up to 42 protobuf bytes are named by an identity
    multihash.
    """
    if len(public_key) != 32:
        raise ValueError(f"an Ed25519 public key has 32 bytes, not {len(public_key)}")
    return base58.b58encode(
        _IDENTITY_MULTIHASH_PREFIX + _ED25519_PROTOBUF_PREFIX + public_key
    ).decode()


def public_key_of(peer_id: str) -> bytes:
    """The raw Ed25519 public key that a peer id carries; ValueError when it carries none."""
    key = base58.b58decode(peer_id)[-32:]
    # One key has one name: base58's decoder overlooks trailing blanks.
    if len(key) != 32 or peer_id_of(key) != peer_id:
        raise ValueError(f"not the peer id of an Ed25519 key: {peer_id!r}")
    return key


def closed_swarm(founder: bytes, nonce: bytes) -> bytes:
    """The id of the closed swarm that `founder` (a raw public key) founded with `nonce`.

    It commits to the founder, so whoever knows the id can check a membership with nothing else.
    """
    return digest(b"gossipd/1/closed-swarm/", founder, nonce)


def task_digest(name: str, layout: bytes, genesis: bytes) -> bytes:
    """What two peers must learn alike: the task's name, its layout's and initial model's hash."""
    return digest(b"gossipd/1/task/", name.encode(), layout, genesis)


def open_swarm(task: bytes) -> bytes:
    """The id of the open swarm of a task."""
    return digest(b"gossipd/1/open-swarm/", task)


@lru_cache(maxsize=16384)
def author_key(peer_id: str, incarnation: int) -> bytes:
    """The lineage's name for (peer, incarnation): BLAKE2b-8. A wiped disk is a new author."""
    name = peer_id.encode() + incarnation.to_bytes(8, "big")
    return hashlib.blake2b(name, digest_size=AUTHOR_BYTES).digest()


def record_mark(author: bytes, seq: int) -> int:
    """What stands for a record when views are compared: BLAKE2b-128 of (author, seq as 8 bytes)."""
    state = hashlib.blake2b(author + seq.to_bytes(8, "big"), digest_size=MARK_BYTES)
    return int.from_bytes(state.digest(), "big")
