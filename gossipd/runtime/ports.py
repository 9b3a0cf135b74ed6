"""What the runtime needs of the world. The daemon and the simulator differ in these alone.

The transport's port is `gossipd.network.interface`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossipd.protocol.membership import Denial
from gossipd.tensors.layout import Layout
from gossipd.wire.messages import Enter, SignedMembership, Welcome

Vector = NDArray[np.float32]
P = ParamSpec("P")
R = TypeVar("R")


LetIn = Callable[[str, Enter], tuple[SignedMembership, Welcome] | Denial]
"""(peer, what it shows) -> its membership, on disk already, and the answer; or why not."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds that never go back: what deadlines and the core run on."""
        ...

    def wall(self) -> float:
        """Unix seconds, for people and for documents."""
        ...


class Compute(Protocol):
    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` in the one compute worker, after what was asked before."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model does on some examples."""

    loss: float
    accuracy: float | None
    """None for a regression."""
    examples: int
    known_loss: float | None = None
    """The same loss when only the classes that this node trains on may be answered: what the gate
    looks at. None where it was not measured."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the task measures, for people: "accuracy", or for a regression "rmse" and "r2"."""


@dataclass(frozen=True, slots=True)
class Training:
    """What some steps of local training made."""

    vector: Vector
    momentum: Vector | None
    steps: int
    loss: float
    """Mean loss over the mini-batches."""


class Learner(Protocol):
    """A task's model and data, as flat vectors. Called in the compute worker only."""

    @property
    def task(self) -> str:
        """Its name, for people."""
        ...

    @property
    def layout(self) -> Layout: ...

    @property
    def examples(self) -> int:
        """Local training examples, held-out ones not counted."""
        ...

    @property
    def class_counts(self) -> tuple[int, ...] | None: ...

    @property
    def guess(self) -> float:
        """The `known_loss` of a uniform guess."""
        ...

    def genesis(self) -> Vector:
        """The initial model: equal on every machine for builtin tasks."""
        ...

    def own_start(self) -> Vector:
        """A random initial model of this node alone, the same after every restart."""
        ...

    def train(self, vector: Vector, momentum: Vector | None, steps: int, seed: int) -> Training:
        """`steps` mini-batches of local training from `vector`, which stays unchanged."""
        ...

    def held_out(self, vector: Vector) -> Evaluation:
        """On local examples that are never trained on."""
        ...

    def test(self, vector: Vector) -> Evaluation:
        """On the task's full test set; never used in a decision."""
        ...


@dataclass(frozen=True, slots=True)
class Pointers:
    """The models a node stands on, as one committed row: content hashes."""

    base: bytes
    head: bytes
    serving: bytes
    momentum: bool
    """Whether an optimiser state is stored beside the head."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What is remembered about a model beside its file."""

    model: bytes
    role: str
    lineage: Mapping[bytes, int]
    update: bytes | None
    """Id of the manifest that describes it, when there is one."""
    created: float
    loss: float | None = None
    accuracy: float | None = None


class SheetKey(NamedTuple):
    """What names a sheet of clicks."""

    author: str
    incarnation: int
    seq: int


class StoredSheet(NamedTuple):
    key: SheetKey
    envelope: bytes
    at: float


class Store(Protocol):
    """What stays. Every method is atomic and durable when it returns (kill -9, power loss)."""

    def reserve(self, counter: str, block: int) -> tuple[int, int]:
        """Reserve the next `block` values of a counter: [first, end), never given again."""
        ...

    def incarnation(self) -> int: ...

    # models: files are written first, then one row makes them count
    def save_vector(self, model: bytes, vector: Vector) -> None: ...
    def load_vector(self, model: bytes) -> Vector | None: ...
    def save_momentum(self, model: bytes, momentum: Vector) -> None: ...
    def load_momentum(self, model: bytes) -> Vector | None: ...
    def commit(
        self, pointers: Pointers, models: Sequence[StoredModel], state: bytes | None = None
    ) -> None:
        """Flip the pointers, remember these models and the core's state: all or nothing."""
        ...

    def save_state(self, state: bytes) -> None:
        """Remember what the core knows of the swarm; replaces what was there."""
        ...

    def pointers(self) -> Pointers | None: ...
    def state(self) -> bytes | None: ...
    def models(self) -> Sequence[StoredModel]: ...

    # updates: manifests and bodies, own and others'
    def save_update(
        self, update: bytes, author: str, envelope: bytes, body: bytes, *, lasting: bool = True
    ) -> None:
        """Not `lasting`: a power cut, though not the process's end, may take it."""
        ...

    def load_manifest(self, update: bytes) -> bytes | None: ...
    def load_body(self, update: bytes) -> bytes | None: ...
    def updates(self) -> Sequence[bytes]:
        """The ids of all that are kept, newest first."""
        ...

    # peers
    def save_peers(self, peers: Iterable[tuple[str, Sequence[str], bytes | None]]) -> None: ...
    def forget_peer(self, peer: str) -> None: ...
    def peers(self) -> Sequence[tuple[str, Sequence[str], bytes | None]]: ...

    # clicks
    def save_sheets(self, kept: Sequence[StoredSheet], gone: Sequence[SheetKey]) -> None:
        """Remember sheets of clicks, forget others."""
        ...

    def sheets(self) -> Sequence[tuple[bytes, float]]:
        """(envelope, Unix seconds of its arrival), in the order of arrival."""
        ...

    def save_choice(self, query: str, item: bytes, at: float) -> None: ...
    def choices(self) -> Sequence[tuple[str, bytes, float]]:
        """What people have chosen at this node, oldest first."""
        ...

    # what happened
    def append_evidence(self, peer: str, first: bytes, second: bytes) -> None: ...
