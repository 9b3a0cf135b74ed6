"""What people give to a learnt model, and what it tells them: examples in, answers out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gossipd.learning.errors import DataError
from gossipd.learning.npz import read_npz


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody gave to `predict` or `eval`: N examples, whose targets may be unknown."""

    inputs: Tensor
    """Leading dimension N."""
    rows: Sequence[int] = ()
    """Places of the examples that have a target."""
    targets: Tensor | None = None
    """Of those; None when none was looked for."""
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Columns of N cells that say which example is which; they stand beside the answers."""


def likelihoods(output: Tensor, labels: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Logits [N, classes] as the most likely label, and each label's probability."""
    chances = torch.softmax(output.double(), dim=1)
    columns = {"prediction": [labels[place] for place in output.argmax(dim=1).tolist()]}
    for place, label in enumerate(labels):
        columns[f"p({label})"] = [f"{chance:.4f}" for chance in chances[:, place].tolist()]
    return columns


def spread_explained(output: Tensor, target: Tensor, unit: float = 1.0) -> Mapping[str, float]:
    """{rmse, r2}: the root mean square error times `unit`, and the share of the target's variance
    that the model explains; r2 is left out where the target does not vary."""
    error = float((output.double() - target.double()).square().mean())
    found = {"rmse": error**0.5 * unit}
    variance = float(target.double().var(correction=0)) if len(target) else 0.0
    if variance > 0:
        found["r2"] = 1 - error / variance
    return found


def read_arrays(path: Path, targets: bool) -> Given:
    """An NPZ file with inputs `x` [N, ...] and, where targets are wanted, `y`. DataError."""
    hint = "write it with numpy.savez(file, x=inputs, y=targets)"
    if path.suffix.lower() != ".npz":
        raise DataError(path, "is no NPZ file, and this task reads no other", hint)
    arrays = read_npz(path)
    for name in ("x", "y") if targets else ("x",):
        if name not in arrays or arrays[name].ndim == 0 or arrays[name].dtype.kind not in "biuf":
            raise DataError(path, f"holds no array {name} of numbers", hint)
    inputs = torch.from_numpy(arrays["x"].astype(np.float32))
    if not targets:
        return Given(inputs)
    right = arrays["y"]
    if len(right) != len(inputs):
        raise DataError(path, f"{len(right)} targets for {len(inputs)} inputs", hint)
    kind = np.float32 if right.dtype.kind == "f" else np.int64
    return Given(inputs, range(len(right)), torch.from_numpy(right.astype(kind)))
