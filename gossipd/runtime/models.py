"""Models as vectors: by content hash in memory and on disk, and to and from an update's body.

What a node publishes is what it stands on: it adopts what its own encoding decodes to, so that all
who decode an update hold the same bits and a content hash names one model everywhere.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from gossipd.runtime.ports import Learner, Pointers, Store, Vector
from gossipd.tensors.codecs import CodecError, decode, encode
from gossipd.tensors.layout import content_hash
from gossipd.wire.errors import WireError
from gossipd.wire.messages import GENESIS, ZERO, Manifest

CACHE_BYTES = 256 * 1024 * 1024
"""Vectors kept in memory beside the three that this node stands on."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A model as it is published, and as everybody will decode it."""

    codec: str
    body: bytes
    vector: Vector
    model: bytes
    variances: tuple[float, ...]


class Models:
    """One node's vectors. Used from the compute worker, one call after the other."""

    def __init__(self, store: Store, learner: Learner, codec: str, init: str) -> None:
        self._store = store
        self._codec = codec
        self.layout = learner.layout
        self.genesis = learner.genesis()
        self.genesis_hash = content_hash(self.genesis)
        self.reference = GENESIS if init == "genesis" else ZERO
        """What this node's deltas are against; with own random starts nothing is shared."""
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

    def encode(self, vector: Vector) -> Encoded:
        """CodecError when the vector cannot be published (not finite)."""
        variances = self.layout.variances(vector)
        reference = self._reference(self.reference)
        delta = vector - reference
        codec = self._codec
        try:
            body = encode(codec, delta, self.layout)
        except CodecError as error:
            if error.reason != "out-of-range":
                raise
            codec, body = "dense", encode("dense", delta, self.layout)
        decoded = reference + decode(codec, body, self.layout)
        model = content_hash(decoded)
        self.keep(model, decoded)
        return Encoded(codec, body, decoded, model, variances)

    def decode(self, manifest: Manifest, body: bytes) -> None:
        """Make the model of a verified manifest and body known. WireError when it is not that."""
        if len(manifest.variances) not in (0, len(self.layout.tensors)):
            raise WireError("wrong-variances", f"{len(manifest.variances)} of them")
        try:
            delta = decode(manifest.codec, body, self.layout)
        except CodecError as error:
            raise WireError(error.reason, f"codec {manifest.codec}") from None
        with np.errstate(over="ignore"):
            vector = self._reference(manifest.reference) + delta
        if not np.isfinite(vector).all():
            raise WireError("not-finite", "the model overflows")
        if content_hash(vector) != manifest.model:
            raise WireError("wrong-model", "the body decodes to another model than declared")
        self.keep(manifest.model, vector)

    def _reference(self, reference: bytes) -> Vector:
        if reference == ZERO:
            return np.zeros(self.layout.parameters, np.float32)
        if reference in (GENESIS, self.genesis_hash):
            return self.genesis
        raise WireError("unknown-reference", reference.hex())
