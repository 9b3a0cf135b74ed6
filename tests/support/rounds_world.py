"""Cores that work in sampled rounds, in virtual time; see `support.world`.

Training and averaging are stubs as there: a model is the hash of its lineage and author. The same
merge made by two members has the same hash, as averaging gives the same bits.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from gossipd.protocol import events, round_events
from gossipd.protocol.lineage import Lineage
from gossipd.protocol.node import Node
from gossipd.protocol.round_settings import RoundSettings
from gossipd.protocol.rounds import Rounds
from gossipd.protocol.setup import Setup
from gossipd.wire.framing import encode_message
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import Update
from support.world import ANTI_ENTROPY_SECONDS, SETTINGS, TERMS, Member, Question, World

ROUNDS = RoundSettings(
    sample=5,
    aggregators=1,
    success_fraction=1.0,
    activity_window=50,
    local_steps=10,
    round_seconds=0.0,
    exchange=True,
)


class RoundMember(Member):
    """A member whose node works in rounds."""

    def __init__(
        self, world: "RoundWorld", name: str, *, rounds: RoundSettings = ROUNDS, **options: Any
    ) -> None:
        super().__init__(world, name, **options)
        self.round_settings = rounds
        self.aggregates: list[round_events.Aggregate] = []
        self.blends: list[round_events.Blend] = []
        self.refuses_gate = False
        """Whether this node's gate refuses whatever it judges."""
        self.failing_work: str | None = None
        """Why all that this node's runtime is asked to do fails."""
        self.unreachable = False
        """Whether no body ever comes."""
        self.training_seconds = 0.1
        self.head: Update | None = None
        self.node = Node(
            Setup(
                peer_id=self.id,
                incarnation=self.incarnation,
                swarm=self.swarm,
                terms=TERMS,
                gossip=SETTINGS,
                anti_entropy_seconds=ANTI_ENTROPY_SECONDS,
                max_connections=options.get("max_connections", 64),
                rounds=rounds,
                membership=self.documents.open_membership(self.membership)
                if self.membership
                else None,
            ),
            Random(f"{world.seed}/{name}"),
        )

    @property
    def rounds(self) -> Rounds:
        assert self.node.rounds is not None
        return self.node.rounds

    @property
    def model(self) -> bytes | None:
        return self.rounds.model

    @property
    def lineage(self) -> Lineage:
        return self.rounds.lineage

    @property
    def proven(self) -> int:
        return self.rounds.clock.proven

    def averaged(self, role: str, parts: Sequence[bytes], **fields: Any) -> Update:
        """An update whose model depends on what went into it, not on who made it."""
        model = digest(role.encode(), *parts)
        return self.update(role=role, model=model, **fields)


class RoundWorld(World):
    """A world of such members. `silent`: whom nobody hears any more, though nothing was closed."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.silent: set[str] = set()
        self.drops: Counter[frozenset[str]] = Counter()
        """How often the connection of two has broken."""
        self.asked: Counter[str] = Counter()
        """Messages by type."""

    def add(self, name: str, **options: Any) -> RoundMember:
        member = RoundMember(self, name, **options)
        self.members[name] = self.by_id[member.id] = member
        return member

    def swarm(self, count: int, **options: Any) -> list[RoundMember]:  # type: ignore[override]
        return super().swarm(count, **options)  # type: ignore[return-value]

    def restart(self, name: str, *, remember_claims: bool = True) -> RoundMember:
        before = self.members[name]
        assert isinstance(before, RoundMember)
        if before.running:
            self.stop(before)
        member = self.add(
            name,
            incarnation=before.incarnation,
            swarm=before.swarm,
            rounds=before.round_settings,
            examples=before.examples,
            class_counts=before.class_counts,
            membership=before.membership,
        )
        member.seq.value = before.seq.value + 1000
        member.steps = before.steps
        member.updates = before.updates
        view = before.node.view
        member.node.restore(
            None,
            tuple(view.records()) if remember_claims else (),
            tuple(view.claims()) if remember_claims else (),
        )
        bases = before.rounds.bases
        member.rounds.restore(bases.base, bases.serving, before.steps)
        member.feed(
            events.Started(
                member.documents.record((member.address,), member.examples, member.class_counts),
                member.documents.claim(member.node.own_steps),
            )
        )
        for peer in before.node.peers:
            member.feed(events.Discovered(peer.id, peer.addresses, "storage"))
        return member

    # --- messages --------------------------------------------------------------------------------

    def _on_Ask(self, member: Member, output: events.Ask) -> None:  # noqa: N802
        self.asked[type(output.message).__name__] += 1
        payload = encode_message(output.message)
        question = Question(member, output.peer, output.request)
        self._questions.append(question)
        pair = frozenset((member.id, output.peer))
        connection = self.drops[pair]

        def arrive() -> None:
            if question not in self._questions:
                return
            if pair in self.connections and self.drops[pair] == connection:
                self._deliver(question, payload)
            else:
                # What was asked over a connection does not arrive over the next one.
                self._fail(question, "disconnected")

        self.at(self._delay(), arrive)

    def _on_Dial(self, member: Member, output: events.Dial) -> None:  # noqa: N802
        if {member.id, output.peer} & self.silent:
            failed = events.DialFailed(output.peer, "dial-timeout")

            def give_up() -> None:
                if member.running:
                    member.feed(failed)

            self.at(10.0, give_up)
        else:
            super()._on_Dial(member, output)

    def drop(self, a: Member, b: Member, reason: str) -> None:
        super().drop(a, b, reason)
        # Afterwards: what is asked while it breaks is asked over the broken one.
        self.drops[frozenset((a.id, b.id))] += 1

    def _deliver(self, question: Any, payload: bytes) -> None:
        if {question.asker.id, question.answerer} & self.silent:
            # Nothing comes of it but the request's own time-out.
            def give_up() -> None:
                if question in self._questions:
                    self._fail(question, "timeout")

            self.at(10.0, give_up)
            return
        super()._deliver(question, payload)

    def _on_CancelTimer(self, member: Member, output: events.CancelTimer) -> None:  # noqa: N802
        member.timers.pop(output.key, None)

    def _on_Fetch(self, member: Member, output: events.Fetch) -> None:  # noqa: N802
        if output.update.id in member.updates:
            self.at(0.0, lambda: member.feed(events.Arrived(output.peer, output.update)))
        elif isinstance(member, RoundMember) and member.unreachable:
            lost = events.FetchFailed(output.peer, output.update, "fetch-gone", "nobody")
            self.at(0.01, lambda: member.feed(lost))
        elif {member.id, output.peer} & self.silent:
            failed = events.FetchFailed(output.peer, output.update, "fetch-timeout", "nobody")
            self.at(20.0, lambda: member.feed(failed))
        else:
            super()._on_Fetch(member, output)

    # --- learning, a stub ------------------------------------------------------------------------

    def _on_TrainRound(  # noqa: N802
        self, member: RoundMember, output: round_events.TrainRound
    ) -> None:
        member.steps += output.steps
        steps = member.steps
        model = TERMS.genesis if output.model is None else output.model.manifest.model
        lineage = {} if output.model is None else output.model.manifest.lineage

        def done() -> None:
            if member.failing_work is not None:
                member.feed(round_events.RoundWorkFailed(output.ticket, member.failing_work))
                return
            head = member.update(
                role="head",
                base=model,
                round=output.round,
                lineage={**lineage, member.me: steps},
                steps=steps,
            )
            participation = member.documents.participation(output.round, output.sample.id)
            claim = member.documents.claim(steps)
            member.head = head
            member.feed(round_events.RoundTrained(output.ticket, head, claim, participation, 1.0))

        self.at(member.training_seconds, done)

    def _on_Aggregate(  # noqa: N802
        self, member: RoundMember, output: round_events.Aggregate
    ) -> None:
        member.aggregates.append(output)
        parts = [h.manifest.model for g in output.groups for h in g.heads]
        parts += [o.base.manifest.model for o in output.offered]
        parts.sort()
        chain = b"" if output.serving is None else output.serving.manifest.model

        def done() -> None:
            if member.refuses_gate:
                member.feed(round_events.RoundWorkFailed(output.ticket, "refused", gate=True))
                return
            fields: dict[str, Any] = {"lineage": output.lineage, "round": output.round}
            fields["steps"] = output.lineage.get(member.me, 0)
            base = member.averaged("base", parts, **fields)
            serving = member.averaged("serving", [*parts, chain], **fields)
            member.feed(round_events.RoundAggregated(output.ticket, base, serving))

        self.at(0.05, done)

    def _on_Blend(self, member: RoundMember, output: round_events.Blend) -> None:  # noqa: N802
        member.blends.append(output)
        parts = sorted(o.base.manifest.model for o in output.sides)
        steps = output.lineage.get(member.me, 0)

        def done() -> None:
            serving = member.averaged(
                "serving", parts, lineage=output.lineage, round=output.round, steps=steps
            )
            member.feed(round_events.Blended(output.ticket, serving))

        self.at(0.05, done)

    def _on_Adopt(self, member: RoundMember, output: round_events.Adopt) -> None:  # noqa: N802
        def done() -> None:
            if member.failing_work is not None:
                member.feed(round_events.RoundWorkFailed(output.ticket, member.failing_work))
            elif member.refuses_gate and output.gated and output.base is not None:
                member.feed(round_events.RoundWorkFailed(output.ticket, "refused", gate=True))
            else:
                member.feed(round_events.Adopted(output.ticket))

        self.at(0.01, done)

    def _on_SealSample(  # noqa: N802
        self, member: RoundMember, output: round_events.SealSample
    ) -> None:
        sample = member.documents.sample(output.round, output.peers, output.model, output.attempt)
        self.at(0.0, lambda: member.feed(round_events.SampleSealed(output.ticket, sample)))
