"""What sampled rounds ask of a node's models: train, aggregate, adopt, sign.

The mirror of `inbound` and `outbound` for `mode = "rounds"`. A base changes by `adopt` alone, in
one transaction; what is published before that is on disk, so nothing that anybody has heard of is
lost in a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from gossipd.averaging.concurrent import Side, merge_concurrent
from gossipd.averaging.group import average_group
from gossipd.protocol.round_events import (
    Adopt,
    Adopted,
    Aggregate,
    Blend,
    Blended,
    Group,
    Offered,
    RoundAggregated,
    RoundTrained,
    RoundWorkFailed,
    SampleSealed,
    SealSample,
    TrainRound,
)
from gossipd.runtime import gate
from gossipd.runtime.coding import Way
from gossipd.runtime.counters import ReservedCounter
from gossipd.runtime.documents import Documents
from gossipd.runtime.inbound import Averaging, GateRefusedError, declared_by
from gossipd.runtime.models import Models
from gossipd.runtime.outbound import Outbound
from gossipd.runtime.ports import (
    Clock,
    Compute,
    Evaluation,
    Learner,
    Pointers,
    Store,
    StoredModel,
    Vector,
)
from gossipd.tensors.codecs import CodecError
from gossipd.wire.errors import WireError
from gossipd.wire.messages import Role, Update

P = TypeVar("P", Adopt, Aggregate, Blend)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RoundWork:
    """One node's hands."""

    models: Models
    outbound: Outbound
    documents: Documents
    learner: Learner
    store: Store
    compute: Compute
    clock: Clock
    steps: ReservedCounter
    averaging: Averaging
    serving_decay: float

    # --- training --------------------------------------------------------------------------------

    async def train(self, plan: TrainRound) -> RoundTrained | RoundWorkFailed:
        """Train from exactly the round's model; the head is committed before anybody hears of it,
        so that its steps stay claimed."""
        try:
            # Reserved on disk before the first step is made, so no step is ever counted twice.
            steps = self.steps.take(plan.steps)
            head, loss = await self.compute.run(self._train, plan, steps)
            standing = self.models.pointers
            pointers = Pointers(standing.base, head.manifest.model, standing.serving, False)
            self.outbound.stand(pointers, [self._row(head, "head")])
        except (CodecError, WireError) as error:
            return RoundWorkFailed(plan.ticket, f"training diverged: {error.reason}")
        except LookupError as error:
            return RoundWorkFailed(plan.ticket, str(error))
        except OSError as error:
            return RoundWorkFailed(plan.ticket, f"storage: {error}")
        participation = self.documents.participation(plan.round, plan.sample.id)
        claim = self.documents.claim(steps)
        return RoundTrained(plan.ticket, head, claim, participation, loss)

    def _train(self, plan: TrainRound, steps: int) -> tuple[Update, float]:
        start = self.models.genesis if plan.model is None else self._vector(plan.model)
        # The counter numbers the mini-batches too: after a restart training goes on in the data.
        training = self.learner.train(start, None, plan.steps, seed=steps - plan.steps)
        lineage = {} if plan.model is None else plan.model.manifest.lineage
        model = self.models.genesis_hash if plan.model is None else plan.model.manifest.model
        head = self.outbound.publish(
            training.vector,
            role="head",
            lineage={**lineage, self.outbound.me: steps},
            steps=steps,
            base=model,
            round_=plan.round,
            way=self.models.coding.head(model, len(plan.sample.sample.peers)),
        )
        self.store.save_vector(head.manifest.model, self.models.get(head.manifest.model))
        return head, training.loss

    # --- aggregating -----------------------------------------------------------------------------

    async def aggregate(self, plan: Aggregate) -> RoundAggregated | RoundWorkFailed:
        """Make and publish a base and the serving model beside it."""
        return await self._guarded(plan.ticket, self._aggregate, plan)

    def _aggregate(self, plan: Aggregate) -> RoundAggregated:
        groups = [self._group(group) for group in plan.groups]
        sides = [*groups, *(self._side(offered, offered.base) for offered in plan.offered)]
        candidate = self._merged(sides)
        evaluation = self._judge(candidate)
        heads = sum(len(group.heads) for group in plan.groups)
        way = self.models.coding.base(plan.reference, heads)
        base = self._publish(candidate, "base", plan, evaluation, way)
        model = self.models.get(base.manifest.model)
        chain = self._serving(plan, groups, model)
        if chain is not model:
            way = self.models.coding.serving(way, base.manifest.model, heads)
        serving = self._publish(chain, "serving", plan, way=way)
        gain = None if groups else self._gained(self.models.pointers.base, evaluation)
        return RoundAggregated(plan.ticket, base, serving, gain)

    def _publish(
        self,
        vector: Vector,
        role: Role,
        plan: Aggregate | Blend,
        evaluation: Evaluation | None = None,
        way: Way | None = None,
    ) -> Update:
        return self.outbound.publish(
            vector,
            role=role,
            lineage=plan.lineage,
            steps=plan.lineage.get(self.outbound.me, 0),
            evaluation=evaluation,
            round_=plan.round,
            way=way or self.models.coding.whole,
        )

    def _group(self, group: Group) -> Side:
        """The average of heads that were trained from one model, as a side of the merge."""
        heads = zip(group.heads, group.weights, group.profiles, strict=True)
        average = average_group(
            self.models.layout,
            [
                Side(self._vector(head), weight, profile, declared_by(head))
                for head, weight, profile in heads
            ],
            self.models.find(group.model),
            average=self.averaging,
        )
        return Side(average, group.examples, group.class_counts, None, group.fresh, group.shared)

    def _side(self, offered: Offered, update: Update) -> Side:
        return Side(
            self._vector(update),
            offered.examples,
            offered.class_counts,
            declared_by(update),
            offered.fresh,
            offered.shared,
        )

    def _merged(self, sides: list[Side]) -> Vector:
        if len(sides) == 1:
            return sides[0].vector
        return merge_concurrent(self.models.layout, sides, average=self.averaging)

    def _serving(self, plan: Aggregate, groups: list[Side], model: Vector) -> Vector:
        """E <- d E + (1 - d) M, in float64, islands' serving models merged into E before."""
        islands = [self._side(o, o.serving) for o in plan.offered if o.serving is not None]
        if not groups:
            # No round was trained: the sides' serving models are merged as their bases are.
            if not islands:
                return model if plan.serving is None else self._vector(plan.serving)
            return self._merged([self._side(o, o.serving or o.base) for o in plan.offered])
        if plan.serving is None:
            return self._merged([_like(groups, model), *islands])
        chain = self._merged([_like(groups, self._vector(plan.serving)), *islands])
        decay = self.serving_decay
        average = decay * chain.astype("f8") + (1.0 - decay) * model
        return average.astype("f4")

    async def blend(self, plan: Blend) -> Blended | RoundWorkFailed:
        """Make and publish one serving model of islands' ones."""
        return await self._guarded(plan.ticket, self._blend, plan)

    def _blend(self, plan: Blend) -> Blended:
        candidate = self._merged([self._side(offered, offered.base) for offered in plan.sides])
        evaluation = self._judge(candidate)
        serving = self._publish(candidate, "serving", plan, evaluation)
        return Blended(plan.ticket, serving, self._gained(self.models.pointers.serving, evaluation))

    # --- adopting --------------------------------------------------------------------------------

    async def adopt(self, plan: Adopt) -> Adopted | RoundWorkFailed:
        """Stand on another base, predict with another serving model: committed together."""
        failed = await self._guarded(plan.ticket, self._prepare, plan)
        if isinstance(failed, RoundWorkFailed):
            return failed
        standing = self.models.pointers
        base, head, serving = standing.base, standing.head, standing.serving
        rows = []
        if plan.base is not None:
            if serving in (self.models.initial, base):
                # Until a serving model comes by, the base is the best to predict with.
                serving = plan.base.manifest.model
            base = head = plan.base.manifest.model
            rows.append(self._row(plan.base, "base"))
        if plan.serving is not None:
            serving = plan.serving.manifest.model
            rows.append(self._row(plan.serving, "serving"))
        try:
            self.outbound.stand(Pointers(base, head, serving, False), rows)
        except OSError as error:
            return RoundWorkFailed(plan.ticket, f"storage: {error}")
        return Adopted(plan.ticket)

    def _prepare(self, plan: Adopt) -> None:
        for update in (plan.base, plan.serving):
            if update is None:
                continue
            vector = self._vector(update)
            model = update.manifest.model
            if update is plan.base and plan.gated:
                self.outbound.evaluations[model] = self._judge(vector)
            elif model not in self.outbound.evaluations:
                self.outbound.evaluations[model] = self.learner.held_out(vector)
            self.store.save_vector(model, vector)

    def _judge(self, candidate: Vector) -> Evaluation:
        evaluation = self.learner.held_out(candidate)
        base = self.models.pointers.base
        own = self.outbound.evaluations.get(base)
        if base == self.models.genesis_hash:
            own = None
        elif own is None:
            own = self.learner.held_out(self.models.get(base))
            self.outbound.evaluations[base] = own
        reason = gate.refusal(evaluation, own, self.learner.guess)
        if reason is not None:
            raise GateRefusedError(reason)
        return evaluation

    def _gained(self, model: bytes, candidate: Evaluation) -> float | None:
        """By how much a candidate has lowered the loss of a model that this node stands on."""
        if not candidate.examples:
            return None
        own = self.outbound.evaluations.get(model)
        return (own or self.learner.held_out(self.models.get(model))).loss - candidate.loss

    # --- signing ---------------------------------------------------------------------------------

    def seal(self, plan: SealSample) -> SampleSealed:
        sample = self.documents.sample(plan.round, plan.peers, plan.model, plan.attempt)
        return SampleSealed(plan.ticket, sample)

    # --- common ----------------------------------------------------------------------------------

    def _vector(self, update: Update) -> Vector:
        """An update's model. LookupError when neither it nor its body is here any more."""
        vector = self.models.find(update.manifest.model)
        if vector is None:
            body = self.store.load_body(update.id)
            if body is None:
                raise LookupError(f"the body of update {update.id.hex()[:16]} is gone")
            self.models.decode(update.manifest, body)
            vector = self.models.get(update.manifest.model)
        return vector

    def _row(self, update: Update, role: Literal["base", "head", "serving"]) -> StoredModel:
        manifest = update.manifest
        measured = self.outbound.evaluations.get(manifest.model)
        return StoredModel(
            model=manifest.model,
            role=role,
            lineage=manifest.lineage,
            update=update.id,
            created=self.clock.wall(),
            loss=measured.loss if measured and measured.examples else None,
            accuracy=measured.accuracy if measured and measured.examples else None,
        )

    async def _guarded(self, ticket: int, make: Callable[[P], R], plan: P) -> R | RoundWorkFailed:
        """In the compute worker; what may go wrong there is told, not raised."""
        try:
            return await self.compute.run(make, plan)
        except GateRefusedError as refused:
            return RoundWorkFailed(ticket, str(refused), gate=True)
        except (CodecError, WireError) as error:
            return RoundWorkFailed(ticket, error.reason)
        except LookupError as error:
            return RoundWorkFailed(ticket, str(error))
        except OSError as error:
            return RoundWorkFailed(ticket, f"storage: {error}")


def _like(groups: list[Side], vector: Vector) -> Side:
    """The serving chain among islands' serving models: it weighs as the largest group does."""
    largest = max(groups, key=lambda side: side.examples)
    return Side(vector, largest.examples, largest.class_counts, None, largest.fresh, largest.shared)
