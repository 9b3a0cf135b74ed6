"""Who taught a model, and how much of it is new here: lineages compared as the daemon does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.standing import names_of


@dataclass(frozen=True, slots=True)
class Teacher:
    """One author's part of a model."""

    name: str
    steps: int
    """Mini-batches that it trained of what is in the model."""
    new: int
    """Those of them that are not in this daemon's own head."""
    share: float
    """Of the greatest part in the model, 0..1."""

    @property
    def new_share(self) -> float:
        return self.new / self.steps if self.steps else 0.0


def head_of(models: Iterable[Document]) -> Mapping[str, int]:
    """The lineage of the daemon's head, of rows of `GET /v1/models`."""
    return next((row["lineage"] for row in models if row["role"] == "head"), {})


def new_steps(lineage: Mapping[str, int], models: Iterable[Document]) -> int:
    """Mini-batches in a lineage that are not in the head's."""
    mine = head_of(models)
    return sum(max(0, steps - mine.get(author, 0)) for author, steps in lineage.items())


def teachers(feed: Feed, lineage: Mapping[str, int]) -> list[Teacher]:
    """Those with the greatest part first."""
    mine = head_of(feed.answers.get("models", ()))
    names = _names(feed)
    most = max(lineage.values(), default=0) or 1
    return [
        Teacher(
            name=names.get(author, f"author {words.short(author)}"),
            steps=steps,
            new=max(0, steps - mine.get(author, 0)),
            share=steps / most,
        )
        for author, steps in sorted(lineage.items(), key=lambda pair: -pair[1])
    ]


def _names(feed: Feed) -> dict[str, str]:
    """A lineage's key -> how its device is called here."""
    members = names_of(feed)
    names = {
        peer["author"]: words.peer(peer["peer_id"], members)
        for peer in feed.answers.get("peers", ())
        if peer.get("author")
    }
    if feed.status is not None:
        names[feed.status["author"]] = "this device"
    return names
