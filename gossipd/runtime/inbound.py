"""An update's whole way in: receive, verify, decode, merge, gate, commit, tell the core.

`receive` ends when the model is known here and the core may use it; `merge` begins when the core
decided to. Between the two an update only waits. The same code serves daemon and simulator.
"""

from typing import Literal

from gossipd.averaging.concurrent import Side as WeighedSide
from gossipd.averaging.concurrent import merge_concurrent
from gossipd.averaging.mean import mean
from gossipd.averaging.variance import variance_corrected
from gossipd.network.interface import NetworkError
from gossipd.protocol.events import Arrived, Fetch, FetchFailed, LearningFailed, Merge, Merged
from gossipd.runtime import gate
from gossipd.runtime.downloads import Downloads, TooMuchInFlightError
from gossipd.runtime.models import Models
from gossipd.runtime.outbound import Outbound, chunk_hashes
from gossipd.runtime.ports import Compute, Evaluation, Learner, Pointers, Store, Vector
from gossipd.runtime.references import References, WrongReferenceError
from gossipd.tensors.codecs import CodecError
from gossipd.wire.errors import WireError
from gossipd.wire.messages import Update

Averaging = Literal["variance_corrected", "mean"]


class GateRefusedError(Exception):
    """The gate's verdict, on its way out of the compute worker."""


class Inbound:
    """Takes in what others have made."""

    def __init__(
        self,
        *,
        downloads: Downloads,
        models: Models,
        outbound: Outbound,
        learner: Learner,
        store: Store,
        compute: Compute,
        averaging: Averaging,
        self_weight: float,
    ) -> None:
        self._downloads = downloads
        self._models = models
        self._outbound = outbound
        self._learner = learner
        self._store = store
        self._compute = compute
        self._averaging = averaging
        self._self_weight = self_weight
        self.references = References(models, compute, downloads)

    # --- receive, verify, decode -----------------------------------------------------------------

    async def receive(self, plan: Fetch) -> Arrived | FetchFailed:
        """Get the body of a judged update and make its model known."""
        peer, update = plan.peer, plan.update
        manifest = update.manifest
        try:
            await self.references.get(peer, manifest.reference, plan.others)
            body = self._store.load_body(update.id)
            if body is None:
                brought = await self._downloads.get(
                    "update", peer, update.id, manifest.body_size, plan.others, manifest.chunks
                )
                body = brought.data
                if not await self._compute.run(self._take_fetched, update, body):
                    return FetchFailed(peer, update, "bad-chunk", "carrier")
            else:
                await self._compute.run(self._take, update, body, False)
        except NetworkError as error:
            return FetchFailed(peer, update, f"fetch-{error.reason}", "nobody")
        except TooMuchInFlightError:
            return FetchFailed(peer, update, "too-much-in-flight", "nobody")
        except WrongReferenceError as error:
            return FetchFailed(peer, update, str(error), "carrier")
        except WireError as error:
            return FetchFailed(peer, update, error.reason, "author")
        except OSError:
            return FetchFailed(peer, update, "storage", "nobody")
        return Arrived(peer, update)

    def take_carried(self, update: Update, body: bytes) -> None:
        """The body of a judged update that was carried here by hand. In the compute worker;
        WireError when it is not what its manifest says."""
        if chunk_hashes(body) != update.manifest.chunks:
            raise WireError("bad-chunk", "the body has changed on its way")
        self._take(update, body, True)

    def _take_fetched(self, update: Update, body: bytes) -> bool:
        """In one trip to the compute worker; False when the body is not its author's."""
        if chunk_hashes(body) != update.manifest.chunks:
            return False
        self._take(update, body, False)
        return True

    def _take(self, update: Update, body: bytes, lasting: bool) -> None:
        """`lasting` where nobody could be asked for it again."""
        self._models.decode(update.manifest, body)
        envelope = update.envelope
        self._store.save_update(update.id, update.author, envelope, body, lasting=lasting)

    # --- merge, gate, commit ---------------------------------------------------------------------

    async def merge(self, plan: Merge) -> Merged | LearningFailed:
        """Make one model of several and stand on it, if the gate lets it pass."""
        try:
            update, serving, gain = await self._compute.run(self._merge, plan)
            model = update.manifest.model
            momentum = self._models.momentum is not None
            self._outbound.commit(Pointers(model, model, serving, momentum), update, merged=True)
        except GateRefusedError as refused:
            return LearningFailed("merge", str(refused), gate=True)
        except (CodecError, WireError) as error:
            return LearningFailed("merge", error.reason)
        except LookupError as error:
            return LearningFailed("merge", str(error))
        except OSError as error:
            return LearningFailed("merge", f"storage: {error}")
        authors = {side.update.author: None for side in plan.sides if side.update is not None}
        return Merged(update, tuple(authors), gain)

    def _merge(self, plan: Merge) -> tuple[Update, bytes, float | None]:
        """In the compute worker: (the new base's update, content hash of the serving model, by how
        much the loss on held-out examples has fallen)."""
        vectors = [self._vector(side.update) for side in plan.sides]
        candidate = self._combine(plan, vectors)
        evaluation, gain = self._judge(candidate)
        if plan.rule == "adopt":
            adopted = plan.sides[0].update
            assert adopted is not None, "nobody adopts the own model"
            update, base = adopted, candidate
            self._outbound.evaluations[adopted.manifest.model] = evaluation
        else:
            update = self._outbound.publish(
                candidate,
                role="head",
                lineage=plan.lineage,
                steps=plan.lineage.get(self._outbound.me, 0),
                evaluation=evaluation,
            )
            base = self._models.get(update.manifest.model)
        self._store.save_vector(update.manifest.model, base)
        if self._models.momentum is not None:
            self._store.save_momentum(update.manifest.model, self._models.momentum)
        return update, self._serving(plan, base), gain

    def _vector(self, update: Update | None) -> Vector:
        """A side's vector; None stands for the own head."""
        if update is None:
            return self._models.get(self._models.pointers.head)
        vector = self._models.find(update.manifest.model)
        if vector is None:
            body = self._store.load_body(update.id)
            if body is None:
                raise LookupError(f"the body of update {update.id.hex()[:16]} is gone")
            self._models.decode(update.manifest, body)
            vector = self._models.get(update.manifest.model)
        return vector

    def _combine(self, plan: Merge, vectors: list[Vector]) -> Vector:
        if plan.rule == "adopt":
            return vectors[0]
        if plan.rule == "concurrent":
            return self._weigh(plan, vectors)
        own = vectors[0] if plan.sides[0].update is None else None
        received = vectors if own is None else vectors[1:]
        if self._averaging == "mean":
            share = (1.0 - self._self_weight) / len(received)
            weights = [self._self_weight] + [share] * len(received)
            return mean(vectors) if own is None else mean(vectors, weights)
        return variance_corrected(
            self._models.layout,
            own,
            received,
            self_weight=self._self_weight,
            declared=[declared_by(side.update) for side in plan.sides[-len(received) :]],
        )

    def _weigh(self, plan: Merge, vectors: list[Vector]) -> Vector:
        sides = [
            WeighedSide(vector, side.examples, side.class_counts, declared_by(side.update))
            for vector, side in zip(vectors, plan.sides, strict=True)
        ]
        return merge_concurrent(self._models.layout, sides, average=self._averaging)

    def _judge(self, candidate: Vector) -> tuple[Evaluation, float | None]:
        evaluation = self._learner.held_out(candidate)
        head = self._models.pointers.head
        own = self._outbound.evaluations.get(head)
        if own is None:
            own = self._learner.held_out(self._models.get(head))
            self._outbound.evaluations[head] = own
        reason = gate.refusal(evaluation, own, self._learner.guess)
        if reason is not None:
            raise GateRefusedError(reason)
        return evaluation, own.loss - evaluation.loss if evaluation.examples else None

    def _serving(self, plan: Merge, base: Vector) -> bytes:
        """The serving model after a merge: islands' serving models are merged by the same rule."""
        theirs = [side.serving for side in plan.sides if side.serving is not None]
        if not theirs:
            return self._outbound.fold(base)
        other = self._vector(theirs[0])
        if plan.rule == "adopt":
            return self._outbound.save(other)
        own = self._models.get(self._models.pointers.serving)
        return self._outbound.save(self._weigh(plan, [own, other]))


def declared_by(update: Update | None) -> tuple[float, ...] | None:
    """The tensors' variances before encoding, where the author has declared them."""
    return (update.manifest.variances or None) if update is not None else None
