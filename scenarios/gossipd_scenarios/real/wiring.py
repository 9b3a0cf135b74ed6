"""What lies between every two nodes at a moment: partitions and line qualities, put together.

Pure bookkeeping. A backend asks for the shapes that have changed and has them made, by the proxy.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

from gossipd_scenarios.backend import Quality
from gossipd_scenarios.real.links import Shape
from gossipd_scenarios.real.proxy import Pair
from gossipd_scenarios.real.shaping import PERFECT, Conditions

State = Literal["open", "cut", "black-hole"]


class Wiring:
    """The conditions of every direction (sender, receiver)."""

    def __init__(self) -> None:
        self._nodes: set[str] = set()
        self._closed: dict[Pair, State] = {}
        self._rules: list[tuple[frozenset[str], frozenset[str] | None, Quality]] = []
        """Senders, receivers (None: everybody), quality; later ones win."""
        self._made: dict[Pair, tuple[Conditions, int]] = {}
        """What was told to the proxy; who is not in here has a perfect line."""

    def add(self, nodes: Collection[str]) -> list[Shape]:
        """Newcomers, to whom rules for everybody hold as well. The shapes that have changed."""
        self._nodes.update(nodes)
        return self._changes()

    def partition(self, deaf: Mapping[str, Collection[str]], *, reset: bool) -> list[Shape]:
        """Who does not hear whom from now on. The shapes that have changed."""
        silent = {(other, who) for who, others in deaf.items() for other in others if other != who}
        now: State = "cut" if reset else "black-hole"
        self._closed = {pair: self._closed.get(pair, now) for pair in silent}
        return self._changes()

    def set_quality(
        self, senders: Collection[str], receivers: Collection[str] | None, quality: Quality
    ) -> list[Shape]:
        """How lines are from now on. The shapes that have changed."""
        to = None if receivers is None else frozenset(receivers)
        self._rules.append((frozenset(senders), to, quality))
        return self._changes()

    def conditions(self, pair: Pair) -> tuple[Conditions, int]:
        """Those of a direction, and the number of the rule whose rate it shares."""
        conditions, rule = PERFECT, 0
        for number, (senders, receivers, quality) in enumerate(self._rules, start=1):
            if pair[0] in senders and (receivers is None or pair[1] in receivers):
                conditions, rule = _conditions(quality), number
        return replace(conditions, state=self._closed.get(pair, "open")), rule

    def _changes(self) -> list[Shape]:
        groups: dict[tuple[Conditions, int], list[Pair]] = defaultdict(list)
        for pair in self._touched():
            wanted = self.conditions(pair)
            if self._made.get(pair, (PERFECT, 0)) != wanted:
                self._made[pair] = wanted
                groups[wanted].append(pair)
        return [Shape(pairs, *wanted) for wanted, pairs in groups.items()]

    def _touched(self) -> set[Pair]:
        """Directions between nodes that exist, of which anything was ever said."""
        pairs = {*self._closed, *self._made}
        for senders, receivers, _ in self._rules:
            for sender in senders:
                others = self._nodes if receivers is None else receivers
                pairs.update((sender, other) for other in others if other != sender)
        return {pair for pair in pairs if self._nodes.issuperset(pair)}


def _conditions(quality: Quality) -> Conditions:
    return Conditions(
        delay=quality.delay,
        jitter=quality.jitter,
        loss=quality.loss,
        resets=quality.resets,
        rate=quality.rate or 0.0,
    )
