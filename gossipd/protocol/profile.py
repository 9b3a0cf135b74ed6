"""What data a node has, in words: its own question to the ranking, and what is said of a peer.

A peer is described by the labels that it has plenty of; a node asks for one of its own at a time,
so that nodes whose data overlap in part ask the same questions.
"""

from collections.abc import Sequence
from random import Random

PLENTY = 0.5
"""A label counts when there are at least so many times an even share of it. Ours, a guess."""
ANY = "any"
"""Asked by who has no labels: a regression, or no data."""


def label(number: int) -> str:
    return f"label/{number}"


def words_of(counts: Sequence[int] | None) -> list[str]:
    """What class counts say of whoever has them."""
    if not counts or not sum(counts):
        return [ANY]
    enough = PLENTY * sum(counts) / len(counts)
    return [label(number) for number, count in enumerate(counts) if count >= enough]


def question(counts: Sequence[int] | None, rng: Random) -> str:
    """One of the own labels, drawn by how many examples there are."""
    if not counts or not sum(counts):
        return ANY
    return label(rng.choices(range(len(counts)), counts)[0])
