"""Models as vectors: by content hash in memory and on disk, and to and from an update's body.

What a node publishes is what it stands on: it adopts what its own encoding decodes to, so that all
who decode an update hold the same bits and a content hash names one model everywhere.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from gossipd.runtime.coding import Coding, Way
from gossipd.runtime.ports import Learner, Pointers, Store, Vector
from gossipd.tensors.codecs import CodecError, decode, encode
from gossipd.tensors.layout import content_hash
from gossipd.wire.errors import WireError
from gossipd.wire.messages import GENESIS, ZERO, Manifest

NUMBER_BYTES = 4
"""Of float32, in which models are compared, kept and counted."""
CACHE_BYTES = 16 * 1024 * 1024
"""Vectors kept in memory: all heads of a sample when models are small. Ours, measured by
benchmarks/w1.py: of 256 MiB a node's memory grew by each body that it had seen."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A model as it is published, and as everybody will decode it."""

    way: Way
    body: bytes
    vector: Vector
    model: bytes
    variances: tuple[float, ...]


class Models:
    """One node's vectors. Used from the compute worker, one call after the other."""

    def __init__(self, store: Store, learner: Learner, codec: str, init: str) -> None:
        self._store = store
        self.layout = learner.layout
        self.genesis = learner.genesis()
        self.genesis_hash = content_hash(self.genesis)
        # With own random starts no model is shared that a delta could be against.
        self.coding = Coding(codec, GENESIS if init == "genesis" else ZERO)
        self._cache: OrderedDict[bytes, Vector] = OrderedDict({self.genesis_hash: self.genesis})
        self.initial = (
            self.genesis_hash if init == "genesis" else self.remember(learner.own_start())
        )
        """Where a node without any learning stands."""
        self.pointers = Pointers(self.initial, self.initial, self.initial, False)
        self.momentum: Vector | None = None

    def restore(self, pointers: Pointers) -> bool:
        """Stand where storage says; False (and nothing changed) when one of its models is gone."""
        if any(self.find(model) is None for model in (pointers.base, pointers.head)):
            return False
        self.pointers = pointers
        if self.find(pointers.serving) is None:
            # Only the average is lost; it starts again from the base.
            self.pointers = Pointers(pointers.base, pointers.head, pointers.base, pointers.momentum)
        if pointers.momentum:
            self.momentum = self._store.load_momentum(pointers.head)
        return True

    # --- by content hash -------------------------------------------------------------------------

    def find(self, model: bytes) -> Vector | None:
        """The vector with this content hash, from memory or disk."""
        vector = self._cache.get(model)
        if vector is None:
            vector = self._store.load_vector(model)
            if vector is None or vector.size != self.layout.parameters:
                return None
            self.keep(model, vector)
        self._cache.move_to_end(model)
        return vector

    def get(self, model: bytes) -> Vector:
        """As `find`, for a model that must be there; LookupError when it is not."""
        vector = self.find(model)
        if vector is None:
            raise LookupError(f"model {model.hex()[:16]} is not here any more")
        return vector

    def remember(self, vector: Vector) -> bytes:
        """Keep a vector in memory; its content hash."""
        model = content_hash(vector)
        self.keep(model, vector)
        return model

    def keep(self, model: bytes, vector: Vector) -> None:
        vector.setflags(write=False)
        self._cache[model] = vector
        room = max(CACHE_BYTES // max(vector.nbytes, 1), 4)
        while len(self._cache) > room:
            oldest = next(m for m in self._cache if m not in (self.genesis_hash, self.initial))
            del self._cache[oldest]

    # --- to and from bodies ----------------------------------------------------------------------

    def encode(self, vector: Vector, way: Way | None = None) -> Encoded:
        """`way`: the operator's by default. A reference that is gone gives way to the task's
        initial model, numbers beyond a codec's range to float32.

        CodecError when the vector cannot be published (not finite).
        """
        variances = self.layout.variances(vector)
        way = way or self.coding.plain
        if self.lacks(way.reference):
            way = self.coding.whole
        reference = self._reference(way.reference)
        with np.errstate(over="ignore"):
            delta = vector if reference is None else vector - reference
        try:
            body = encode(way.codec, delta, self.layout)
        except CodecError as error:
            if error.reason != "out-of-range":
                raise
            way = Way("dense", way.reference)
            body = encode("dense", delta, self.layout)
        decoded = self._against(reference, decode(way.codec, body, self.layout))
        model = content_hash(decoded)
        self.keep(model, decoded)
        return Encoded(way, body, decoded, model, variances)

    def lacks(self, reference: bytes) -> bool:
        """Whether a delta against this cannot be decoded, since the model is not here."""
        return reference not in (GENESIS, ZERO) and self.find(reference) is None

    def take_whole(self, model: bytes, numbers: bytes) -> None:
        """Keep a model that came as float32 little-endian, one number after the other. WireError
        when it is not the one with this content hash."""
        vector = np.frombuffer(numbers, "<f4").astype(np.float32)
        if vector.size != self.layout.parameters or content_hash(vector) != model:
            raise WireError("wrong-reference", model.hex())
        if not np.isfinite(vector).all():
            raise WireError("not-finite", "a reference")
        self.keep(model, vector)

    def whole(self, model: bytes) -> bytes | None:
        """A model as `take_whole` wants it; None when it is not here. On the loop: whoever asks
        shall not wait for a training to end."""
        vector = self._cache.get(model)
        if vector is None:
            vector = self._store.load_vector(model)
        return None if vector is None else vector.astype("<f4", copy=False).tobytes()

    def decode(self, manifest: Manifest, body: bytes) -> None:
        """Make the model of a verified manifest and body known. WireError when it is not that."""
        if len(manifest.variances) not in (0, len(self.layout.tensors)):
            raise WireError("wrong-variances", f"{len(manifest.variances)} of them")
        reference = self._reference(manifest.reference)
        try:
            delta = decode(manifest.codec, body, self.layout)
        except CodecError as error:
            raise WireError(error.reason, f"codec {manifest.codec}") from None
        vector = self._against(reference, delta)
        if not np.isfinite(vector).all():
            raise WireError("not-finite", "the model overflows")
        if content_hash(vector) != manifest.model:
            raise WireError("wrong-model", "the body decodes to another model than declared")
        self.keep(manifest.model, vector)

    def _reference(self, reference: bytes) -> Vector | None:
        """None for ZERO: adding zeros would cost a sign of its own. WireError when it is gone."""
        if reference == ZERO:
            return None
        vector = self.genesis if reference == GENESIS else self.find(reference)
        if vector is None:
            raise WireError("no-reference", reference.hex())
        return vector

    @staticmethod
    def _against(reference: Vector | None, delta: Vector) -> Vector:
        if reference is not None:
            with np.errstate(over="ignore"):
                delta += reference
        return delta
