"""Keys that depend on a name alone."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gossipd.wire.envelope import Signer
from gossipd.wire.identifiers import digest, peer_id_of


def key_from(name: str) -> tuple[bytes, str, Signer]:
    """(seed, peer id, signer) of a test's own identity."""
    seed = digest(b"key", name.encode())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return seed, peer_id_of(public), Signer(public, key.sign)
