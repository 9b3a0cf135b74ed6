"""Measures exported models of the digits task, in a process of its own that no daemon can talk to.

It shares nothing with what it measures: the file format (safetensors), the network (an MLP) and
the test set are written down here a second time, in numpy, so that a fault in the daemon's own
evaluation or storage would show as a difference. tests/scenarios/test_measure.py holds both to be
the same.

    python -m gossipd_scenarios.measure     paths on stdin, one per line; for each of them on stdout
                                            {"accuracy", "recalls", "loss", "examples"} or {"error"}
"""

import json
import math
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]

TEST_SHARE = 0.2
SPLIT_SEED = 1797
BRIGHTEST = 16.0
FILE_BYTES = 100_000_000


def measure(path: Path, images: Matrix, labels: Labels) -> dict[str, Any]:
    """Accuracy, recalls and mean cross-entropy (nats) of the model in `path`. ValueError if it is
    none. A recall is the share of a class's examples that are recognised as such."""
    logits = forward(read_safetensors(path), images).astype("f8")
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    right = logits.argmax(axis=1) == labels
    return {
        "accuracy": float(right.mean()),
        "recalls": [float(right[labels == label].mean()) for label in np.unique(labels)],
        "loss": float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean()),
        "examples": len(labels),
    }


def forward(tensors: dict[str, Matrix], images: Matrix) -> Matrix:
    """Logits [N, classes] of an MLP with ReLU: "<n>.weight" [out, in] and "<n>.bias" [out]."""
    layers = sorted(int(name.removesuffix(".weight")) for name in tensors if "weight" in name)
    if not layers:
        raise ValueError("the file holds no weights")
    hidden = images
    for layer in layers:
        hidden = hidden @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
        if layer != layers[-1]:
            hidden = np.maximum(hidden, 0)
    return hidden


def read_safetensors(path: Path) -> dict[str, Matrix]:
    """float32 tensors by name: 8 bytes of header length, a JSON header, raw little-endian data."""
    raw = path.read_bytes()
    if not 8 <= len(raw) <= FILE_BYTES:
        raise ValueError(f"{len(raw)} bytes are no model")
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        if entry["dtype"] != "F32" or (end - first) != 4 * math.prod(entry["shape"]):
            raise ValueError(f"{name} is not float32 {entry['shape']}")
        values = np.frombuffer(raw[start + first : start + end], dtype="<f4")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def digits_for_testing() -> tuple[Matrix, Labels]:
    """The fifth of the digits on which no node trains: images [359, 64] in 0..1, labels [359]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(digits.target))
    rows = np.sort(order[: round(TEST_SHARE * len(order))])
    images = (digits.data[rows] / BRIGHTEST).astype(np.float32)
    return images, digits.target[rows].astype(np.int64)


def _answer(path: Path, images: Matrix, labels: Labels) -> dict[str, Any]:
    try:
        return measure(path, images, labels)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"error": f"{path}: {type(error).__name__}: {error}"}


def main() -> None:
    images, labels = digits_for_testing()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(Path(line.rstrip("\n")), images, labels)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
