"""Nodes that lie: what a shipped daemon never does, done to its core and its data.

A hostile node signs with its own key and keeps to the protocol; but its labels are wrong, and it
floods: as often as it is its turn, one sheet as full as sheets may be, of clicks for one favourite
among the liars, under every label, the same ones again and again. The real backend does that to the
process which it forks for the node, the simulator to the node's insides. Beside them stand
*undefended* nodes, which count clicks as the paper has it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from gossipd.learning import build
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task
from gossipd.protocol import node, profile
from gossipd.protocol.click_events import SealClicks
from gossipd.protocol.clicks import Clicks
from gossipd.protocol.events import Output
from gossipd.protocol.peers import Peers
from gossipd.protocol.questions import Questions
from gossipd.protocol.ranking.rules import OURS, PAPER
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.clicks import Click, item_of_peer

if TYPE_CHECKING:
    from gossipd.settings import LearningConfig, TaskConfig

LABELS = 10
"""Of both built-in tasks."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a node does otherwise than a shipped daemon."""

    favourite: str = ""
    """Peer id for which it lies; empty: it is honest."""
    defended: bool = True
    """False: it counts clicks by the paper's rules."""


class Flooding(Clicks):
    """Clicks as they should not be."""

    favourite = b""

    def _seal(self, now: float, out: list[Output]) -> None:
        words = islice(cycle(map(profile.label, range(LABELS))), limits.CLICKS_PER_SHEET)
        rows = tuple(Click(word, self.favourite) for word in words)
        for row in rows:  # as `_share` does: what counts here is taken back when its sheet goes
            self.ranking.add(self._me, row.query, row.item, self._wall(now))
        out.append(SealClicks(rows, self._wall(now)))


class Mislabelled(Task):
    """Another task, each label of whose training data is taken for the next one."""

    def __init__(self, task: Task) -> None:
        assert task.classes is not None, "a regression has no labels"
        self.name, self.classes, self.seed = task.name, task.classes, task.seed
        self.portable_genesis = task.portable_genesis
        self._task = task

    def model(self):  # type: ignore[no-untyped-def]  # torch's types belong to the room learning
        return self._task.model()

    def train_data(self, shard: Shard) -> Examples:
        inputs, targets = self._task.train_data(shard)
        return inputs, (targets + 1) % (self.classes or 1)

    def test_data(self) -> Examples:
        return self._task.test_data()


@contextmanager
def playing(roles: Mapping[str, Role]) -> Iterator[None]:
    """Cores that are built meanwhile have the role of their peer id."""

    def clicks(
        me: str,
        interval: float | None,
        view: SwarmView,
        peers: Peers,
        questions: Questions,
        rng: Random,
    ) -> Clicks:
        others = interval, view, peers, questions, rng
        role = roles.get(me, Role())
        rules = OURS if role.defended else PAPER
        if not role.favourite:
            return Clicks(me, *others, rules)
        liar = Flooding(me, *others, rules)
        liar.favourite = item_of_peer(role.favourite)
        return liar

    with patch.object(node, "Clicks", clicks):
        yield


@contextmanager
def process_playing(me: str, role: Role) -> Iterator[None]:
    """The daemon that is run meanwhile in this process has the role."""
    from gossipd import daemon

    def learner(
        task: "TaskConfig", learning: "LearningConfig", *, seed: int, home: Path
    ) -> TorchLearner:
        given = build.task_from_config(task, home)
        if role.favourite:
            given = Mislabelled(given)
        return build.learner_from_config(task, learning, seed=seed, given=given)

    with playing({me: role}), patch.object(daemon, "learner_from_config", learner):
        yield
