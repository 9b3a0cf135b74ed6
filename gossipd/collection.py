"""The models that this daemon knows: to look at, to search, to answer with, to keep.

*Known* is a model whose manifest was seen; *here* is one whose numbers, or a body that decodes to
them, are on this disk: only such a one can be used or pinned.

What answers is the serving average, unless people chose another model: then it stays that one until
`follow`. A choice changes nothing of how this node learns, in neither mode: no pointer moves, and
nobody else is shown another model for it. Choosing and pinning are clicks (see `protocol.clicks`).
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from gossipd.errors import ExitCode, OperatorError
from gossipd.learning.errors import LearningError
from gossipd.protocol.clicks import KnownModel
from gossipd.protocol.profile import words_of
from gossipd.ranks import ranked
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import Clock, Compute, Evaluation, StoredModel, Vector
from gossipd.storage.store import DiskStore
from gossipd.wire.clicks import item_of_model, normal
from gossipd.wire.errors import WireError
from gossipd.wire.messages import Update

Document = dict[str, Any]

ROLES = ("base", "head", "serving")
PINS = 64
"""Models that may be pinned: a person's choices, while history has 256. Ours, a guess."""


class Collection:
    """Belongs to the loop; vectors are touched in the compute worker."""

    def __init__(
        self,
        parts: Parts,
        compute: Compute,
        store: DiskStore,
        clock: Clock,
        report: Callable[[str, Document], None],
        *,
        me: str,
        choose: Callable[[str, str], object],
    ) -> None:
        """`me`: the own peer id; `choose(model, query)`: a click, told by the model's hash."""
        self._parts = parts
        self._compute = compute
        self._store = store
        self._clock = clock
        self._report = report
        self._me = me
        self._choose = choose
        self._searched: tuple[str, frozenset[str]] = ("", frozenset())
        """The words that were searched last, and the models (hex) that were found."""

    # --- what answers ----------------------------------------------------------------------------

    @property
    def serving(self) -> bytes:
        """What predictions use: the chosen model, else the serving average."""
        return self._store.used() or self._parts.models.pointers.serving

    def using(self) -> Document:
        """{hash, chosen}: what answers, and whether somebody chose it."""
        return {"hash": self.serving.hex(), "chosen": self._store.used() is not None}

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
        model = self.serving
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

    # --- looking ---------------------------------------------------------------------------------

    def find(self, named: str) -> bytes:
        """The one model of those listed here with this role, or whose hash begins so."""
        if named == "serving":
            return self.serving
        if named in ROLES:
            return bytes(getattr(self._parts.models.pointers, named))
        return _only([row.model for row in self._store.models()], named)

    def _find_known(self, named: str) -> bytes:
        """As `find`, of those as well whose manifest alone was seen."""
        if named in ROLES:
            return self.find(named)
        known = [known.model for known in self._parts.node.clicks.models.values()]
        return _only([*known, *(row.model for row in self._store.models())], named)

    def rows(self) -> list[Document]:
        """All that are kept here, newest first."""
        pointers = self._parts.models.pointers
        roles = {pointers.base: "base", pointers.serving: "serving", pointers.head: "head"}
        pins, used = self._store.pins(), self._store.used()
        return [
            {
                **self._row(stored, roles.get(stored.model, "other")),
                "used": stored.model == used,
                "pinned": stored.model in pins,
            }
            for stored in self._store.models()
        ]

    def _row(self, stored: StoredModel, role: str) -> Document:
        update = self._update_of(stored)
        return {
            "hash": stored.model.hex(),
            "role": role,
            "author": self._author_of(stored, update),
            "codec": None if update is None else update.manifest.codec,
            "body_size": None if update is None else update.manifest.body_size,
            "created": stored.created,
            "lineage": {author.hex(): steps for author, steps in stored.lineage.items()},
            "held_out_loss": stored.loss,
            "held_out_accuracy": stored.accuracy,
            "size": self._parts.models.layout.parameters * 4,
        }

    def _update_of(self, stored: StoredModel) -> Update | None:
        return None if stored.update is None else self._opened(stored.update)

    def _opened(self, update: bytes) -> Update | None:
        sealed = self._store.load_manifest(update)
        return None if sealed is None else self._parts.documents.open_manifest(sealed)

    def _author_of(self, stored: StoredModel, update: Update | None) -> str | None:
        """Who signed a model's update; the own id for averages, which nobody signs."""
        if stored.update is None:
            return self._me
        return None if update is None else update.author

    def show(self, named: str) -> Document:
        """All that is known of one model: what its manifest says, and what it is here."""
        model = self._find_known(named)
        self._note_own()
        known = self._parts.node.clicks.models.get(item_of_model(model))
        row = next((row for row in self.rows() if row["hash"] == model.hex()), None)
        return {
            "hash": model.hex(),
            **(_said(known) if known is not None else {}),
            **(row or {}),
            "task": self._parts.learner.task,
            "here": row is not None or (known is not None and self._lies(known)),
            "used": model == self.serving,
            "pinned": model in self._store.pins(),
        }

    def _lies(self, known: KnownModel) -> bool:
        return self._store.load_manifest(known.update) is not None

    # --- searching -------------------------------------------------------------------------------

    def search(self, query: str, limit: int) -> Document:
        """What is known here for these words, best first, as `ranks.ranked` has it: models that say
        so of themselves, then those that were chosen for it. Of equals the one seen last: whoever
        searches wants the newest, and a ranking of peers' has no such thing.

        {query, items: [{..., title, licence, loss, accuracy, created, labels, here, used, pinned}]}
        """
        if not normal(query):
            raise OperatorError("no-query", "no words to search for", "name some", ExitCode.USAGE)
        self._note_own()
        clicks = self._parts.node.clicks
        found = ranked(self._parts.node, "models", query, len(clicks.models))
        seen = {known.model.hex(): n for n, known in enumerate(clicks.models.values())}
        order = sorted(
            found["items"],
            key=lambda one: (
                not one["matches"],
                -one["score"],
                -one["voters"],
                -seen[one["model"]],
            ),
        )[:limit]
        rows = {row.model for row in self._store.models()}
        pins, serving = self._store.pins(), self.serving
        items = []
        for one in order:
            model = bytes.fromhex(one["model"])
            known = clicks.models[item_of_model(model)]
            state = {
                "here": model in rows or self._lies(known),
                "used": model == serving,
                "pinned": model in pins,
            }
            items.append({**_said(known), **one, **state})
        self._searched = (found["query"], frozenset(one["model"] for one in items))
        return {"query": found["query"], "items": items}

    def _note_own(self) -> None:
        """The core hears of others' manifests; those that were signed here lie in the store."""
        clicks = self._parts.node.clicks
        for stored in reversed(self._store.models()):
            if item_of_model(stored.model) not in clicks.models:
                update = self._update_of(stored)
                if update is not None:
                    clicks.note((update,))

    # --- choosing --------------------------------------------------------------------------------

    async def use(self, named: str) -> Document:
        """Answer with this model from now on, whatever is learnt; a click, if it was searched."""
        model = self._find_known(named)
        await self._bring(model)
        return self._answer_with(model, self._click(model) if self._was_found(model) else None)

    def _answer_with(self, model: bytes | None, query: str | None = None) -> Document:
        self._store.use(model)
        state = {**self.using(), "query": query}
        self._report("model-chosen", state)
        return state

    def _was_found(self, model: bytes) -> bool:
        """By the last search."""
        return model.hex() in self._searched[1]

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
        now = self.serving
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
        model = self._find_known(named)
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
        model = self.find(named) if named in ROLES else _only(pins, named)
        self._store.unpin(model)
        state = {"hash": model.hex(), "pinned": False, "query": None}
        self._report("model-pinned", state)
        return state

    async def _bring(self, model: bytes) -> None:
        """Have its numbers on disk, and it among those that are listed."""
        row = next((row for row in self._store.models() if row.model == model), None)
        update = None if row is None else self._update_of(row)
        if update is None:
            known = self._parts.node.clicks.models.get(item_of_model(model))
            update = None if known is None else self._opened(known.update)

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
        self._note_own()
        if item_of_model(model) not in clicks.models:
            return None
        query = self._searched[0] if self._was_found(model) else clicks.main_question()
        self._choose(model.hex(), query)
        return query


def _only(models: Iterable[bytes], named: str) -> bytes:
    """The one whose hash begins so."""
    found = {model for model in models if model.hex().startswith(named)}
    if len(found) != 1:
        raise OperatorError(
            "unknown-model" if not found else "ambiguous-model",
            f"{len(found) or 'no'} models here begin with {named}",
            "`gossipd models ls --all` lists them",
        )
    return found.pop()


def _said(known: KnownModel) -> Document:
    """What its manifest says; measures are its author's own."""
    return {
        "author": known.author,
        "role": known.role,
        "title": known.title,
        "tags": list(known.tags),
        "licence": known.licence,
        "labels": words_of(known.class_counts),
        "loss": known.loss,
        "accuracy": known.accuracy,
        "created": known.created,
    }
