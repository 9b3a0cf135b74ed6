"""The task description: what all nodes of a swarm with data of their own have agreed on.

The founder makes it from its data; whoever joins needs it, as a file (`task.json` in the state
directory). It says which inputs the model has and how a node turns its own rows or images into
them: so a node that lacks some classes, categories or values fits the same layout. It holds no
example, but names of columns, categories and classes, and means, medians and deviations.

    raw = dump(description)            # JSON for a file or a message, at most MOST_BYTES
    description = load(raw, "task.json")
    digest(description)                # 64 hex digits, of what it says and not of its layout

What `load` returns is bounded and sound, whoever wrote it. Light: neither torch nor numpy.
"""

import hashlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from gossipd.learning.errors import DataError

FILE = "task.json"
"""Its name in a state directory."""
MOST_BYTES = 1 << 20
"""Of a description. Ours: room for some thousand columns with their categories."""
MOST_PARAMETERS = 50_000_000
"""Of the model that is described. Ours: 200 MB, more than such tasks need by far."""
HIDDEN = (32,)
"""Units of a table's hidden layers, by default. Ours, measured by benchmarks/tables.py."""

_DOMAIN = b"gossipd/1/description/"

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Side = Annotated[int, Meta(ge=8, le=512)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=4096)]
"""Of categories or classes; as many classes as a record on the wire can count."""
Hidden = Annotated[tuple[Annotated[int, Meta(ge=1, le=4096)], ...], Meta(max_length=8)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Number(_Part, frozen=True, tag="number"):
    """A numeric column: (value - mean) / deviation, one input; two where gaps are marked."""

    name: Text
    filling: float
    """Stands for a missing value: the founder's median."""
    mean: float
    deviation: float
    gaps: bool = False
    """Whether a second input is 1 where the value is missing: the founder has such rows."""

    def __post_init__(self) -> None:
        _plain((self.name,))
        _scale(self.name, self.mean, self.deviation, self.filling)

    @property
    def inputs(self) -> int:
        return 2 if self.gaps else 1


class Category(_Part, frozen=True, tag="category"):
    """A column of words: one input for each, and one for a word nobody has named, or none."""

    name: Text
    values: Texts

    def __post_init__(self) -> None:
        _plain((self.name,))
        _distinct(f"categories of {self.name}", self.values)

    @property
    def inputs(self) -> int:
        return len(self.values) + 1


class Classes(_Part, frozen=True, tag="classes"):
    """A classification: the target is one of these words."""

    name: Text
    values: Annotated[tuple[Text, ...], Meta(min_length=2, max_length=4096)]

    def __post_init__(self) -> None:
        _plain((self.name,))
        _distinct("classes", self.values)


class Amount(_Part, frozen=True, tag="amount"):
    """A regression: the model answers (target - mean) / deviation."""

    name: Text
    mean: float
    deviation: float

    def __post_init__(self) -> None:
        _plain((self.name,))
        _scale(self.name, self.mean, self.deviation)


class Table(_Part, frozen=True, tag="table"):
    """Rows of a table, by a multilayer perceptron."""

    title: Text
    columns: Annotated[tuple[Number | Category, ...], Meta(min_length=1, max_length=4096)]
    target: Classes | Amount
    hidden: Hidden = HIDDEN
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Of local training: few rows would otherwise be learnt by heart."""
    version: Annotated[int, Meta(ge=1, le=1)] = 1

    def __post_init__(self) -> None:
        _plain((self.title,))
        _distinct("columns", (*(column.name for column in self.columns), self.target.name))
        if sum(a * b for a, b in pairwise(self.sizes)) > MOST_PARAMETERS:
            raise ValueError(f"the model has more than {MOST_PARAMETERS} parameters")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the perceptron's layers, inputs and outputs among them."""
        inputs = sum(column.inputs for column in self.columns)
        outputs = len(self.target.values) if isinstance(self.target, Classes) else 1
        return (inputs, *self.hidden, outputs)


class Images(_Part, frozen=True, tag="images"):
    """Images by a small convolutional network; a folder for each class."""

    title: Text
    classes: Annotated[tuple[Text, ...], Meta(min_length=2, max_length=4096)]
    height: Side
    width: Side
    colours: Annotated[int, Meta(ge=1, le=3)]
    """1: grey; 3: red, green, blue."""
    mean: float
    deviation: float
    """Of the pixels, scaled to 0..1."""
    version: Annotated[int, Meta(ge=1, le=1)] = 1

    def __post_init__(self) -> None:
        _plain((self.title,))
        _distinct("classes", self.classes)
        _scale("pixels", self.mean, self.deviation)
        if self.colours == 2:
            raise ValueError("an image has one colour or three")


Description = Table | Images


D = TypeVar("D", Table, Images)


def checked(description: D) -> D:
    """The same, within the bounds that `load` holds it to; ValueError when it is not."""
    try:
        _canonical(description)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return description


def dump(description: Description) -> bytes:
    """As JSON that people can read; `load` reads it."""
    return msgspec.json.format(_canonical(description), indent=2) + b"\n"


def load(raw: bytes, where: Path | str) -> Description:
    """The description in `raw`; DataError, which names `where`, unless it is a sound one."""
    hint = "get the file anew from whoever founded the swarm"
    if len(raw) > MOST_BYTES:
        raise DataError(where, f"has more than {MOST_BYTES} bytes", hint)
    try:
        return _decoded(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(where, f"is no task description: {error}", hint) from None


def read(path: Path) -> Description:
    """The description in a file. DataError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            path,
            f"cannot be read: {error.strerror}",
            "get the task description from whoever founded the swarm: its `task.json`",
        ) from error
    return load(raw, path)


def digest(description: Description) -> str:
    """64 hex digits that name it; part of the initial model, and so of the swarm's task."""
    hashed = hashlib.blake2b(_DOMAIN + _canonical(description), digest_size=32)
    return hashed.hexdigest()


def _canonical(description: Description) -> bytes:
    # Once there and back: a whole number that stands for a float is written as one.
    return msgspec.json.encode(_decoded(msgspec.json.encode(description)), order="sorted")


def _decoded(raw: bytes) -> Description:
    description: Description = msgspec.json.decode(raw, type=Description)
    return description


def _distinct(what: str, texts: tuple[str, ...]) -> None:
    _plain(texts)
    if len(set(texts)) < len(texts):
        raise ValueError(f"{what}: one of them stands there twice")


def _plain(texts: tuple[str, ...]) -> None:
    for text in texts:
        if not text.isprintable():
            raise ValueError(f"{text!r} is not plain text")


def _scale(name: str, mean: float, deviation: float, filling: float = 0.0) -> None:
    if not (math.isfinite(mean) and math.isfinite(deviation) and math.isfinite(filling)):
        raise ValueError(f"{name}: its scale is not finite")
    if deviation <= 0:
        raise ValueError(f"{name}: its deviation is not above 0")
