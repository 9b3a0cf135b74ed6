"""The experiment of G-Rank's paper (arXiv 2301.12530), with the daemon's own ranking and click log.

256 items with tags of 39, 100 nodes that know a tenth of them. In every tick one node asks for one
tag, clicks what comes first (with the paper's exploration) and then asks one other node for what
it has clicked and heard of. Attackers join at a quarter of the time and act at half of it.

What the paper leaves open is ours: an item has one to three tags; a node begins with one random
click for each tag that its items have, and with what one neighbour has clicked (the paper: a tenth
of that); attackers are run by one hand that knows everything and wants one item to come first under
a tag: the last one there is (Targeted, Epic) or a random one (Inflation). Clicks travel in signed
sheets of four, sealed as they would be, and every byte of questions and answers counts for who
asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossipd.protocol.ranking.catalogue import Catalogue
from gossipd.protocol.ranking.clicklog import ClickLog
from gossipd.protocol.ranking.rules import PAPER, Rules
from gossipd.protocol.ranking.score import Ranked, Ranking, explore
from gossipd.wire.clicks import ITEM_BYTES, Click, ClickSheet, SignedSheet
from gossipd.wire.envelope import Signer, seal
from gossipd.wire.framing import encode_message
from gossipd.wire.identifiers import peer_id_of
from gossipd.wire.messages import ClickPull, ClickSheets

Attack = Literal["none", "targeted", "inflation", "epic"]
Gossip = Literal["pull", "push"]

TARGETS = 3
"""Tags that the Targeted attack is aimed at. Ours: spread over all tags its 1,000 clicks change no
first place, by whatever rules; of three tags they win two (measured, one seed)."""
SWARM = bytes(32)
ITEMS, TAGS, NODES, TICKS = 256, 39, 100, 10_000
LIBRARY = 0.1
JOIN, ACT = 0.25, 0.5
"""Shares of the time: paper."""
BATCH = 4
"""New clicks that are signed together. Ours: the signature is most of what a single one costs."""
PATIENCE = 5
"""Own queries for which a click waits for others to be signed with."""
CARD = 200
"""Bytes of an item's description, which a node gets once."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """How large the experiment is."""

    items: int = ITEMS
    tags: int = TAGS
    nodes: int = NODES
    ticks: int = TICKS


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    swarm: Swarm
    rules: Rules
    attack: Attack
    gossip: Gossip
    seed: int
    every: int
    """Ticks between two looks at it."""


@dataclass(slots=True)
class Course:
    """What was seen of the honest nodes, look by look."""

    ticks: list[int] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    """Σ |local rank - global rank| over nodes, tags and items."""
    best: list[float] = field(default_factory=list)
    """Share of (node, tag) whose ranking begins with the globally best item; once there was an
    attack, of the tags that it is aimed at."""
    kilobytes: list[float] = field(default_factory=list)
    """Of gossip until then, a node."""
    unknown: list[float] = field(default_factory=list)
    """At the start and in the end: Σ |local rank - what it would be if this node had every click|,
    that is, what is still missing without what is meant: that like nodes count for more."""


class Clicker:
    """One node."""

    def __init__(
        self, kind: Literal["honest", "attacker", "all"], number: int, rules: Rules
    ) -> None:
        key = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        self.signer = Signer(key.public_key().public_bytes_raw(), key.sign)
        self.name = peer_id_of(self.signer.public_key)
        self.kind = kind
        self.rules = rules
        self.catalogue = Catalogue()
        self.ranking = Ranking(self.name, rules, self.catalogue)
        self.log = ClickLog(rows=1_000_000, per_author=1_000_000)
        self.pending: list[Click] = []
        self.patience = PATIENCE
        self.seq = 0
        self.bytes = 0
        self.sent: dict[str, int] = {}
        """In push: how far each other one has been told."""


class World:
    """All nodes of one run."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.rng = Random(job.seed)
        swarm = job.swarm
        self.tags = [f"tag{number:02}" for number in range(swarm.tags)]
        self.items = [number.to_bytes(ITEM_BYTES, "big") for number in range(swarm.items)]
        self.said = {
            item: self.rng.sample(self.tags, self.rng.randint(1, 3)) for item in self.items
        }
        self.honest = [Clicker("honest", 1 + n, job.rules) for n in range(swarm.nodes)]
        self.attackers: list[Clicker] = []
        self.everybody = list(self.honest)
        self._sheets: dict[bytes, SignedSheet] = {}
        self._all = Clicker("all", 10_000, Rules(one_vote=job.rules.one_vote, cap=None))
        for item in self.items:
            self._all.catalogue.put(item, self.said[item])
        self.reference: dict[str, list[bytes]] | None = None
        """The global rankings from before the attack, once there was one."""
        self.now = 0.0
        self.rows: list[tuple[str, str, bytes, float]] = []
        """All that honest nodes have clicked: who, under which tag, what, when."""
        self.wrong: dict[str, bytes] = {}
        """What the attackers want to see first, by tag."""

    # --- life ------------------------------------------------------------------------------------

    def begin(self) -> None:
        for node in self.honest:
            for item in self.rng.sample(self.items, int(LIBRARY * len(self.items))):
                node.catalogue.put(item, self.said[item])
        for node in self.honest:
            for tag in self.tags:
                known = sorted(node.catalogue.matching(tag))
                if known:
                    self.click(node, tag, self.rng.choice(known))
            self.seal(node)
        for node in self.honest:
            self.pull(node, self.other(node))

    def tick(self) -> None:
        node, tag = self.rng.choice(self.honest), self.rng.choice(self.tags)
        shown = explore(node.ranking.rank(tag), self.rng)
        if shown:
            self.click(node, tag, shown[0].item)
        node.patience -= bool(node.pending)
        if len(node.pending) >= BATCH or not node.patience:
            self.seal(node)
        if self.job.gossip == "pull":
            self.pull(node, self.other(node))
        else:
            self.push(node, self.other(node))

    def other(self, node: Clicker) -> Clicker:
        while (found := self.rng.choice(self.everybody)) is node:
            pass
        return found

    def click(self, node: Clicker, tag: str, item: bytes) -> None:
        if node.rules.one_vote and node.ranking.has_voted(node.name, tag, item):
            return
        node.ranking.add(node.name, tag, item, self.now)
        node.pending.append(Click(tag, item))
        if node.kind == "honest":
            self._all.ranking.add(node.name, tag, item, self.now)
            self.rows.append((node.name, tag, item, self.now))

    def seal(self, node: Clicker) -> None:
        """Sign what is pending: from now on others can get it."""
        node.patience = PATIENCE
        while node.pending:
            rows, node.pending = tuple(node.pending[:64]), node.pending[64:]
            node.seq += 1
            sheet = ClickSheet(incarnation=1, seq=node.seq, clicks=rows)
            signed = SignedSheet(node.name, sheet, seal(sheet, SWARM, node.signer))
            self._sheets[signed.envelope] = signed
            node.log.take(node.name, signed, self.now)

    # --- gossip ----------------------------------------------------------------------------------

    def pull(self, node: Clicker, source: Clicker) -> None:
        while True:
            question = node.log.question(source.name)
            answer = source.log.answer(question)
            node.bytes += len(encode_message(question))
            self.take(node, source, answer)
            if not node.log.heard(source.name, answer) or not answer.more:
                return

    def push(self, node: Clicker, to: Clicker) -> None:
        """Everything that the other has not been sent before; it does not say what it holds."""
        answer = node.log.answer(ClickPull(since=node.sent.get(to.name, 0)), room=1 << 30)
        node.sent[to.name] = answer.upto
        self.take(to, node, answer)

    def take(self, node: Clicker, source: Clicker, answer: ClickSheets) -> None:
        node.bytes += len(encode_message(answer)) if self.job.gossip == "pull" else 0
        source.bytes += len(encode_message(answer)) if self.job.gossip == "push" else 0
        for envelope in answer.sheets:
            signed = self._sheets[envelope]
            if node.log.take(source.name, signed, self.now)[0] != "new":
                continue
            for click in signed.sheet.clicks:
                if click.item not in node.catalogue:
                    node.catalogue.put(click.item, self.said[click.item])
                    node.bytes += CARD
                node.ranking.add(signed.author, click.query, click.item, self.now)

    # --- attackers -------------------------------------------------------------------------------

    def join(self) -> None:
        count = {"none": 0, "targeted": 0.1, "inflation": 0.1, "epic": 3}[self.job.attack]
        for number in range(int(count * len(self.honest))):
            self.attackers.append(Clicker("attacker", 20_000 + number, PAPER))
        self.everybody += self.attackers

    def act(self) -> None:
        self.reference = self.order()
        self.wrong = self.wanted()
        clicks = 1000 if self.job.attack == "inflation" else 100
        for node in self.attackers:
            for tag in self.rng.choices(sorted(self.wrong), k=clicks):
                self.click(node, tag, self.wrong[tag])
            self.seal(node)
            if self.job.gossip == "push":
                for other in self.honest:
                    self.push(node, other)

    def wanted(self) -> dict[str, bytes]:
        """What shall come first in the end, by tag."""
        orders = self.order()
        if self.job.attack == "inflation":
            return {tag: self.rng.choice(order[1:] or order) for tag, order in orders.items()}
        tags = self.tags[:TARGETS] if self.job.attack == "targeted" else self.tags
        return {tag: orders[tag][-1] for tag in tags}

    # --- what is seen ----------------------------------------------------------------------------

    def order(self) -> dict[str, list[bytes]]:
        """The global rankings: everybody's clicks count the same."""
        if self.reference is not None:
            return self.reference
        return {tag: _items(self._all.ranking.rank(tag)) for tag in self.tags}

    def look(self, tick: int, course: Course) -> None:
        distance = best = 0
        orders = self.order()
        for tag, right in orders.items():
            for node in self.honest:
                places = {item: n for n, item in enumerate(_items(node.ranking.rank(tag)))}
                distance += _distance(right, places)
                if tag in (self.wrong or orders):
                    best += places.get(right[0]) == 0
        course.ticks.append(tick)
        course.distance.append(distance)
        course.best.append(best / len(self.wrong or orders) / len(self.honest))
        course.kilobytes.append(sum(node.bytes for node in self.honest) / len(self.honest) / 1000)

    def unknown(self) -> int:
        """See `Course.unknown`."""
        total = 0
        for node in self.honest:
            full = Ranking(node.name, node.rules, self._all.catalogue)
            for row in self.rows:
                full.add(*row)
            for tag in self.tags:
                places = {item: n for n, item in enumerate(_items(node.ranking.rank(tag)))}
                total += _distance(_items(full.rank(tag)), places)
        return total


def run(job: Job) -> Course:
    world, course = World(job), Course()
    world.begin()
    if job.attack == "none":
        course.unknown.append(world.unknown())
    for tick in range(job.swarm.ticks):
        if tick == int(JOIN * job.swarm.ticks):
            world.join()
        if tick == int(ACT * job.swarm.ticks) and job.attack != "none":
            world.act()
        if tick % job.every == 0:
            world.look(tick, course)
        world.now = float(tick)
        world.tick()
    world.look(job.swarm.ticks, course)
    if job.attack == "none":
        course.unknown.append(world.unknown())
    return course


def _items(ranked: Iterable[Ranked]) -> list[bytes]:
    return [one.item for one in ranked]


def _distance(right: Sequence[bytes], places: Mapping[bytes, int]) -> int:
    """Σ of by how many places an item is off; one that is missing stands behind all others."""
    return sum(abs(n - places.get(item, len(right))) for n, item in enumerate(right))
