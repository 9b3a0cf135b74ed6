"""The models that this daemon knows: to look at and to search.

*Known* is a model whose manifest was seen; *here* is one whose numbers, or a body that decodes to
them, are on this disk: only such a one can be used or pinned (see `choices`).
"""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any

from gossipd.errors import ExitCode, OperatorError
from gossipd.operator.ranks import described, explained
from gossipd.protocol.clicks import KnownModel
from gossipd.protocol.profile import words_of
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import StoredModel
from gossipd.storage.store import DiskStore
from gossipd.wire.clicks import item_of_model, normal
from gossipd.wire.messages import Update

Document = dict[str, Any]

ROLES = ("base", "head", "serving")


class Collection:
    """Belongs to the loop."""

    def __init__(self, parts: Parts, store: DiskStore, me: str) -> None:
        """`me`: the own peer id."""
        self._parts = parts
        self._store = store
        self._me = me
        self.searched = ""
        """The words that were searched last,"""
        self._found: frozenset[bytes] = frozenset()
        """and the models that were found."""

    @property
    def serving(self) -> bytes:
        """What predictions use: the chosen model, else the serving average."""
        return self._store.used() or self._parts.models.pointers.serving

    # --- looking ---------------------------------------------------------------------------------

    def find(self, named: str) -> bytes:
        """The one model of those listed here with this role, or whose hash begins so."""
        if named == "serving":
            return self.serving
        if named in ROLES:
            return bytes(getattr(self._parts.models.pointers, named))
        return only([row.model for row in self._store.models()], named)

    def find_known(self, named: str) -> bytes:
        """As `find`, of those as well whose manifest alone was seen."""
        if named in ROLES:
            return self.find(named)
        known = [known.model for known in self._parts.node.clicks.models.values()]
        return only([*known, *(row.model for row in self._store.models())], named)

    def rows(self) -> list[Document]:
        """All that are kept here, newest first."""
        pointers = self._parts.models.pointers
        roles = {pointers.base: "base", pointers.serving: "serving", pointers.head: "head"}
        pins, serving = self._store.pins(), self.serving
        return [
            {
                **self._row(stored, roles.get(stored.model, "other")),
                "used": stored.model == serving,
                "pinned": stored.model in pins,
            }
            for stored in self._store.models()
        ]

    def _row(self, stored: StoredModel, role: str) -> Document:
        update = self.update_of(stored)
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

    def update_of(self, stored: StoredModel) -> Update | None:
        """What describes it; None for averages, and where it was collected."""
        return None if stored.update is None else self.opened(stored.update)

    def opened(self, update: bytes) -> Update | None:
        """An update whose manifest is kept here."""
        sealed = self._store.load_manifest(update)
        return None if sealed is None else self._parts.documents.open_manifest(sealed)

    def _author_of(self, stored: StoredModel, update: Update | None) -> str | None:
        """Who signed a model's update; the own id for averages, which nobody signs."""
        if stored.update is None:
            return self._me
        return None if update is None else update.author

    def show(self, named: str) -> Document:
        """All that is known of one model: what its manifest says, and what it is here."""
        model = self.find_known(named)
        self.note_own()
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
        """What is known here for these words, best first, ranked as `ranks.ranked` does: models
        that say so of themselves, then those that were chosen for it. Departure from the paper: of
        equals the one seen last, not the lowest, since a swarm's models follow each other.

        {query, items: [{..., title, licence, loss, accuracy, created, labels, here, used, pinned}]}
        """
        if not normal(query):
            raise OperatorError("no-query", "no words to search for", "name some", ExitCode.USAGE)
        self.note_own()
        clicks = self._parts.node.clicks
        asked = normal(query)
        seen = {item: n for n, item in enumerate(clicks.models)}
        order = nsmallest(
            limit,
            (one for one in clicks.ranking.rank(asked) if one.item in seen),
            key=lambda one: (not one.matches, -one.score, -one.voters, -seen[one.item]),
        )
        rows = {row.model for row in self._store.models()}
        pins, serving = self._store.pins(), self.serving
        items = []
        for one in order:
            known = clicks.models[one.item]
            state = {
                "here": known.model in rows or self._lies(known),
                "used": known.model == serving,
                "pinned": known.model in pins,
            }
            place = explained(self._parts.node, asked, one)
            items.append({**_said(known), **described(known), **place, **state})
        self.searched = asked
        self._found = frozenset(bytes.fromhex(one["model"]) for one in items)
        return {"query": asked, "items": items}

    def was_found(self, model: bytes) -> bool:
        """By the last search."""
        return model in self._found

    def note_own(self) -> None:
        """The core hears of others' manifests; those that were signed here lie in the store."""
        clicks = self._parts.node.clicks
        for stored in reversed(self._store.models()):
            if item_of_model(stored.model) not in clicks.models:
                update = self.update_of(stored)
                if update is not None:
                    clicks.note((update,))


def only(models: Iterable[bytes], named: str) -> bytes:
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
