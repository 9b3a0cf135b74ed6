"""What a node is started with."""

from dataclasses import dataclass

from gossipd.protocol import gossip
from gossipd.protocol.exchange import Terms
from gossipd.protocol.greeting import Swarm
from gossipd.protocol.policy import PolicyName
from gossipd.protocol.round_settings import RoundSettings
from gossipd.wire.messages import SignedMembership, SignedRevocation


@dataclass(frozen=True, slots=True)
class Setup:
    """Who a node is and how it works; nothing of it changes while it lives."""

    peer_id: str
    incarnation: int
    swarm: Swarm
    terms: Terms
    gossip: gossip.Settings
    anti_entropy_seconds: float
    max_connections: int
    allow: tuple[str, ...] = ()
    """The only peers to talk to; empty: everybody."""
    block: tuple[str, ...] = ()
    """Those never to talk to."""
    rounds: RoundSettings | None = None
    """None: the asynchronous way, `gossip`."""
    membership: SignedMembership | None = None
    """This node's own in a closed swarm; None: the swarm is open."""
    revocations: tuple[SignedRevocation, ...] = ()
    """What was known of them when this node last lived."""
    policy: PolicyName = "uniform"
    """How a peer is chosen for gossip and anti-entropy."""
    click_seconds: float | None = None
    """As in `Clicks`."""
