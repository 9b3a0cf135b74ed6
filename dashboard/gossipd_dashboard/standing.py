"""How a peer stands with a daemon, said in a word and a shape; names and ranks of peers."""

from collections.abc import Collection
from dataclasses import dataclass

from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.parts import SIGNS


@dataclass(frozen=True, slots=True)
class Standing:
    """Of the states, the one that a person would want to know first."""

    state: str
    """As in `parts.SIGNS`."""
    word: str

    @property
    def sign(self) -> str:
        return SIGNS[self.state]


BLOCKED = Standing("bad", "blocked")
SUSPECT = Standing("warning", "suspect")
UNREACHABLE = Standing("warning", "unreachable")
CONNECTED = Standing("good", "connected")
DIALLING = Standing("busy", "dialling")
KNOWN = Standing("calm", "known")


def standing(peer: Document, blocked: Collection[str]) -> Standing:
    """Of a row of `GET /v1/peers`. *Suspect*: it has broken rules that no honest peer breaks."""
    if peer["peer_id"] in blocked:
        return BLOCKED
    if peer["violations"]:
        return SUSPECT
    if peer["state"] == "connected":
        return CONNECTED
    if peer["state"] == "dialing":
        return DIALLING
    return UNREACHABLE if peer["failures"] else KNOWN


def names_of(feed: Feed) -> dict[str, str]:
    """Peer id -> the name in its membership, where it has one."""
    rows = feed.answers.get("members", ())
    return {row["peer_id"]: row["name"] for row in rows if row["name"]}


def ranks_of(feed: Feed) -> dict[str, int]:
    """Peer id -> its place, 1 the best, among those that have served this node's like."""
    ranked = feed.answers.get("peer_ranks")
    if ranked is None:
        return {}
    return {item["peer_id"]: place for place, item in enumerate(ranked["items"], 1)}
