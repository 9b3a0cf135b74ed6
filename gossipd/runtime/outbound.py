"""An update's way out: train -> encode -> sign -> commit -> tell the core; and its body, on demand.

The mirror of `inbound`. What is told to the core is committed: a crash after it loses nothing that
anybody has heard of.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from msgspec import UNSET

from gossipd.protocol.events import (
    LearningFailed,
    PublishServing,
    ServingPublished,
    Train,
    Trained,
)
from gossipd.runtime.coding import Way
from gossipd.runtime.counters import ReservedCounter
from gossipd.runtime.documents import Documents
from gossipd.runtime.models import NUMBER_BYTES, Encoded, Models
from gossipd.runtime.ports import (
    Clock,
    Compute,
    Evaluation,
    Learner,
    Pointers,
    Store,
    StoredModel,
    Training,
    Vector,
)
from gossipd.tensors.codecs import CodecError
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key, digest
from gossipd.wire.messages import WHOLE, ZERO, Manifest, Role, Update


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What every manifest of this node says the same."""

    swarm: bytes
    task: bytes
    peer_id: str
    tags: tuple[str, ...]
    title: str = ""
    licence: str = ""
    labels: bool = True
    """Whether it says how many examples of each label there are."""


class Outbound:
    """Makes, signs and commits this node's own updates."""

    def __init__(
        self,
        *,
        identifiers: Identifiers,
        documents: Documents,
        models: Models,
        learner: Learner,
        store: Store,
        compute: Compute,
        clock: Clock,
        steps: ReservedCounter,
        serving_decay: float,
        snapshot: Callable[[], bytes | None],
    ) -> None:
        self._identifiers = identifiers
        self._documents = documents
        self._models = models
        self._learner = learner
        self._store = store
        self._compute = compute
        self._clock = clock
        self._steps = steps
        self._serving_decay = serving_decay
        self._snapshot = snapshot
        self.me = author_key(identifiers.peer_id, documents.incarnation)
        self.published: Counter[str] = Counter()
        """Own updates by codec, since the start."""
        self.bodies_sent = 0
        """Bodies that others have asked for, resumed ones again,"""
        self.bytes_sent = 0
        """and how long they were; as float32 each would have been as long as `whole_bytes`."""
        self.whole_bytes = NUMBER_BYTES * models.layout.parameters
        self.evaluations: dict[bytes, Evaluation] = {}
        """Held-out evaluations of the models that this node stands on, by content hash."""

    # --- training --------------------------------------------------------------------------------

    async def train(self, plan: Train) -> Trained | LearningFailed:
        """Train from the head, publish and commit the new head."""
        try:
            # Reserved on disk before the first step is made, so no step is ever counted twice.
            steps = self._steps.take(plan.steps)
            training, serving, update = await self._compute.run(self._train, plan, steps)
            self.commit(
                Pointers(
                    base=self._models.pointers.base,
                    head=update.manifest.model,
                    serving=serving,
                    momentum=training.momentum is not None,
                ),
                update,
                merged=False,
            )
        except CodecError as error:
            self._models.momentum = None
            return LearningFailed("train", f"training diverged: {error.reason}")
        except OSError as error:
            return LearningFailed("train", f"storage: {error}")
        self._models.momentum = training.momentum
        return Trained(update, self._documents.claim(steps), training.loss)

    def _train(self, plan: Train, steps: int) -> tuple[Training, bytes, Update]:
        head = self._models.get(self._models.pointers.head)
        # The counter numbers the mini-batches too: after a restart training goes on in the data.
        training = self._learner.train(
            head, self._models.momentum, plan.steps, seed=steps - plan.steps
        )
        update = self.publish(
            training.vector,
            role="head",
            lineage={**plan.lineage, self.me: steps},
            steps=steps,
            base=self._models.pointers.base,
        )
        model = update.manifest.model
        self._store.save_vector(model, self._models.get(model))
        if training.momentum is not None:
            self._store.save_momentum(model, training.momentum)
        serving = self._models.pointers.serving
        if plan.fold:
            serving = self.fold(self._models.get(model))
        return training, serving, update

    # --- publishing ------------------------------------------------------------------------------

    def publish(
        self,
        vector: Vector,
        *,
        role: Role,
        lineage: dict[bytes, int],
        steps: int,
        base: bytes | None = None,
        evaluation: Evaluation | None = None,
        round_: int = 0,
        way: Way | None = None,
    ) -> Update:
        """Encode, describe, sign and store a model as an update. In the compute worker."""
        encoded = self._models.encode(vector, way)
        evaluation = evaluation or self._learner.held_out(encoded.vector)
        self.evaluations[encoded.model] = evaluation
        update = self._documents.manifest(
            self._describe(encoded, evaluation, role, lineage, steps, base, round_)
        )
        self._store.save_update(update.id, update.author, update.envelope, encoded.body)
        self.published[encoded.way.codec] += 1
        return update

    def _describe(
        self,
        encoded: Encoded,
        evaluation: Evaluation,
        role: Role,
        lineage: dict[bytes, int],
        steps: int,
        base: bytes | None,
        round_: int,
    ) -> Manifest:
        codec, reference = encoded.way
        return Manifest(
            swarm=self._identifiers.swarm,
            task=self._identifiers.task,
            incarnation=self._documents.incarnation,
            seq=self._documents.next_seq(),
            role=role,
            kind="full" if reference == ZERO else "delta",
            reference=reference,
            codec=codec,
            layout=self._models.layout.hash,
            parameters=self._models.layout.parameters,
            model=encoded.model,
            base=base,
            variances=encoded.variances,
            lineage=lineage,
            examples=self._learner.examples,
            steps=steps,
            class_counts=self._learner.class_counts if self._identifiers.labels else None,
            round=round_,
            loss=evaluation.loss if evaluation.examples else None,
            accuracy=evaluation.accuracy if evaluation.examples else None,
            tags=self._identifiers.tags,
            title=self._identifiers.title or UNSET,
            licence=self._identifiers.licence or UNSET,
            body_size=len(encoded.body),
            chunks=chunk_hashes(encoded.body),
            created=self._clock.wall(),
        )

    async def publish_serving(self, plan: PublishServing) -> ServingPublished:
        """Make the serving model offerable: signed and stored under an update of its own."""
        try:
            update = await self._compute.run(self._publish_serving, plan)
        except (CodecError, OSError):
            update = None
        return ServingPublished(update)

    def _publish_serving(self, plan: PublishServing) -> Update:
        vector = self._models.get(self._models.pointers.serving)
        steps = plan.lineage.get(self.me, 0)
        return self.publish(vector, role="serving", lineage=plan.lineage, steps=steps)

    def fold(self, vector: Vector) -> bytes:
        """Let a model enter the serving average: E <- d E + (1 - d) M, in float64. Its hash."""
        decay = self._serving_decay
        before = self._models.get(self._models.pointers.serving)
        if self._models.pointers.serving == self._models.initial:
            # The initial model knows nothing; averaging it in would only delay.
            decay = 0.0
        average = decay * before.astype("f8") + (1.0 - decay) * vector
        return self.save(average.astype("f4"))

    def save(self, vector: Vector) -> bytes:
        """Keep and measure a serving model, in memory and on disk; its content hash."""
        model = self._models.remember(vector)
        self._store.save_vector(model, vector)
        self.evaluations[model] = self._learner.held_out(vector)
        return model

    def commit(self, pointers: Pointers, update: Update, *, merged: bool) -> None:
        """One transaction: from here on this is where the node stands. On the loop."""
        manifest = update.manifest
        stored = [
            StoredModel(
                model=manifest.model,
                role="head",
                lineage=manifest.lineage,
                update=update.id,
                created=self._clock.wall(),
                loss=manifest.loss,
                accuracy=manifest.accuracy,
            )
        ]
        if pointers.serving != self._models.pointers.serving:
            measured = self.evaluations.get(pointers.serving)
            stored.append(
                replace(
                    stored[0],
                    model=pointers.serving,
                    role="serving",
                    update=None,
                    loss=measured.loss if measured else None,
                    accuracy=measured.accuracy if measured else None,
                )
            )
        self.stand(pointers, stored, merged=merged)

    def stand(
        self, pointers: Pointers, stored: Sequence[StoredModel], *, merged: bool = True
    ) -> None:
        """Commit where the node stands, and what is remembered about the models there."""
        self._store.commit(pointers, stored, self._snapshot() if merged else None)
        self._models.pointers = pointers
        standing = {pointers.base, pointers.head, pointers.serving}
        self.evaluations = {m: e for m, e in list(self.evaluations.items()) if m in standing}

    # --- serving bodies --------------------------------------------------------------------------

    async def body(self, key: bytes) -> bytes | None:
        """The body of an update that this node holds, its own or another's that it passes on; or a
        whole model, for who lacks what a body is a delta against."""
        if key.startswith(WHOLE):
            body = self._models.whole(key.removeprefix(WHOLE))
        else:
            body = self._store.load_body(key)
        if body is not None:
            self.bodies_sent += 1
            self.bytes_sent += len(body)
        return body


def chunk_hashes(body: bytes | memoryview) -> tuple[bytes, ...]:
    view = memoryview(body)
    size = limits.CHUNK_BYTES
    return tuple(digest(view[start : start + size]) for start in range(0, len(view), size))
