"""Load a model that gossipd has learnt: with torch, this file and the .safetensors file alone.

    from load_model import load
    model = load("model.safetensors")
    model.predict([{"age": 48, "region": "alba"}])       # of a table: a dictionary for each row
    model(torch.zeros(1, 64))                            # the module itself: prepared inputs

`gossipd models export serving model.safetensors --loader load_model.py` wrote it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TASK: Any = {}
"""What the swarm has agreed on: the columns of a table, or the size of images."""

CLIP = 10.0
"""Deviations from the mean beyond which a value counts as this far."""


def load(path: str | Path) -> "Model":
    """The model in a file that `gossipd models export` wrote."""
    return Model(load_weights(path))


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file of float32 by name: what `load_state_dict` takes."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + length :])
    weights = {}
    for name, about in header.items():
        start, end = about["data_offsets"]
        if about["dtype"] != "F32":
            raise ValueError(f"{name} is {about['dtype']}, not F32")
        count = (end - start) // 4
        flat = torch.frombuffer(body, dtype=torch.float32, count=count, offset=start)
        weights[name] = flat.reshape(about["shape"]).clone()
    return weights


class Model(nn.Module):
    """The network, and for tables the way from rows to its inputs and back."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = _convolutions(weights) if TASK.get("type") == "images" else _linear(weights)
        self.layers.load_state_dict(weights)
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layers(inputs)
        return output

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """For each row of a table {column: value}: the class, or the number, that is most likely.

        None, "" or a column that is not there is a missing value.
        """
        inputs = torch.tensor([_encoded(row) for row in rows])
        with torch.inference_mode():
            output = self(inputs)
        target = TASK["target"]
        if target["type"] == "classes":
            return [target["values"][place] for place in output.argmax(dim=1).tolist()]
        amounts = output.reshape(len(rows)) * target["deviation"] + target["mean"]
        return [float(amount) for amount in amounts]


def _linear(weights: Mapping[str, Tensor]) -> nn.Sequential:
    # Layers 0, 2, 4, ... of the file are the linear ones, whatever their order in it.
    names = sorted((name for name in weights if name.endswith(".weight")), key=_place)
    shapes = [tuple(weights[name].shape) for name in names]
    layers: list[nn.Module] = []
    for outputs, inputs in shapes:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _convolutions(weights: Mapping[str, Tensor]) -> nn.Sequential:
    first, second, last = (
        weights[name] for name in sorted((n for n in weights if n.endswith("weight")), key=_place)
    )
    pooled = math.isqrt(last.shape[1] // second.shape[0])
    return nn.Sequential(
        nn.Conv2d(first.shape[1], first.shape[0], 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(second.shape[1], second.shape[0], 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(pooled),
        nn.Flatten(),
        nn.Linear(last.shape[1], last.shape[0]),
    )


def _place(name: str) -> int:
    return int(name.partition(".")[0])


def _encoded(row: Mapping[str, Any]) -> list[float]:
    """One row as the network's inputs, as the swarm does it."""
    inputs: list[float] = []
    for column in TASK["columns"]:
        value = row.get(column["name"])
        missing = value is None or str(value).strip() == "" or value != value
        if column["type"] == "number":
            number = column["filling"] if missing else float(str(value))
            scaled = (number - column["mean"]) / column["deviation"]
            inputs.append(min(max(scaled, -CLIP), CLIP))
            if column.get("gaps", False):
                inputs.append(float(missing))
        else:
            known = column["values"]
            word = None if missing else _word(value)
            inputs += [float(word == name) for name in known]
            inputs.append(float(word not in known))
    return inputs


def _word(value: Any) -> str:
    """A number is always written alike: 3 and 3.0 are one category."""
    text = str(value).strip()
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return text
