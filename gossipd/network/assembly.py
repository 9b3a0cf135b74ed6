"""How the parts of libp2p are put together: Noise and yamux over TCP, and nothing else.

libp2p's default host also accepts plaintext and mplex, dials known peers by itself, and closes
connections by its own rules.
"""

from dataclasses import dataclass

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.transport.tcp.tcp import TCP

from gossipd.network.swarm import GuardedSwarm, Upgrader
from gossipd.network.upload import Upload
from gossipd.network.yamux.muxer import Muxer

UPGRADE_SECONDS = 10.0
"""For the handshakes of one connection: libp2p's own default."""


@dataclass(frozen=True, slots=True)
class Settings:
    """See `libp2p_transport.Libp2pTransport`."""

    private_key: bytes
    listen: str
    port: int
    mdns: bool
    max_connections: int
    heartbeat_interval: float
    heartbeat_timeout: float
    dial_timeout: float
    upload: Upload


def peer_id(seed: bytes) -> str:
    """The peer id of a 32-byte Ed25519 seed."""
    return str(ID.from_pubkey(_key_pair(seed).public_key))


def build_swarm(seed: bytes) -> GuardedSwarm:
    """A swarm for one life of the host, to be guarded before its first use."""
    keys = _key_pair(seed)
    own = ID.from_pubkey(keys.public_key)
    peerstore = PeerStore()
    peerstore.add_key_pair(own, keys)
    noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
    return GuardedSwarm(
        own,
        peerstore,
        Upgrader({NOISE: noise}, {TProtocol(YAMUX): Muxer}),
        [TCP()],
        RetryConfig(max_retries=0),
        ConnectionConfig(
            max_connections=10**6,  # the gate counts
            min_connections=0,
            low_watermark=0,
            high_watermark=0,  # nothing is dialled or closed on libp2p's own account
            inbound_upgrade_timeout=UPGRADE_SECONDS,
            outbound_upgrade_timeout=UPGRADE_SECONDS,
            inbound_stream_protocol_negotiation_timeout=UPGRADE_SECONDS,
        ),
    )


def _key_pair(seed: bytes) -> KeyPair:
    key = Ed25519PrivateKey.new(seed)
    return KeyPair(key, key.get_public_key())
