"""One core and nobody else: the test plays its peers, its network and its learning, event by event.

Puppets are peers that only sign; what they "say" is what the test says.
"""

import itertools
from typing import Any, TypeVar

from gossipd.protocol import events
from gossipd.protocol.events import Output
from gossipd.protocol.node import Node
from gossipd.wire.messages import (
    Have,
    Hello,
    Offer,
    Request,
    Response,
    SignedClaim,
    SignedRecord,
    Update,
    View,
)
from support.world import Member, World

O = TypeVar("O", bound=Output)  # noqa: E741 - an output of one kind

NOWHERE = "/memory/nowhere"


def only(outputs: list[Output], kind: type[O]) -> list[O]:
    return [output for output in outputs if isinstance(output, kind)]


def one(outputs: list[Output], kind: type[O]) -> O:
    found = only(outputs, kind)
    assert len(found) == 1, f"{len(found)} of {kind.__name__} in {outputs}"
    return found[0]


class Solo:
    """The node under test."""

    def __init__(self, **options: Any) -> None:
        self.world = World()
        self.member = Member(self.world, "me", **options)
        self.now = 0.0
        self.timers: dict[str, float] = {}
        self.outputs: list[Output] = []
        self._tokens = itertools.count(1)

    @property
    def node(self) -> Node:
        return self.member.node

    def feed(self, event: events.Event) -> list[Output]:
        outputs = self.node.handle(event, self.now)
        for timer in only(outputs, events.SetTimer):
            self.timers[timer.key] = timer.at
        self.outputs += outputs
        return outputs

    def fire(self, key: str) -> list[Output]:
        """Wait until a timer is due."""
        self.now = max(self.timers.pop(key), self.now)
        return self.feed(events.TimerFired(key))

    def start(self) -> "Solo":
        record = self.member.documents.record((NOWHERE,), self.member.examples, (50, 50))
        self.feed(events.Started(record, self.member.documents.claim(self.member.steps)))
        return self

    def reports(self, kind: str) -> list[dict[str, Any]]:
        return [dict(r.fields) for r in only(self.outputs, events.Report) if r.kind == kind]

    # --- peers -----------------------------------------------------------------------------------

    def puppet(self, name: str, *, steps: int = 10, **options: Any) -> Member:
        puppet = Member(self.world, name, **options)
        puppet.steps = steps
        return puppet

    def record_of(self, puppet: Member) -> SignedRecord:
        return puppet.documents.record((puppet.address,), puppet.examples, puppet.class_counts)

    def hello_of(self, puppet: Member, **fields: Any) -> tuple[Hello, tuple[Any, ...]]:
        """A puppet's Hello and the documents in it; fields replace the honest ones."""
        record = self.record_of(puppet)
        claim = puppet.documents.claim(puppet.steps)
        swarm = puppet.swarm
        honest: dict[str, Any] = {
            "swarm": swarm.id,
            "task": swarm.task,
            "layout": swarm.layout,
            "genesis": swarm.genesis,
            "record": record.envelope,
            "claim": claim.envelope,
        }
        return Hello(**{**honest, **fields}), (record, claim)

    def meet(self, *puppets: Member) -> list[Output]:
        """Puppets dial, say Hello and ask something, after which they can be asked."""
        outputs: list[Output] = []
        for puppet in puppets:
            outputs += self.feed(events.Connected(puppet.id, NOWHERE, False))
            hello, documents = self.hello_of(puppet)
            outputs += self.ask(puppet, hello, *documents)
            empty = Have(lineage={}, model=bytes(32))
            outputs += self.ask(puppet, empty)
        # What the node asks on meeting is answered with nothing.
        for asked in only(outputs, events.Ask):
            answer = Offer() if isinstance(asked.message, Have) else View()
            self.feed(events.Answered(asked.peer, asked.request, answer))
        return outputs

    def peer(self, name: str, **options: Any) -> Member:
        """A puppet that has met the node."""
        puppet = self.puppet(name, **options)
        self.meet(puppet)
        return puppet

    def ask(self, puppet: Member, message: Request, *documents: Any) -> list[Output]:
        return self.feed(events.Requested(puppet.id, next(self._tokens), message, tuple(documents)))

    def answer(self, asked: events.Ask, message: Response, *documents: Any) -> list[Output]:
        return self.feed(events.Answered(asked.peer, asked.request, message, tuple(documents)))

    # --- updates ---------------------------------------------------------------------------------

    def claims_behind(self, update: Update, *puppets: Member) -> tuple[SignedClaim, ...]:
        by_author = {p.me: p for p in puppets}
        return tuple(
            by_author[author].documents.claim(steps)
            for author, steps in update.manifest.lineage.items()
            if author in by_author
        )

    def offer(self, carrier: Member, *updates: Update, proven_by: tuple[Member, ...] = ()) -> Any:
        """`carrier` offers updates with the claims of itself and of `proven_by`."""
        claims = [c for u in updates for c in self.claims_behind(u, carrier, *proven_by)]
        message = Offer(
            manifests=tuple(u.envelope for u in updates),
            claims=tuple(c.envelope for c in claims),
        )
        return self.ask(carrier, message, *claims, *updates)

    def arrive(self, carrier: Member, update: Update) -> list[Output]:
        return self.feed(events.Arrived(carrier.id, update))

    def bring(self, carrier: Member, update: Update, *proven_by: Member) -> list[Output]:
        """Offer, fetch and arrival of one update whose serving model is not to be had."""
        outputs = self.offer(carrier, update, proven_by=proven_by)
        assert one(outputs, events.Fetch).update is update
        outputs = self.arrive(carrier, update)
        for asked in only(outputs, events.Ask):
            outputs += self.answer(asked, Offer())
        return outputs

    # --- learning --------------------------------------------------------------------------------

    def trained(self, steps: int = 10) -> list[Output]:
        """Local training went on from where the node stands."""
        member = self.member
        member.steps += steps
        head = member.update(lineage={**self.node.gossip.lineage, member.me: member.steps})
        return self.feed(events.Trained(head, member.documents.claim(member.steps), 1.0))

    def merged(self, merge: events.Merge) -> list[Output]:
        """The merge that the node asked for is made."""
        adopted = merge.sides[0].update
        if merge.rule == "adopt" and adopted is not None:
            return self.feed(events.Merged(adopted))
        return self.feed(events.Merged(self.member.update(lineage=merge.lineage)))
