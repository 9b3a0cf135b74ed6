"""Which model answers here, and which ones stay whatever the quota: what people decide.

What answers is the serving average, unless people chose another model: then it stays that one until
`follow`. A choice changes nothing of how this node learns, in neither mode: no pointer moves, and
nobody else is shown another model for it. Choosing and pinning are clicks (see `protocol.clicks`).
"""

import contextlib
from collections.abc import Callable

from gossipd.errors import OperatorError
from gossipd.learning.errors import LearningError
from gossipd.operator.collection import ROLES, Collection, Document, only
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import Clock, Compute, Evaluation, StoredModel, Vector
from gossipd.storage.store import DiskStore
from gossipd.wire.clicks import item_of_model
from gossipd.wire.errors import WireError

PINS = 64
"""Models that may be pinned: a person's choices, while history has 256. Ours, a guess."""


class Choices:
    """Belongs to the loop; vectors are touched in the compute worker."""

    def __init__(
        self,
        parts: Parts,
        compute: Compute,
        store: DiskStore,
        clock: Clock,
        collection: Collection,
        report: Callable[[str, Document], None],
        choose: Callable[[str, str], object],
    ) -> None:
        """`choose(model, query)`: a click, told by the model's hash."""
        self._parts = parts
        self._compute = compute
        self._store = store
        self._clock = clock
        self._collection = collection
        self._report = report
        self._choose = choose

    # --- what answers ----------------------------------------------------------------------------

    def using(self) -> Document:
        """{hash, chosen}: what answers, and whether somebody chose it."""
        return {"hash": self._collection.serving.hex(), "chosen": self._store.used() is not None}

    def vector(self, model: bytes) -> Vector:
        """The numbers of a model that is listed. In the compute worker. OperatorError."""
        vector = self._parts.models.find(model)
        if vector is None:
            raise OperatorError(
                "model-gone",
                f"the file of model {model.hex()[:16]} is damaged or gone",
                "`gossipd models use --follow` goes back to the serving model",
            )
        return vector

    async def evaluate(self) -> Document:
        """What answers, measured: as `control.operator.Operator.evaluate`."""
        model = self._collection.serving
        learner = self._parts.learner

        def measured() -> tuple[str, Evaluation]:
            vector = self.vector(model)
            tested = learner.test(vector)
            if tested.examples:
                return "test set", tested
            return "held out here", learner.held_out(vector)

        try:
            on, result = await self._compute.run(measured)
        except LearningError as error:
            raise OperatorError("data", str(error), error.hint) from None
        return {
            "hash": model.hex(),
            "loss": result.loss,
            "accuracy": result.accuracy,
            **{name: value for name, value in result.metrics.items() if name != "accuracy"},
            "examples": result.examples,
            "on": on,
        }

    # --- choosing --------------------------------------------------------------------------------

    async def use(self, named: str) -> Document:
        """Answer with this model from now on, whatever is learnt; a click, if it was searched."""
        model = self._collection.find_known(named)
        await self._bring(model)
        return self._answer_with(
            model, self._click(model) if self._collection.was_found(model) else None
        )

    def _answer_with(self, model: bytes | None, query: str | None = None) -> Document:
        self._store.use(model)
        state = {**self.using(), "query": query}
        self._report("model-chosen", state)
        return state

    def follow(self) -> Document:
        """Answer with the serving average again."""
        return self._answer_with(None)

    async def rollback(self) -> Document:
        """Answer with the serving model before the one that answers now, as `use` would.

        Of a model that never was this node's serving average there is none before it: that choice
        ends. OperatorError when no earlier one is kept.
        """
        line = [self._parts.models.pointers.serving]
        line += [
            row.model
            for row in self._store.models()
            if row.role == "serving" and row.model != line[0]
        ]
        now = self._collection.serving
        if now not in line:
            return {**self.follow(), "before": now.hex()}
        for model in line[line.index(now) + 1 :]:
            try:
                await self._bring(model)
            except OperatorError:
                continue  # its file was collected before its row
            return {**self._answer_with(model), "before": now.hex()}
        raise OperatorError(
            "no-earlier-model",
            f"no serving model from before {now.hex()[:16]} is kept here",
            "`gossipd models ls --all` lists what is; `gossipd models pin` keeps one",
        )

    async def pin(self, named: str) -> Document:
        """Never collect this model, whatever the quota; a click."""
        model = self._collection.find_known(named)
        pins = self._store.pins()
        if model not in pins and len(pins) >= PINS:
            raise OperatorError(
                "too-many-pins", f"{PINS} models are pinned", "`gossipd models unpin` one of them"
            )
        await self._bring(model)
        self._store.pin(model)
        query = None if model in pins else self._click(model)
        state = {"hash": model.hex(), "pinned": True, "query": query}
        self._report("model-pinned", state)
        return state

    def unpin(self, named: str) -> Document:
        """It may go again when room is needed."""
        pins = self._store.pins()
        model = self._collection.find(named) if named in ROLES else only(pins, named)
        self._store.unpin(model)
        state = {"hash": model.hex(), "pinned": False, "query": None}
        self._report("model-pinned", state)
        return state

    async def _bring(self, model: bytes) -> None:
        """Have its numbers on disk, and it among those that are listed."""
        row = next((row for row in self._store.models() if row.model == model), None)
        update = None if row is None else self._collection.update_of(row)
        if update is None:
            known = self._parts.node.clicks.models.get(item_of_model(model))
            update = None if known is None else self._collection.opened(known.update)

        def written() -> bool:
            models = self._parts.models
            if models.find(model) is None and update is not None:
                body = self._store.load_body(update.id)
                if body is not None:
                    with contextlib.suppress(WireError):  # what it is a delta against is gone
                        models.decode(update.manifest, body)
            vector = models.find(model)
            if vector is not None:
                # Written anew even where it lies there: so nothing collects it in between.
                self._store.save_vector(model, vector)
            return vector is not None

        if not await self._compute.run(written):
            raise OperatorError(
                "model-not-here",
                f"of model {model.hex()[:16]} only the description is here",
                "`gossipd models search` says which are: those that this device got to merge",
            )
        if row is None:
            manifest = None if update is None else update.manifest
            self._store.remember(
                StoredModel(
                    model=model,
                    role="other",
                    lineage={} if manifest is None else manifest.lineage,
                    update=None if update is None else update.id,
                    created=self._clock.wall(),
                )
            )

    def _click(self, model: bytes) -> str | None:
        """For the words it was found by, else for what this node's data ask most; the words.
        None for a model that has no manifest: nobody else could know it."""
        clicks = self._parts.node.clicks
        self._collection.note_own()
        if item_of_model(model) not in clicks.models:
            return None
        query = (
            self._collection.searched
            if self._collection.was_found(model)
            else clicks.main_question()
        )
        self._choose(model.hex(), query)
        return query
