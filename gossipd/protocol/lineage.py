"""What a model has learnt from whom: a version vector author -> steps merged in.

Ours (none of the papers has it). Two models compare by their lineages pointwise; see
docs/architecture.md for what follows from each relation.
"""

import enum
from collections.abc import Mapping
from itertools import repeat
from operator import gt

Lineage = Mapping[bytes, int]


class Relation(enum.Enum):
    """How another lineage stands to one's own."""

    EQUAL = "equal"
    BEHIND = "behind"
    AHEAD = "ahead"
    CONCURRENT = "concurrent"


def compare(own: Lineage, other: Lineage) -> Relation:
    """The relation of `other` to `own`. A missing author counts as 0 steps."""
    if own is other:
        return Relation.EQUAL
    other_has_more = has_more(other, own)
    own_has_more = has_more(own, other)
    if other_has_more:
        return Relation.CONCURRENT if own_has_more else Relation.AHEAD
    return Relation.BEHIND if own_has_more else Relation.EQUAL


def has_more(side: Lineage, other: Lineage) -> bool:
    """Whether `side` holds steps of anybody that `other` lacks: asked of thousands of authors for
    every message about a model, so nothing of it runs in Python itself."""
    return any(map(gt, side.values(), map(other.get, side, repeat(0))))


def join(*lineages: Lineage) -> dict[bytes, int]:
    """The pointwise maximum: idempotent, commutative, associative; never smaller than an input."""
    joined: dict[bytes, int] = {}
    for lineage in lineages:
        for author, steps in lineage.items():
            if steps > joined.get(author, 0):
                joined[author] = steps
    return joined


def more_in(side: Lineage, other: Lineage) -> tuple[bytes, ...]:
    """The authors of whom `side` holds more steps than `other`, in a stable order."""
    return tuple(sorted(a for a, steps in side.items() if steps > other.get(a, 0)))


def is_news(own: Lineage, own_model: bytes | None, other: Lineage, other_model: bytes) -> bool:
    """Whether somebody who stands at `own` should take `other`.

    Between equal lineages the smaller content hash wins, so that a quiet swarm ends on one model.
    """
    relation = compare(own, other)
    if relation is Relation.EQUAL:
        return bool(other) and own_model is not None and other_model < own_model
    return relation is not Relation.BEHIND
