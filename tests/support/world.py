"""Several cores in virtual time, without runtime, network or tensors.

Messages are encoded and parsed again, documents are really signed and checked; learning is a stub:
a "model" is the hash of what went into it. A run is determined by its seed.

Whatever a test is about, the world sees to it that on a live node the lineage never shrinks, that
every question gets exactly one answer or failure, and that every request is answered exactly once.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gossipd.protocol import events
from gossipd.protocol.exchange import Terms
from gossipd.protocol.gossip import Settings
from gossipd.protocol.greeting import Swarm
from gossipd.protocol.lineage import Lineage, Relation, compare
from gossipd.protocol.node import Node
from gossipd.protocol.setup import Setup
from gossipd.runtime.documents import Documents
from gossipd.runtime.opened import Opened
from gossipd.wire import limits
from gossipd.wire.envelope import Signer
from gossipd.wire.errors import WireError
from gossipd.wire.framing import encode_message
from gossipd.wire.identifiers import author_key, digest, peer_id_of
from gossipd.wire.messages import GENESIS, AnyMessage, Manifest, Refused, Update

SWARM = Swarm(
    id=digest(b"swarm"),
    task=digest(b"task"),
    layout=digest(b"layout"),
    genesis=digest(b"genesis"),
    mode="gossip",
    agent="test/1",
    about="ten numbers",
)
TERMS = Terms(
    task=SWARM.task,
    layout=SWARM.layout,
    parameters=10,
    genesis=SWARM.genesis,
    codecs=frozenset({"half"}),
    body_sizes={"half": (20, 20)},
)
SETTINGS = Settings(cycle_seconds=1.0, local_steps=10, fanout=2, buffer=8, exchange=True)
ANTI_ENTROPY_SECONDS = 2.0


class Counter:
    """Stands in for a counter reserved on disk."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def take(self, count: int) -> int:
        self.value += count
        return self.value - 1


def key_of(name: str) -> tuple[str, Signer]:
    """A peer id and signer that depend on the name alone."""
    key = Ed25519PrivateKey.from_private_bytes(digest(b"key", name.encode()))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return peer_id_of(public), Signer(public, key.sign)


class Member:
    """One node of the world and the stub that learns for it."""

    def __init__(
        self,
        world: "World",
        name: str,
        *,
        incarnation: int = 1,
        swarm: Swarm = SWARM,
        settings: Settings = SETTINGS,
        examples: int = 100,
        class_counts: tuple[int, ...] | None = (50, 50),
        max_connections: int = 64,
        membership: bytes = b"",
        click_seconds: float | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.incarnation, self.swarm, self.settings = incarnation, swarm, settings
        self.id, self.signer = key_of(name)
        self.address = f"/memory/{name}/p2p/{self.id}"
        self.seq = Counter()
        self.documents = Documents(swarm.id, self.signer, incarnation, self.seq)  # type: ignore[arg-type]
        # A signature that one has checked holds for all; checking is most of a run's time.
        self.documents._opened = world.opened
        self.membership = self.documents.membership = membership
        self.me = author_key(self.id, incarnation)
        self.examples, self.class_counts = examples, class_counts
        self.steps = 0
        self.updates: dict[bytes, Update] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.merges: list[events.Merge] = []
        self.outputs: list[events.Output] = []
        self.timers: dict[str, int] = {}
        self.evidence: list[events.KeepEvidence] = []
        self.remembered: dict[str, tuple[str, ...]] = {}
        self.kept: tuple[bytes, ...] = ()
        """Revocations, as a disk would have them."""
        self.failing: events.LearningFailed | None = None
        """What every merge ends in, for a node whose gate or disk refuses."""
        self.running = True
        self._floor: Lineage = {}
        self.node = Node(
            Setup(
                peer_id=self.id,
                incarnation=incarnation,
                swarm=swarm,
                terms=TERMS,
                gossip=settings,
                anti_entropy_seconds=ANTI_ENTROPY_SECONDS,
                max_connections=max_connections,
                membership=self.documents.open_membership(membership) if membership else None,
                click_seconds=click_seconds,
            ),
            Random(f"{world.seed}/{name}"),
        )

    def start(self) -> None:
        record = self.documents.record((self.address,), self.examples, self.class_counts)
        self.feed(events.Started(record, self.documents.claim(self.steps)))

    def knows(self, *others: "Member") -> None:
        for other in others:
            self.feed(events.Discovered(other.id, (other.address,), "operator"))

    def feed(self, event: events.Event) -> None:
        if not self.running:
            return
        for output in self.node.handle(event, self.world.now):
            self.outputs.append(output)
            self.world.perform(self, output)
        assert compare(self._floor, self.lineage) in (Relation.EQUAL, Relation.AHEAD), (
            f"the lineage of {self.name} shrank at {self.world.now:.3f} ({self.world})"
        )
        self._floor = self.lineage

    @property
    def model(self) -> bytes | None:
        return self.node.gossip.model

    @property
    def lineage(self) -> Lineage:
        return self.node.gossip.lineage

    def reported(self, kind: str) -> list[dict[str, Any]]:
        return [fields for k, fields in self.reports if k == kind]

    def update(self, **fields: Any) -> Update:
        """A signed update of this member's; fields replace the honest ones."""
        fields.setdefault("lineage", {self.me: self.steps} if self.steps else {})
        lineage = fields["lineage"]
        seed = repr(sorted(lineage.items())).encode() + self.id.encode()
        body = digest(seed)[:20]
        honest: dict[str, Any] = {
            "swarm": self.swarm.id,
            "task": TERMS.task,
            "incarnation": self.documents.incarnation,
            "seq": self.documents.next_seq(),
            "role": "head",
            "kind": "delta",
            "reference": GENESIS,
            "codec": "half",
            "layout": TERMS.layout,
            "parameters": TERMS.parameters,
            "model": digest(b"model", seed),
            "lineage": lineage,
            "examples": self.examples,
            "steps": self.steps,
            "class_counts": self.class_counts,
            "body_size": len(body),
            "chunks": (digest(body),),
            "created": 1.0,
        }
        update = self.documents.manifest(Manifest(**{**honest, **fields}))
        self.updates[update.id] = update
        return update


@dataclass(eq=False)
class Question:
    """A request that is out."""

    asker: Member
    answerer: str
    request: int
    token: int | None = None
    """By what name the answerer knows it, once it has arrived there."""


class World:
    """Virtual time, links that can be cut, members by name."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.now = 0.0
        self.members: dict[str, Member] = {}
        self.by_id: dict[str, Member] = {}
        self.cut: set[frozenset[str]] = set()
        self.connections: set[frozenset[str]] = set()
        self.log: list[str] = []
        """Every output of every member, in order."""
        self.merges: list[tuple[Member, events.Merge]] = []
        self.opened = Opened(longest=limits.ENVELOPE_BYTES)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._questions: list[Question] = []
        self._tokens = itertools.count(1)
        self._unanswered: dict[int, Member] = {}

    def __repr__(self) -> str:
        return f"World(seed={self.seed})"

    def add(self, name: str, **options: Any) -> Member:
        member = Member(self, name, **options)
        self.members[name] = self.by_id[member.id] = member
        return member

    def swarm(self, count: int, **options: Any) -> list[Member]:
        """Started members that all know each other."""
        members = [self.add(f"n{i}", **options) for i in range(count)]
        for member in members:
            member.start()
        for member in members:
            member.knows(*(m for m in members if m is not member))
        return members

    # --- time ------------------------------------------------------------------------------------

    def at(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._order), action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def run_until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        end = self.now + seconds
        while not condition():
            assert self._queue, f"nothing is going to happen any more ({self})"
            assert self._queue[0][0] <= end, f"not so within {seconds} s ({self})"
            self.now, _, action = heapq.heappop(self._queue)
            action()

    # --- links -----------------------------------------------------------------------------------

    def split(self, left: Sequence[Member], right: Sequence[Member]) -> None:
        """Nobody of `left` and `right` hears the other any more; connections break."""
        for a in left:
            for b in right:
                self.cut.add(frozenset((a.id, b.id)))
                self.drop(a, b, "cut")

    def heal(self) -> None:
        self.cut.clear()

    def are_connected(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self.connections

    def drop(self, a: Member, b: Member, reason: str) -> None:
        """Break a connection: what was asked over it fails, then both hear of its end."""
        pair = frozenset((a.id, b.id))
        if pair not in self.connections:
            return
        self.connections.remove(pair)
        for question in [q for q in self._questions if {q.asker.id, q.answerer} == {a.id, b.id}]:
            self._fail(question, "disconnected")
        a.feed(events.Disconnected(b.id, reason))
        b.feed(events.Disconnected(a.id, reason))

    # --- lives -----------------------------------------------------------------------------------

    def stop(self, member: Member) -> None:
        for other in list(self.members.values()):
            if other is not member:
                self.drop(member, other, "stopped")
        member.running = False
        self._questions = [q for q in self._questions if q.asker is not member]

    def restart(self, name: str, *, remember_claims: bool = True) -> Member:
        """The same key, incarnation and disk in a new process. A crash may lose recent claims."""
        before = self.members[name]
        if before.running:
            self.stop(before)
        member = self.add(
            name,
            incarnation=before.incarnation,
            swarm=before.swarm,
            settings=before.settings,
            examples=before.examples,
            class_counts=before.class_counts,
            membership=before.membership,
        )
        member.seq.value = before.seq.value + 1000
        member.steps = before.steps
        member.updates = before.updates
        view = before.node.view
        member.node.restore(
            before.node.gossip.head,
            tuple(view.records()) if remember_claims else (),
            tuple(view.claims()) if remember_claims else (),
        )
        member.start()
        for peer in before.node.peers:
            member.feed(events.Discovered(peer.id, peer.addresses, "storage"))
        return member

    def wipe(self, name: str) -> Member:
        """The same key on an empty disk: a new incarnation, which begins with nothing."""
        before = self.members[name]
        if before.running:
            self.stop(before)
        return self.add(
            name, incarnation=before.incarnation + 1, swarm=before.swarm, settings=before.settings
        )

    # --- outputs ---------------------------------------------------------------------------------

    def perform(self, member: Member, output: events.Output) -> None:
        self.log.append(f"{self.now:.6f} {member.name} {output!r}")
        getattr(self, f"_on_{type(output).__name__}")(member, output)

    def _delay(self) -> float:
        return self.rng.uniform(0.005, 0.05)

    def _on_SetTimer(self, member: Member, output: events.SetTimer) -> None:  # noqa: N802
        number = next(self._order)
        member.timers[output.key] = number

        def fire() -> None:
            if member.timers.get(output.key) == number:
                member.feed(events.TimerFired(output.key))

        self.at(max(output.at - self.now, 0.0), fire)

    def _on_Dial(self, member: Member, output: events.Dial) -> None:  # noqa: N802
        def arrive() -> None:
            other = self.by_id.get(output.peer)
            pair = frozenset((member.id, output.peer))
            if not member.running or pair in self.connections:
                return
            if other is None or not other.running or pair in self.cut:
                member.feed(events.DialFailed(output.peer, "unreachable"))
                return
            self.connections.add(pair)
            other.feed(events.Connected(member.id, "/memory/x", False))
            member.feed(events.Connected(other.id, other.address, True))

        self.at(self._delay(), arrive)

    def _on_Disconnect(self, member: Member, output: events.Disconnect) -> None:  # noqa: N802
        other = self.by_id.get(output.peer)
        if other is not None and member.running:
            self.at(0.0, lambda: self.drop(member, other, output.reason))

    # --- questions and answers -------------------------------------------------------------------

    def _on_Ask(self, member: Member, output: events.Ask) -> None:  # noqa: N802
        payload = encode_message(output.message)
        question = Question(member, output.peer, output.request)
        self._questions.append(question)

        def arrive() -> None:
            if question not in self._questions:
                return
            if not self.are_connected(member.id, output.peer):
                self._fail(question, "disconnected")
                return
            self._deliver(question, payload)

        self.at(self._delay(), arrive)

    def _deliver(self, question: Question, payload: bytes) -> None:
        sender, receiver = question.asker, self.by_id[question.answerer]
        try:
            message, documents = receiver.documents.open_request(payload)
        except WireError as error:
            receiver.feed(events.Misbehaved(sender.id, error.reason))
            self._settle(question, encode_message(Refused(code=error.reason)))
            return
        question.token = next(self._tokens)
        self._unanswered[question.token] = receiver
        receiver.feed(events.Requested(sender.id, question.token, message, documents))

    def _on_Answer(self, member: Member, output: events.Answer) -> None:  # noqa: N802
        payload = encode_message(output.message)
        answerer = self._unanswered.pop(output.token, None)
        assert answerer is member, f"answered twice, or by another: {output} ({self})"
        question = next((q for q in self._questions if q.token == output.token), None)
        if question is not None:
            self.at(self._delay(), lambda: self._settle(question, payload))

    def _settle(self, question: Question, payload: bytes) -> None:
        """The answer has come, if its connection has not gone meanwhile."""
        if question not in self._questions:
            return
        asker, answerer = question.asker, question.answerer
        try:
            message, documents = asker.documents.open_response(payload)
        except WireError as error:
            asker.feed(events.Misbehaved(answerer, error.reason))
            self._fail(question, error.reason)
            return
        self._questions.remove(question)
        asker.feed(events.Answered(answerer, question.request, message, documents))

    def _fail(self, question: Question, reason: str) -> None:
        self._questions.remove(question)
        question.asker.feed(events.RequestFailed(question.answerer, question.request, reason))

    def say(self, sender: Member, receiver: Member, message: AnyMessage) -> None:
        """Let `sender` ask what its node did not decide to; nobody waits for the answer."""
        self._deliver(Question(sender, receiver.id, -1), encode_message(message))

    def settle_debts(self) -> None:
        """Until no question is open and no request unanswered; a wait in vain fails."""

        def settled() -> bool:
            return not self._questions and not any(
                answerer.running for answerer in self._unanswered.values()
            )

        self.run_until(settled, 60.0)

    # --- bodies ----------------------------------------------------------------------------------

    def _on_Fetch(self, member: Member, output: events.Fetch) -> None:  # noqa: N802
        def arrive() -> None:
            other = self.by_id[output.peer]
            if not self.are_connected(member.id, other.id) or (
                output.update.id not in other.updates
            ):
                failed = events.FetchFailed(other.id, output.update, "fetch-gone", "nobody")
                member.feed(failed)
                return
            member.updates[output.update.id] = output.update
            member.feed(events.Arrived(other.id, output.update))

        self.at(self._delay(), arrive)

    # --- learning, a stub ------------------------------------------------------------------------

    def _on_Train(self, member: Member, output: events.Train) -> None:  # noqa: N802
        # As on disk: steps are reserved before they are made, so a crash never reuses them.
        member.steps += output.steps
        steps = member.steps

        def done() -> None:
            if member.running:
                head = member.update(lineage={**output.lineage, member.me: steps}, steps=steps)
                member.feed(events.Trained(head, member.documents.claim(steps), 1.0))

        self.at(0.1, done)

    def _on_Merge(self, member: Member, output: events.Merge) -> None:  # noqa: N802
        member.merges.append(output)
        self.merges.append((member, output))

        def done() -> None:
            if not member.running:
                return
            adopted = output.sides[0].update
            if member.failing is not None:
                member.feed(member.failing)
            elif output.rule == "adopt" and adopted is not None:
                member.feed(events.Merged(adopted))
            else:
                member.feed(events.Merged(member.update(lineage=output.lineage)))

        self.at(0.05, done)

    def _on_PublishServing(  # noqa: N802
        self, member: Member, output: events.PublishServing
    ) -> None:
        def done() -> None:
            if member.running:
                update = member.update(lineage=output.lineage, role="serving")
                member.feed(events.ServingPublished(update))

        self.at(0.01, done)

    # --- what only people and the disk take notice of --------------------------------------------

    def _on_Report(self, member: Member, output: events.Report) -> None:  # noqa: N802
        member.reports.append((output.kind, dict(output.fields)))

    def _on_KeepRevocations(  # noqa: N802
        self, member: Member, output: events.KeepRevocations
    ) -> None:
        member.kept = output.envelopes

    def _on_KeepEvidence(self, member: Member, output: events.KeepEvidence) -> None:  # noqa: N802
        member.evidence.append(output)

    def _on_Remember(self, member: Member, output: events.Remember) -> None:  # noqa: N802
        member.remembered[output.peer] = output.addresses

    def _on_RememberAll(  # noqa: N802
        self, member: Member, output: events.RememberAll
    ) -> None:
        for one in output.peers:
            self._on_Remember(member, one)
        for signed in output.newcomers:
            member.remembered[signed.author] = signed.record.addresses

    def _on_Forget(self, member: Member, output: events.Forget) -> None:  # noqa: N802
        member.remembered.pop(output.peer, None)


def agree(members: Sequence[Member]) -> bool:
    """Whether all stand on one model with one lineage."""
    return len({(m.model, tuple(sorted(m.lineage.items()))) for m in members}) == 1
