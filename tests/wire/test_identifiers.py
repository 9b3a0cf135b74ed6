"""A key has one name, and it is the name that libp2p gives it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.peer.id import ID

from gossipd.wire.identifiers import AUTHOR_BYTES, author_key, digest, peer_id_of, public_key_of
from support.properties import properties
from support.wire_examples import PEER_ID, SIGNER

KEYS = [bytes(32), bytes([255]) * 32, *(digest(b"key", bytes([i])) for i in range(20))]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.hex()[:8])
def test_a_peer_id_is_libp2ps(key: bytes) -> None:
    theirs = ID.from_pubkey(Ed25519PublicKey.from_bytes(key))
    assert peer_id_of(key) == theirs.to_string()
    assert public_key_of(theirs.to_string()) == key


@properties
@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_carries_its_key(key: bytes) -> None:
    peer_id = peer_id_of(key)
    assert peer_id.startswith("12D3KooW")
    assert public_key_of(peer_id) == key


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_size_has_no_name(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        peer_id_of(bytes(size))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "é",
        PEER_ID + " ",
        PEER_ID + "\n",
        " " + PEER_ID,
        "1" + PEER_ID,
        PEER_ID[:-1],
        PEER_ID[1:],
        PEER_ID.lower(),
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    ],
)
def test_what_is_no_peer_id_of_an_ed25519_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not the peer id|Invalid character|ascii"):
        public_key_of(text)


@properties
@given(st.text(max_size=60))
def test_any_text_is_a_peer_id_or_refused(text: str) -> None:
    try:
        key = public_key_of(text)
    except ValueError:
        return
    assert peer_id_of(key) == text


def test_the_digest_is_blake2b_256_of_the_parts_together() -> None:
    assert digest(b"ab", b"", b"c") == hashlib.blake2b(b"abc", digest_size=32).digest()


def test_a_wiped_disk_is_a_new_author() -> None:
    peers = [peer_id_of(key) for key in KEYS]
    authors = {author_key(peer, incarnation) for peer in peers for incarnation in (0, 1, 2**53)}
    assert len(authors) == 3 * len(KEYS)
    assert {len(author) for author in authors} == {AUTHOR_BYTES}


def test_an_authors_name_is_the_same_on_every_machine() -> None:
    assert SIGNER.public_key == public_key_of(PEER_ID)
    assert author_key(PEER_ID, 3).hex() == "3df337f592eb5e83"
