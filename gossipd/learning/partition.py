"""One data set, many nodes: who holds which examples. Pure numpy.

For demonstrations and experiments, where one machine plays many; a device with data of its own
keeps all of it (`all`). Every node computes the same partition from the same seed, without talk.

    all        everybody holds everything
    iid        a random permutation, cut into equal parts
    dirichlet  each class is dealt out in proportions drawn from Dir(alpha): the smaller alpha, the
               more skewed. Yurochkin et al. (arXiv 1905.12022); a node may end with no example
    classes    each node holds k classes; the nodes that hold a class share its examples

But for `all`, shards are disjoint; but for `classes` with nodes * k < classes, nothing is left out.
Of what is dealt out a node may take several parts, or none; and only some classes may be dealt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Scheme = Literal["all", "iid", "dirichlet", "classes"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of a data set a node holds. ValueError when it cannot be."""

    scheme: Scheme = "all"
    node: int = 0
    nodes: int = 1
    alpha: float = 0.5
    """`dirichlet`: concentration."""
    classes_per_node: int = 2
    """`classes`: how many classes a node holds."""
    seed: int = 0
    parts: int = 1
    """How many parts, from number `node` on, are this node's; 0: it holds nothing."""
    labels: tuple[int, ...] = ()
    """Only examples of these classes are dealt out; empty: of all."""

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ValueError(f"a data set is dealt out to at least one node, not {self.nodes}")
        if not 0 <= self.node < self.nodes:
            raise ValueError(f"node {self.node} is not one of the {self.nodes} from 0")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha must be a positive number, not {self.alpha}")
        if self.classes_per_node < 1:
            raise ValueError(f"a node holds at least one class, not {self.classes_per_node}")
        if self.seed < 0:
            raise ValueError(f"a seed is not negative: {self.seed}")
        if not 0 <= self.parts <= self.nodes - self.node:
            raise ValueError(
                f"{self.parts} parts from number {self.node} on: there are {self.nodes}"
            )

    def pick(self, examples: int, labels: Sequence[int] | Indices | None = None) -> Indices:
        """Sorted positions of this node's examples among `examples` many.

        `labels`, one integer each, is what `dirichlet`, `classes` and a choice of classes go by;
        ValueError without.
        """
        if not self.parts:
            return np.empty(0, dtype=np.int64)
        if not self.labels:
            return self._pick(examples, labels)
        array = self._as_labels(examples, labels)
        dealt = np.flatnonzero(np.isin(array, self.labels))
        return dealt[self._pick(len(dealt), array[dealt])]

    def _pick(self, examples: int, labels: Sequence[int] | Indices | None) -> Indices:
        if self.scheme == "all":
            return np.arange(examples, dtype=np.int64)
        if self.scheme == "iid":
            parts = iid(examples, self.nodes, self.seed)
        elif self.scheme == "dirichlet":
            array = self._as_labels(examples, labels)
            parts = dirichlet(array, self.nodes, self.alpha, self.seed)
        else:
            array = self._as_labels(examples, labels)
            parts = by_classes(array, self.nodes, self.classes_per_node, self.seed)
        return _joined(parts[self.node : self.node + self.parts])

    def _as_labels(self, examples: int, labels: Sequence[int] | Indices | None) -> Indices:
        if labels is None:
            raise ValueError(f"the partition {self.scheme!r} needs examples with class labels")
        array = np.asarray(labels, dtype=np.int64)
        if array.shape != (examples,):
            raise ValueError(f"{array.shape} labels for {examples} examples")
        return array


def iid(examples: int, nodes: int, seed: int) -> list[Indices]:
    """Equal parts (sizes differ by one at most) of a random permutation."""
    order = np.random.default_rng(seed).permutation(examples)
    return [np.sort(part) for part in np.array_split(order, nodes)]


def dirichlet(labels: Indices, nodes: int, alpha: float, seed: int) -> list[Indices]:
    """Each class cut in proportions of one draw from the symmetric Dir(alpha) over the nodes."""
    rng = np.random.default_rng(seed)
    parts: list[list[Indices]] = [[] for _ in range(nodes)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(nodes, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [_joined(part) for part in parts]


def by_classes(labels: Indices, nodes: int, per_node: int, seed: int) -> list[Indices]:
    """`per_node` classes for each node; a class's examples are shared equally by its holders."""
    rng = np.random.default_rng(seed)
    present = [int(label) for label in np.unique(labels)]
    held = _deal(present, nodes, min(per_node, len(present)), rng)
    parts: list[list[Indices]] = [[] for _ in range(nodes)]
    for label in present:
        holders = [node for node in range(nodes) if label in held[node]]
        if holders:
            members = rng.permutation(np.flatnonzero(labels == label))
            for node, piece in zip(holders, np.array_split(members, len(holders)), strict=True):
                parts[node].append(piece)
    return [_joined(part) for part in parts]


def _deal(cards: Sequence[int], nodes: int, hand: int, rng: np.random.Generator) -> list[set[int]]:
    """`hand` different cards for each node, every card once before any comes a second time."""
    deck: list[int] = []
    hands: list[set[int]] = [set() for _ in range(nodes)]
    for own in hands:
        while len(own) < hand:
            fresh = next((card for card in deck if card not in own), None)
            if fresh is None:
                # What is left of the deck is in this hand already: it stays on top for the next.
                deck += [cards[i] for i in rng.permutation(len(cards))]
            else:
                deck.remove(fresh)
                own.add(fresh)
    return hands


def _joined(parts: Sequence[Indices]) -> Indices:
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
