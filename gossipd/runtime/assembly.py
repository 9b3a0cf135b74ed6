"""Puts one node together from its ports: the same for daemon and simulator.

models, documents -> outbound, inbound -> node -> engine
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from gossipd.network.interface import Transport
from gossipd.protocol import events
from gossipd.protocol.exchange import Terms
from gossipd.protocol.gossip import Settings
from gossipd.protocol.greeting import Swarm
from gossipd.protocol.membership import OUTSIDER, Denial
from gossipd.protocol.node import Node
from gossipd.protocol.policy import PolicyName
from gossipd.protocol.round_settings import RoundSettings
from gossipd.protocol.setup import Setup
from gossipd.runtime import state
from gossipd.runtime.counters import ReservedCounter
from gossipd.runtime.documents import Documents
from gossipd.runtime.downloads import Downloads
from gossipd.runtime.engine import Engine, Log
from gossipd.runtime.inbound import Inbound
from gossipd.runtime.models import Models
from gossipd.runtime.opened import Opened
from gossipd.runtime.outbound import Identifiers, Outbound
from gossipd.runtime.ports import Clock, Compute, Learner, LetIn, Store, StoredModel
from gossipd.runtime.round_work import RoundWork
from gossipd.runtime.waits import Waits
from gossipd.tensors.codecs import body_sizes, names
from gossipd.wire import limits
from gossipd.wire.envelope import Signer
from gossipd.wire.identifiers import open_swarm, peer_id_of, task_digest
from gossipd.wire.messages import SignedRecord

COUNTER_BLOCK = 256
"""Steps and sequence numbers reserved at once: one write to disk per some dozen cycles."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The world that a node lives in."""

    transport: Transport
    store: Store
    clock: Clock
    compute: Compute
    learner: Learner
    signer: Signer
    rng: Random
    report: Callable[[str, dict[str, Any]], None]
    log: Log
    keep_revocations: Callable[[Sequence[bytes]], None] = lambda envelopes: None
    """Write down who was shut out of a closed swarm, for the next life's `Options`."""
    let_in: LetIn = lambda peer, message: Denial("no-books", OUTSIDER)
    """What a founder's books make of an invitation; only founders are asked."""
    saves_swarm: bool = True
    """Whether what is known of the swarm is written down with every merged model."""
    opened: Opened | None = None
    """What has been checked already, shared by nodes of one process; None: a cache of its own."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator may set of it; the defaults and their origins are in `gossipd.config`."""

    swarm: bytes | None
    """None is the open swarm of the task."""
    agent: str
    gossip: Settings
    anti_entropy_seconds: float
    averaging: Literal["variance_corrected", "mean"]
    self_weight: float
    serving_decay: float
    codec: str
    init: Literal["genesis", "own"]
    max_connections: int
    request_timeout: float
    dial_timeout: float
    progress_timeout: float
    allow: tuple[str, ...] = ()
    """The only peers to talk to; empty: everybody."""
    block: tuple[str, ...] = ()
    """Those never to talk to."""
    rounds: RoundSettings | None = None
    """None: the asynchronous way, `gossip`."""
    membership: bytes = b""
    """This node's own, signed by the founder of a closed swarm, which then is `swarm`."""
    revocations: tuple[bytes, ...] = ()
    """Those that were kept."""
    policy: PolicyName = "uniform"
    """How a peer is chosen for gossip and anti-entropy, in the asynchronous way."""
    click_seconds: float | None = None
    """Mean seconds between two pulls of clicks; None: they are not exchanged."""
    title: str = ""
    tags: tuple[str, ...] = ()
    licence: str = ""
    """What is said of the models that this node signs; the task's name is always a tag."""
    labels: bool = True
    """Whether others are told how many examples of each label there are here."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One node, put together."""

    engine: Engine
    node: Node
    transport: Transport
    documents: Documents
    models: Models
    outbound: Outbound
    inbound: Inbound
    round_work: RoundWork
    steps: ReservedCounter
    waits: Waits
    store: Store
    learner: Learner
    labels: bool
    """As in `Options`."""
    restored: bool
    """False on a fresh start, and when what was committed is damaged or gone."""

    def started(self, addresses: Sequence[str]) -> events.Started:
        """The node's first event, once it listens."""
        steps = self.node.own_steps
        if not self.restored and self.store.pointers() is not None:
            # The head is lost, but others may hold its steps: claim beyond what was ever used.
            steps = self.steps.take(1)
        return events.Started(self.record(addresses), self.documents.claim(steps))

    def leaving(self) -> SignedRecord:
        """The last record of this life: it is no candidate for rounds until its next."""
        return self._record(self.transport.addresses, "leave")

    def record(self, addresses: Sequence[str]) -> SignedRecord:
        """What this node says of itself at these addresses, newly signed."""
        return self._record(addresses, "join")

    def _record(self, addresses: Sequence[str], event: Literal["join", "leave"]) -> SignedRecord:
        counts = self.learner.class_counts if self.labels else None
        return self.documents.record(tuple(addresses), self.learner.examples, counts, event)


def assemble(ports: Ports, options: Options) -> Parts:
    """One node on these ports, standing where its store says. Loads models: call it in the
    compute worker."""
    learner, store = ports.learner, ports.store
    waits = Waits(ports.clock)
    # A round's model must be one for all, so it begins with the task's.
    init = options.init if options.rounds is None else "genesis"
    models = Models(store, learner, options.codec, init)
    layout = learner.layout
    task = task_digest(learner.task, layout.hash, models.genesis_hash)
    swarm = Swarm(
        id=options.swarm or open_swarm(task),
        task=task,
        layout=layout.hash,
        genesis=models.genesis_hash,
        mode="gossip" if options.rounds is None else "rounds",
        agent=options.agent,
        about=f"{learner.task} ({layout.parameters:,} parameters)"[: limits.ABOUT_TEXT],
    )
    peer_id = peer_id_of(ports.signer.public_key)
    documents = Documents(
        swarm.id,
        ports.signer,
        store.incarnation(),
        ReservedCounter(store, "seq", COUNTER_BLOCK),
        ports.opened,
    )
    documents.membership = options.membership
    steps = ReservedCounter(store, "steps", COUNTER_BLOCK)
    outbound = Outbound(
        identifiers=Identifiers(
            swarm.id,
            task,
            peer_id,
            (learner.task, *options.tags),
            options.title,
            options.licence,
            options.labels,
        ),
        documents=documents,
        models=models,
        learner=learner,
        store=store,
        compute=ports.compute,
        clock=ports.clock,
        steps=steps,
        serving_decay=options.serving_decay,
        snapshot=lambda: state.snapshot(node, ports.transport.port) if ports.saves_swarm else None,
    )
    inbound = Inbound(
        downloads=Downloads(
            ports.transport,
            waits,
            options.progress_timeout,
            lambda peer, reason: engine.feed(events.Misbehaved(peer, reason)),
        ),
        models=models,
        outbound=outbound,
        learner=learner,
        store=store,
        compute=ports.compute,
        averaging=options.averaging,
        self_weight=options.self_weight,
    )
    node = Node(
        Setup(
            peer_id=peer_id,
            incarnation=documents.incarnation,
            swarm=swarm,
            terms=Terms(
                task=task,
                layout=layout.hash,
                parameters=layout.parameters,
                genesis=models.genesis_hash,
                codecs=frozenset(names()),
                body_sizes={name: body_sizes(name, layout) for name in names()},
                any_reference=options.rounds is not None,
            ),
            gossip=options.gossip,
            anti_entropy_seconds=options.anti_entropy_seconds,
            max_connections=options.max_connections,
            allow=options.allow,
            block=options.block,
            rounds=options.rounds,
            membership=documents.open_membership(options.membership)
            if options.membership
            else None,
            revocations=tuple(map(documents.open_revocation, options.revocations)),
            policy=options.policy,
            click_seconds=options.click_seconds,
        ),
        ports.rng,
        # Whom a node asks for clicks is no secret.
        Random(f"clicks/{peer_id}/{documents.incarnation}"),
    )
    head = _standing(models, store)
    state.restore(node, state.load(store), head, documents, store)
    if node.rounds is not None:
        state.restore_rounds(node.rounds, models, outbound, documents, store, head)
    round_work = RoundWork(
        models=models,
        outbound=outbound,
        documents=documents,
        learner=learner,
        store=store,
        compute=ports.compute,
        clock=ports.clock,
        steps=steps,
        averaging=options.averaging,
        serving_decay=options.serving_decay,
    )
    engine = Engine(
        node=node,
        transport=ports.transport,
        inbound=inbound,
        outbound=outbound,
        round_work=round_work,
        documents=documents,
        store=store,
        clock=ports.clock,
        waits=waits,
        report=ports.report,
        keep_revocations=ports.keep_revocations,
        let_in=ports.let_in,
        log=ports.log,
        request_timeout=options.request_timeout,
        dial_timeout=options.dial_timeout,
    )
    return Parts(
        engine=engine,
        node=node,
        transport=ports.transport,
        documents=documents,
        models=models,
        outbound=outbound,
        inbound=inbound,
        round_work=round_work,
        steps=steps,
        waits=waits,
        store=store,
        learner=learner,
        labels=options.labels,
        restored=head is not None,
    )


def _standing(models: Models, store: Store) -> StoredModel | None:
    """Where storage says this node stood, if its models are still there."""
    pointers = store.pointers()
    if pointers is None:
        return None
    head = next((m for m in store.models() if m.model == pointers.head), None)
    if head is None or not models.restore(pointers):
        return None
    return head
