"""What the topology shows: devices with their part in the round, and the links between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gossipd_dashboard import words
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.fleet import Fleet
from gossipd_dashboard.standing import names_of

Link = tuple[str, str]
WIDTH, HEIGHT = 160.0, 90.0
"""Half axes of the ellipse on which devices stand, in the picture's own units."""
DRAWN = 80
"""Peers in the picture of one daemon, the connected first; more would be a blot. Ours."""


@dataclass(frozen=True, slots=True)
class Node:
    """A device in the picture."""

    id: str
    name: str
    look: str
    """As in `views.topology.LOOKS`."""
    x: float
    y: float


def of_one(feed: Feed) -> tuple[list[Node], list[Link]]:
    """A daemon in the middle, and the peers that it knows around it: it sees its own links only."""
    assert feed.status is not None
    me = feed.status["peer_id"]
    names = names_of(feed)
    order = sorted(
        feed.answers["peers"], key=lambda peer: (peer["state"] != "connected", peer["peer_id"])
    )
    shown = order[:DRAWN]
    nodes = [Node(me, "this device", "self", 0.0, 0.0)]
    for peer, (x, y) in zip(shown, _circle(len(shown)), strict=True):
        look = _look(peer, feed.status.get("round"))
        nodes.append(Node(peer["peer_id"], words.peer(peer["peer_id"], names), look, x, y))
    links = [(me, peer["peer_id"]) for peer in shown if peer["state"] == "connected"]
    return nodes, links


def _look(peer: Document, playing: Document | None) -> str:
    if peer["violations"]:
        return "suspect"
    if peer["state"] != "connected":
        return "gone"
    if playing is not None:
        if peer["peer_id"] in playing["aggregators"]:
            return "aggregator"
        if peer["peer_id"] in playing["sample"]:
            return "trainer"
    return "idle"


def of_fleet(fleet: Fleet) -> tuple[list[Node], list[Link]]:
    """All daemons on a circle, and each link that one of its two ends has."""
    known = {feed.status["peer_id"]: name for name, feed in fleet.feeds.items() if feed.status}
    suspects = {
        known[peer["peer_id"]]
        for feed in fleet.feeds.values()
        for peer in (feed.answers.get("peers", ()) if feed.live else ())
        if peer["violations"] and peer["peer_id"] in known
    }
    newest = max((_number(feed) for feed in fleet.feeds.values()), default=0)
    nodes = [
        Node(name, name, _role(feed, name in suspects, newest), x, y)
        for (name, feed), (x, y) in zip(fleet.feeds.items(), _circle(len(fleet.feeds)), strict=True)
    ]
    links = set[Link]()
    for name, feed in fleet.feeds.items():
        for peer in feed.answers.get("peers", ()) if feed.live else ():
            other = known.get(peer["peer_id"])
            if peer["state"] == "connected" and other is not None:
                links.add((min(name, other), max(name, other)))
    return nodes, sorted(links)


def _number(feed: Feed) -> int:
    playing = feed.status.get("round") if feed.live and feed.status else None
    return int(playing["number"]) if playing else 0


def _role(feed: Feed, suspect: bool, newest: int) -> str:
    """In the newest round that anybody tells of."""
    if not feed.live or feed.status is None:
        return "gone"
    if suspect:
        return "suspect"
    playing, me = feed.status.get("round"), feed.status["peer_id"]
    if playing and playing["number"] >= newest:
        if me in playing["aggregators"] or playing["role"] == "aggregator":
            return "aggregator"
        if me in playing["sample"]:
            return "trainer"
    return "idle"


def _circle(count: int) -> Sequence[tuple[float, float]]:
    """Places on a wide ellipse, the first at the top."""
    angles = [2 * math.pi * place / max(count, 1) for place in range(count)]
    return [(WIDTH * round(math.sin(a), 3), HEIGHT * round(math.cos(a), 3)) for a in angles]
