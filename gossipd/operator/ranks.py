"""The ranking for the API: every place and what it comes from, and what people choose."""

from typing import Any, Literal

from gossipd.errors import ExitCode, OperatorError
from gossipd.protocol.click_events import Chosen
from gossipd.protocol.clicks import KnownModel
from gossipd.protocol.node import Node
from gossipd.protocol.ranking.score import Part, Ranked
from gossipd.wire.clicks import item_of_peer, normal

Kind = Literal["peers", "models"]
Document = dict[str, Any]

PARTS = 10
"""Votes that are shown for each place: the weightiest."""


def ranked(node: Node, kind: Kind, query: str, limit: int) -> Document:
    """{query, kind, items: [...]}, best first; an empty query is the node's own question.

    Of peers every item is {peer_id, score, matches, voters, parts}, of models {model, author, role,
    tags, score, matches, voters, parts}; parts: [{peer_id, similarity, terms, items, union, unlike,
    value, scale, score}], the numbers that `score` is made of.
    """
    clicks = node.clicks
    asked = normal(query) or clicks.main_question()
    names = _peers(node) if kind == "peers" else {i: described(k) for i, k in clicks.models.items()}
    places = [one for one in clicks.ranking.rank(asked) if one.item in names][:limit]
    items = [{**names[one.item], **explained(node, asked, one)} for one in places]
    return {"query": asked, "kind": kind, "items": items}


def explained(node: Node, asked: str, one: Ranked) -> Document:
    """{score, matches, voters, parts} of a place. For what is shown only: the parts of thousands
    cost ten times what ranking them does."""
    parts = node.clicks.ranking.explain(asked, one.item)[:PARTS]
    place = {"score": one.score, "matches": one.matches, "voters": one.voters}
    return {**place, "parts": [_part(part) for part in parts]}


def described(known: KnownModel) -> Document:
    """{model, author, role, tags}"""
    return {
        "model": known.model.hex(),
        "author": known.author,
        "role": known.role,
        "tags": list(known.tags),
    }


def chosen(node: Node, model: str, query: str, *, shared: bool) -> Chosen:
    """Somebody's choice of the known model whose hash begins like that."""
    found = {
        k.model.hex(): i for i, k in node.clicks.models.items() if k.model.hex().startswith(model)
    }
    if len(found) != 1:
        raise OperatorError(
            "no-such-model" if not found else "ambiguous",
            f"{len(found)} models are known here whose hash begins with {model!r}",
            "`gossipd rank models --format json` shows them",
            ExitCode.USAGE,
        )
    if not normal(query):
        raise OperatorError("no-query", "no words to choose it for", "name some", ExitCode.USAGE)
    return Chosen(query, next(iter(found.values())), shared)


def _peers(node: Node) -> dict[bytes, Document]:
    known = (record.author for record in node.view.records())
    return {item_of_peer(peer): {"peer_id": peer} for peer in known if peer != node.setup.peer_id}


def _part(part: Part) -> Document:
    return {
        "peer_id": part.node,
        "similarity": part.similarity,
        "terms": part.terms,
        "items": part.items,
        "union": part.union,
        "unlike": part.unlike,
        "value": part.value,
        "scale": part.scale,
        "score": part.score,
    }
