"""Own data for tests: tables of flowers, small images; and homes that learnt without a daemon."""

import struct
from contextlib import closing
from pathlib import Path

import numpy as np

from gossipd.config import load, paths_of
from gossipd.learning.build import learner_from_config
from gossipd.runtime.ports import Pointers, StoredModel
from gossipd.storage.store import DiskStore
from gossipd.tensors.layout import content_hash


def flowers(path: Path, rows: int = 90, keep: str = "abc", seed: int = 0) -> Path:
    """A CSV file: length and size tell the flower, colour tells nothing."""
    rng = np.random.default_rng(seed)
    lines = ["length,colour,size,flower"]
    for n in range(rows):
        length = n % 3 + rng.normal(0, 0.1)
        if "abc"[n % 3] in keep:
            colour = ("red", "blue")[n % 2]
            lines.append(f"{length:.3f},{colour},{40 * length + 200:.3f},{'abc'[n % 3]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def learnt(home: Path, steps: int = 300) -> bytes:
    """Train the task of a state directory as a daemon would, and stop; the model's hash."""
    config = load(home)
    learner = learner_from_config(config.task, config.learning, home=home)
    vector = learner.train(learner.genesis(), None, steps, 0).vector
    model = content_hash(vector)
    with closing(DiskStore(paths_of(home), quota_bytes=10**9)) as store:
        store.save_vector(model, vector)
        store.commit(
            Pointers(model, model, model, False), [StoredModel(model, "serving", {}, None, 1.0)]
        )
    return model


def idx_images(folder: Path, count: int = 20) -> Path:
    """A folder of IDX files: a few images of 2 x 2 pixels."""
    folder.mkdir(exist_ok=True)
    pixels = np.arange(count * 4, dtype=np.uint8).tobytes()
    labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
    head = bytes([0, 0, 8])
    images = head + b"\x03" + struct.pack(">3I", count, 2, 2) + pixels
    (folder / "t10k-images-idx3-ubyte").write_bytes(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(
        head + b"\x01" + struct.pack(">I", count) + labels
    )
    return folder
