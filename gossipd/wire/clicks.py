"""What nodes tell each other of what they have chosen: sheets of clicks, and how they are pulled.

A *click* says: asked for `query`, this node chose `item`. Rows are not signed one by one but by the
sheet, whose numbers leave no gap, so that nothing can be forged, left out or shown twice without
being noticed. A sheet is relayed unchanged by anybody.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gossipd.wire import limits
from gossipd.wire.identifiers import digest

ITEM_BYTES = 8

Item = Annotated[bytes, Meta(min_length=ITEM_BYTES, max_length=ITEM_BYTES)]
"""What was chosen, by its name's hash: `item_of_model`, `item_of_peer`."""
Query = Annotated[str, Meta(min_length=1, max_length=limits.QUERY_TEXT)]
"""The words asked for, as `normal` orders them."""
Counter = Annotated[int, Meta(ge=0, le=limits.COUNTER)]
SheetBytes = Annotated[bytes, Meta(max_length=limits.SHEET_BYTES)]


def item_of_model(model: bytes) -> bytes:
    """The item that stands for the model with this content hash."""
    return digest(b"gossipd/1/item/model/", model)[:ITEM_BYTES]


def item_of_peer(peer: str) -> bytes:
    """The item that stands for whatever models a peer hands out."""
    return digest(b"gossipd/1/item/peer/", peer.encode())[:ITEM_BYTES]


def words(texts: Iterable[str]) -> frozenset[str]:
    """The words of a query or of what is said of an item."""
    return frozenset(word for text in texts for word in text.casefold().split())


def normal(query: str) -> str:
    """The same text for all queries of the same words, "" for none; cut where it is too long."""
    kept: list[str] = []
    room = limits.QUERY_TEXT + 1
    for word in sorted(words([query])):
        room -= len(word) + 1
        if room < 0:
            break
        kept.append(word)
    return " ".join(kept)


class Click(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One row of a sheet."""

    query: Query
    item: Item


class ClickSheet(Struct, frozen=True, kw_only=True):
    """Some clicks of its author, signed; `seq` counts its sheets of this incarnation from 1."""

    incarnation: Annotated[int, Meta(ge=1, le=limits.COUNTER)]
    seq: Annotated[int, Meta(ge=1, le=limits.COUNTER)]
    clicks: Annotated[tuple[Click, ...], Meta(min_length=1, max_length=limits.CLICKS_PER_SHEET)]


class SignedSheet(Struct, frozen=True):
    """A sheet whose signature holds, its author's peer id, and the envelope to pass on."""

    author: str
    sheet: ClickSheet
    envelope: bytes
