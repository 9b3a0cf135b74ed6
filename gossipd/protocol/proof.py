"""Which round is it? Nobody is taken at their word: a round counts when it is proven.

    proof of round k = the signed sample of round k - 1, and participations in it, signed by at
                       least half of its peers and by two at least

Departure from the paper, which takes the highest number that anybody names: one message with
k = 2^60 would stop the swarm for good.

A round that cannot be proven (opened after a stall, finished by fewer than half, trained alone) is
an *attempt* and has the number after the highest proven one, however often it is repeated. So
numbers never run ahead of what can be shown to a newcomer, and a lone node does not count at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.messages import (
    RoundProof,
    RoundState,
    SignedParticipation,
    SignedSample,
)

WITNESSES = 2
"""At least: one key alone proves nothing."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Of round `round`."""

    round: int
    sample: SignedSample
    participations: tuple[SignedParticipation, ...]


class RoundClock:
    """The highest round that this node can prove."""

    def __init__(self, view: SwarmView) -> None:
        self._view = view
        self.proof: Proof | None = None

    @property
    def proven(self) -> int:
        return 0 if self.proof is None else self.proof.round

    @property
    def next(self) -> int:
        """The highest number that a round may have now."""
        return self.proven + 1

    def learn(
        self, sample: SignedSample | None, participations: Iterable[SignedParticipation]
    ) -> bool:
        """Take a proof; True when it is one, of a higher round than known."""
        if sample is None or sample.sample.round + 1 <= self.proven:
            return False
        witnesses = {p.author: p for p in participations if self._testifies(p, sample)}
        if len(witnesses) < needed(sample):
            return False
        self.proof = Proof(sample.sample.round + 1, sample, tuple(witnesses.values()))
        return True

    def _testifies(self, signed: SignedParticipation, sample: SignedSample) -> bool:
        return (
            signed.participation.round == sample.sample.round + 1
            and signed.participation.sample == sample.id
            and signed.author in sample.sample.peers
            and self._view.record_of(signed.author) is not None
        )

    @property
    def envelopes(self) -> tuple[bytes, ...]:
        """The sample, then who took part in it; empty when nothing is proven."""
        if self.proof is None:
            return ()
        return self.proof.sample.envelope, *(p.envelope for p in self.proof.participations)

    def learn_from(self, previous: bytes, documents: Iterable[object]) -> bool:
        """As `learn`, of opened documents; `previous` is the envelope of the proof's sample."""
        opened = list(documents)
        samples = (d for d in opened if isinstance(d, SignedSample) and d.envelope == previous)
        witnesses = (d for d in opened if isinstance(d, SignedParticipation))
        return self.learn(next(samples, None), witnesses)

    def shown(self, state: RoundState, above: int = -1, quiet: float = 0.0) -> RoundProof:
        """The proof as an answer; empty when the asker knows of that round. `quiet`: seconds for
        which no round has been seen to go on."""
        milliseconds = min(int(quiet * 1000.0), limits.QUIET_MILLISECONDS)
        if self.proof is None or self.proven <= above:
            return RoundProof(state=state, round=self.proven, quiet=milliseconds)
        previous, *participations = self.envelopes
        return RoundProof(
            state=state,
            round=self.proven,
            previous=previous,
            participations=tuple(participations),
            quiet=milliseconds,
        )


def needed(sample: SignedSample) -> int:
    """How many of a sample must have taken part to prove the round after it."""
    return max(WITNESSES, -(-len(sample.sample.peers) // 2))
