"""Which models are deltas against which: who can decode what, and what it lacks for that.

Ours. A round's model is smallest as a delta against the one before it, M_k. Who trained on M_k has
it; who stands on M_k-2 wants M_k-1 and M_k first, in which it is helped:

    every pong says on which base its sender stands
    the aggregator takes M_k for its reference when the likely sample comes cheaper by that way
    AGGREGATED names the bases between what a peer stands on and its new model
    `fetching` gets those first; without them, `inbound` asks for the reference as it is
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from gossipd.protocol.events import Fields
from gossipd.wire import limits
from gossipd.wire.messages import GENESIS, ZERO, Update

KNOWN = 64
"""Bases that are remembered: ours; far more than ways are long."""
DELTA = 0.25
"""Bytes a parameter takes in a delta against the model before: measured by benchmarks/codecs.py."""
WHOLE = 0.8
"""The same against the initial model, as measured there."""
EXACT = 4.0
"""In float32: what a reference costs that no way leads to."""


def coded(update: Update) -> Fields:
    """How an update travels, for people: its codec, against what, and the bytes that saves."""
    manifest = update.manifest
    special = manifest.reference in (GENESIS, ZERO)
    return {
        "codec": manifest.codec,
        "reference": manifest.reference.decode() if special else manifest.reference.hex(),
        "bytes": manifest.body_size,
        "saved": round(EXACT * manifest.parameters) - manifest.body_size,
    }


class Trail:
    """The bases that have passed by, and where peers were last known to stand."""

    def __init__(self, genesis: bytes, parameters: int, holds: Callable[[bytes], bool]) -> None:
        self._common = (GENESIS, ZERO, genesis)
        self._parameters = parameters
        self._holds = holds
        """Whether an update's model is here."""
        self._bases: OrderedDict[bytes, Update] = OrderedDict()
        self._stands: dict[str, bytes] = {}

    def learn(self, update: Update) -> None:
        """A base has passed by."""
        if update.manifest.role == "base":
            self._bases[update.manifest.model] = update
            self._bases.move_to_end(update.manifest.model)
            while len(self._bases) > KNOWN:
                self._bases.popitem(last=False)

    def stands(self, peer: str, model: bytes) -> None:
        """A peer says, or has shown, on which base it stands."""
        if peer in self._stands or len(self._stands) < limits.KNOWN_PEERS:
            self._stands[peer] = model

    def standing(self, models: Collection[bytes], most: int) -> list[str]:
        """Peers that were last known to stand on one of these, at most so many."""
        return list(islice((p for p, model in self._stands.items() if model in models), most))

    # --- getting ---------------------------------------------------------------------------------

    def before(self, update: Update) -> list[Update]:
        """What to get before an update's body, the first one first; nothing where no short way
        leads to it, and the reference itself has to be asked for."""
        return self._way(update, lambda base: self._holds(base.id)) or []

    # --- giving ----------------------------------------------------------------------------------

    def between(self, peer: str, update: Update) -> list[Update]:
        """The bases that a peer needs before it can decode an update, as far as is known."""
        model = self._stands.get(peer)
        return self._way(update, lambda base: base.manifest.model == model) or []

    def pays(self, previous: bytes, peers: Sequence[str]) -> bool:
        """Whether a delta against `previous` costs these peers less than one against the initial
        model, the bases counted in that some of them lack."""
        if previous in self._common:
            return True
        cost = sum(self._cost(previous, peer) for peer in peers)
        saved = (WHOLE - DELTA) * self._parameters
        return cost <= saved * len(peers)

    def _cost(self, model: bytes, peer: str) -> float:
        """Bytes until a peer stands on a model."""
        stands = self._stands.get(peer)
        if stands == model:
            return 0.0
        base = self._bases.get(model)
        way = None if base is None else self._way(base, lambda b: b.manifest.model == stands)
        if base is None or way is None:
            return EXACT * self._parameters
        return sum(u.manifest.body_size + len(u.envelope) for u in (*way, base))

    def _way(self, update: Update, is_there: Callable[[Update], bool]) -> list[Update] | None:
        """The bases from one that is there, exclusive, to an update's reference; None where the
        way is not known or longer than a message may name."""
        way: list[Update] = []
        reference = update.manifest.reference
        while reference not in self._common:
            base = self._bases.get(reference)
            if base is None:
                return None
            if is_there(base):
                break
            way.insert(0, base)
            if len(way) > limits.BASES_BETWEEN or _size(way) > limits.BASES_BETWEEN_BYTES:
                return None
            reference = base.manifest.reference
        return way


def _size(way: Sequence[Update]) -> int:
    return sum(len(update.envelope) for update in way)
