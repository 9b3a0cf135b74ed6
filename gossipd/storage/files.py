"""Models and bodies as files, each checked by hash when it is read.

    models/<content hash>.safetensors            one flat float32 tensor "vector"
    models/<content hash>.momentum.safetensors   the optimiser's state that belongs to that model
    bodies/<update id>.body                      an update's raw codec bytes

A file that is not what it was when it was written (torn, flipped, lost sectors) is set aside as
`*.damaged` and counts as missing: a model can be fetched again, a wrong one must never be used.
Any thread may call. Everything is durable when it returns; StoreError when the disk refuses.
"""

import errno
import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gossipd.errors import OperatorError
from gossipd.runtime.ports import Vector
from gossipd.storage.atomic import TEMPORARY, make_private_directory, replace
from gossipd.storage.errors import storing
from gossipd.tensors.layout import Layout, content_hash

MODEL = ".safetensors"
MOMENTUM = ".momentum.safetensors"
BODY = ".body"
DAMAGED = ".damaged"

_TENSOR = "vector"
_HASH = "content_hash"

Kind = Literal["model", "momentum", "body", "damaged"]
_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    (DAMAGED, "damaged"),
    (MOMENTUM, "momentum"),
    (MODEL, "model"),
    (BODY, "body"),
)

log = logging.getLogger("gossipd.storage")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of ours that lies there."""

    path: Path
    kind: Kind
    key: bytes
    """Content hash of the model, or id of the update; empty for a damaged file."""
    size: int


class Files:
    """The two directories."""

    def __init__(self, models: Path, bodies: Path) -> None:
        self._models = models
        self._bodies = bodies
        self._counting = threading.Lock()
        self.damaged = 0
        """Files set aside since the start."""
        with storing("use the directories of models"):
            for directory in (models, bodies):
                make_private_directory(directory)
                for leftover in directory.glob(f"*{TEMPORARY}"):
                    leftover.unlink(missing_ok=True)  # a crash came before it was whole

    # --- models ----------------------------------------------------------------------------------

    def save_vector(self, model: bytes, vector: Vector) -> None:
        """ValueError when `vector` is not the model with this content hash."""
        content = content_hash(vector)
        if content != model:
            raise ValueError(f"the vector is model {content.hex()[:16]}, not {model.hex()[:16]}")
        with storing("save a model"):
            replace(self._models / f"{model.hex()}{MODEL}", _packed(vector, content))

    def load_vector(self, model: bytes) -> Vector | None:
        """The model; None when it is missing or damaged."""
        return self._load(self._models / f"{model.hex()}{MODEL}", model)

    def save_momentum(self, model: bytes, momentum: Vector) -> None:
        """Replaces what was stored for this model."""
        with storing("save an optimiser's state"):
            replace(
                self._models / f"{model.hex()}{MOMENTUM}",
                _packed(momentum, content_hash(momentum)),
            )

    def load_momentum(self, model: bytes) -> Vector | None:
        """The optimiser's state stored for a model; None when it is missing or damaged."""
        return self._load(self._models / f"{model.hex()}{MOMENTUM}", None)

    def _load(self, path: Path, expected: bytes | None) -> Vector | None:
        data = self._read(path)
        if data is None:
            return None
        try:
            return _unpacked(data, expected)
        except (SafetensorError, ValueError, LookupError, TypeError) as error:
            self._set_aside(path, str(error))
            return None

    # --- bodies ----------------------------------------------------------------------------------

    def save_body(self, update: bytes, body: bytes, *, synced: bool = True) -> None:
        with storing("save an update"):
            replace(self._bodies / f"{update.hex()}{BODY}", body, synced=synced)

    def load_body(self, update: bytes, digest: bytes) -> bytes | None:
        """The body with this `body_digest`; None when it is missing or damaged."""
        path = self._bodies / f"{update.hex()}{BODY}"
        data = self._read(path)
        if data is not None and body_digest(data) != digest:
            self._set_aside(path, "its content has changed")
            return None
        return data

    # --- what lies there -------------------------------------------------------------------------

    def scan(self) -> Iterator[StoredFile]:
        """Every file of ours; others are not touched."""
        with storing("list models"):
            for directory in (self._models, self._bodies):
                for path in directory.iterdir():
                    found = _describe(path)
                    if found is not None:
                        yield found

    def _read(self, path: Path) -> bytes | None:
        with storing("read a model"):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._set_aside(path, "the disk cannot read it")
                return None

    def _set_aside(self, path: Path, why: str) -> None:
        with storing("set a damaged file aside"):
            path.replace(path.with_name(path.name + DAMAGED))
        with self._counting:
            self.damaged += 1
        log.warning("damaged file set aside", extra={"fields": {"file": path.name, "why": why}})


def export(path: Path, vector: Vector, layout: Layout) -> int:
    """Write a model for other programs: safetensors with the layout's names. Its size in bytes.

    The file gets the mode that the user's umask gives; one that is there is replaced.
    """
    tensors = {
        spec.name: np.ascontiguousarray(view)
        for spec, view in zip(layout.tensors, layout.views(vector), strict=True)
    }
    data = save(tensors, {_HASH: content_hash(vector).hex()})
    with storing(f"write {path}"):
        replace(path, data, mode=0o666)
    return len(data)


def read_export(path: Path, layout: Layout) -> Vector:
    """The model in a file that `export` wrote, for a task of this layout. OperatorError
    "wrong-model" when it is another task's or none."""
    try:
        tensors = load(path.read_bytes())
        parts = [tensors.pop(spec.name) for spec in layout.tensors]
        fits = not tensors and all(
            part.shape == spec.shape and part.dtype == np.float32
            for part, spec in zip(parts, layout.tensors, strict=True)
        )
    except (SafetensorError, KeyError):
        fits = False
    if not fits:
        raise OperatorError(
            "wrong-model", f"{path} holds no model of this task", "give an export of this swarm's"
        )
    return np.concatenate([part.reshape(-1) for part in parts])


def body_digest(body: bytes) -> bytes:
    """BLAKE2b-256, by which a stored body is checked; an update's chunk hashes are the wire's."""
    return hashlib.blake2b(body, digest_size=32).digest()


def _packed(vector: Vector, content: bytes) -> bytes:
    flat = np.ascontiguousarray(vector, dtype=np.float32)
    return save({_TENSOR: flat}, {_HASH: content.hex()})


def _unpacked(data: bytes, expected: bytes | None) -> Vector:
    """The vector in a file; an exception when it is not the one that was written there.

    `expected` is its content hash; None: the one that the file itself states.
    """
    vector: Vector = load(data)[_TENSOR]
    if vector.dtype != np.float32 or vector.ndim != 1:
        raise ValueError(f"holds {vector.dtype} of {vector.ndim} dimensions")
    if expected is None:
        expected = bytes.fromhex(_metadata(data)[_HASH])
    if content_hash(vector) != expected:
        raise ValueError("its content has changed")
    return vector


def _metadata(data: bytes) -> dict[str, str]:
    """The texts in a safetensors header: 8 bytes of length, then JSON. The library gives none."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata


def _describe(path: Path) -> StoredFile | None:
    for suffix, kind in _SUFFIXES:
        if not path.name.endswith(suffix):
            continue
        try:
            key = b"" if kind == "damaged" else bytes.fromhex(path.name.removesuffix(suffix))
            return StoredFile(path, kind, key, path.stat().st_size)
        except (ValueError, FileNotFoundError):
            return None  # somebody else's name, or gone since
    return None
