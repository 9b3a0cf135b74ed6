"""In which codec, and against what, this node's models travel: what `gossip.codec` means.

`auto`, in rounds: everybody in a sample holds the round's model M_k, so little is left to say.

    a trainer's head     q2 against M_k                             what it rounds away, the average
                                                                    of a sample makes good again
    the new model        q3 against M_k, or q8 against genesis      as the aggregator has seen who
                                                                    is to train on it
    the serving model    q4 against that new model, or as that      its rounding never comes home,
                                                                    so it has a bit more

each in an entropy stage. Nothing is remembered from one delta to the next: rounding is random and
unbiased, so no error piles up (measured by benchmarks/codecs.py, with the choice of q2 and q3).
Whoever lacks a reference gets it, or the models between, first (see `fetching`, `inbound`).
Elsewhere, and for `half` and `dense` everywhere, models are deltas against the initial one.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gossipd.wire.messages import GENESIS

AUTO = "auto"
AVERAGED = 5
"""Trainers from which on two bits a number do: measured with samples of 5 and 10. The noise of
fewer would stay in the model."""


class Way(NamedTuple):
    """How one model is encoded."""

    codec: str
    reference: bytes
    """A model's content hash, GENESIS or ZERO."""


@dataclass(frozen=True, slots=True)
class Coding:
    """The operator's choice, spelt out."""

    setting: str
    """`gossip.codec`."""
    initial: bytes
    """GENESIS, or ZERO where nodes begin with models of their own."""

    @property
    def is_auto(self) -> bool:
        return self.setting == AUTO

    @property
    def plain(self) -> Way:
        """Outside of rounds: float16 loses nothing that we could measure."""
        return Way("half" if self.is_auto else self.setting, self.initial)

    @property
    def whole(self) -> Way:
        """In rounds, for a receiver of whom nothing is known."""
        return Way("q8+deflate", GENESIS) if self.is_auto else self.plain

    def head(self, model: bytes, trainers: int) -> Way:
        """What one of `trainers` has made of the round's model."""
        if not self.is_auto:
            return self.plain
        return Way("q2+deflate" if trainers >= AVERAGED else "q8+deflate", model)

    def base(self, previous: bytes | None, heads: int) -> Way:
        """The average of `heads`; `previous`: the model that they were trained from, when those
        who shall train on this one have it."""
        if not self.is_auto or previous is None:
            return self.whole
        return Way("q3+deflate" if heads >= AVERAGED else "q8+deflate", previous)

    def serving(self, beside: Way, model: bytes, heads: int) -> Way:
        """The moving average, beside a base `model` that travels by the way `beside`."""
        if not self.is_auto or beside == self.whole:
            return self.whole
        return Way("q4+deflate" if heads >= AVERAGED else "q8+deflate", model)
