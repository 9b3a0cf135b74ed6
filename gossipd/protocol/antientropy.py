"""The periodic pull: ask one peer for what it has that is new, and for what it knows of the swarm.

That is how a node that nobody pushes to stays fresh, and how islands find out about each other.
"""

from random import Random

from gossipd.protocol.events import Output, SetTimer
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.questions import Pull, Questions
from gossipd.protocol.view_pulls import ViewPulls
from gossipd.wire.messages import Have

TIMER = "antientropy"


class AntiEntropy:
    """Wakes at a jittered interval and asks one peer."""

    def __init__(
        self,
        interval: float,
        policy: PeerPolicy,
        view_pulls: ViewPulls,
        questions: Questions,
        rng: Random,
    ) -> None:
        self._interval = interval
        self._policy = policy
        self._view_pulls = view_pulls
        self._questions = questions
        self._rng = rng

    def start(self, now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.2, 1.0)))

    def on_timer(self, peers: list[str], have: Have, now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.7, 1.3)))
        for peer in self._policy.choose(peers, 1):
            self._questions.ask(peer, have, Pull(), out)
            self._view_pulls.ask(peer, now, out)
