"""What a node lends to the way in which it learns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gossipd.protocol.clicks import Clicks
from gossipd.protocol.events import Output, SignedDocument
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.peers import Peers
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.questions import Questions
from gossipd.protocol.view import SwarmView
from gossipd.protocol.view_pulls import ViewPulls
from gossipd.wire.messages import SignedClaim, Update


@dataclass(frozen=True, slots=True)
class Host:
    """The parts of a node that both modes work with."""

    me: str
    swarm: bytes
    genesis: bytes
    parameters: int
    anti_entropy_seconds: float
    view: SwarmView
    view_pulls: ViewPulls
    peers: Peers
    exchange: Exchange
    questions: Questions
    policy: PeerPolicy
    clicks: Clicks
    rng: Random
    take: Callable[[str, Sequence[SignedDocument], float, list[Output]], None]
    """Puts records and claims that a peer passed on into the view."""
    claim: Callable[[SignedClaim], None]
    """Stand by steps that have been trained."""
    signed: Callable[[Update], None]
    """Told of every update that this node has signed."""
    has_examples: Callable[[], bool]
    """Whether there is anything here to train on; it may come later, when data files change."""
    is_twin: Callable[[], bool]
    """Whether somebody else signs with this node's key."""

    def may_train(self) -> bool:
        return self.has_examples() and not self.is_twin()
