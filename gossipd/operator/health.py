"""What is wrong with a running daemon, as warnings with stable codes.

A warning shows once what it is about has lasted for its delay, so that a peer that comes back in a
second makes no noise; it goes when that is over. docs/warnings.md is written from `WARNINGS`.
"""

import shutil
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from gossipd.config import Paths
from gossipd.learning.errors import LearningError
from gossipd.protocol.roster import State
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import Clock

Document = dict[str, Any]
Found = tuple[str, str, str]
"""(code, text, fix)"""

SOON_SECONDS = 7 * 86_400.0
"""How long before its end a membership is spoken of; ours, time to reach a founder."""
DISK_BYTES = 200_000_000
"""What a daemon should have free; a guess: a few models and the database's log."""
STALL_SECONDS = 300.0
"""Without a new round; a guess, far above the slowest round of the benchmarks."""
CLOCKS = 2
"""Peers whose calendars are compared, at least: with one, either may be wrong."""
CLOCK_SECONDS = 300.0
"""As the doctor has it: how far a calendar may be off."""
OTHER_TASK = frozenset({"wrong-layout", "wrong-genesis", "foreign-task", "wrong-mode"})


class Warning(NamedTuple):  # noqa: A001 - what it is called everywhere
    """What stands in the reference."""

    severity: Literal["info", "warning", "error"]
    delay: float
    """Seconds for which it must have been so before it shows."""
    meaning: str


WARNINGS = {
    "identity-in-use": Warning("error", 0.0, "Another daemon signs with this key."),
    "network-down": Warning("error", 0.0, "The network thread has ended; it restarts by itself."),
    "storage-failing": Warning("error", 0.0, "Something could not be written."),
    "disk-low": Warning("warning", 0.0, "Little room is left on the home's disk."),
    "data-unreadable": Warning("warning", 0.0, "Changed data files cannot be read."),
    "learning-failed": Warning("warning", 0.0, "The last training or merge ended in an error."),
    "membership-revoked": Warning("error", 0.0, "The founder has shut this device out."),
    "membership-expired": Warning("error", 0.0, "This device's membership has ended."),
    "membership-ends": Warning("info", 0.0, "This device's membership ends within a week."),
    "alone": Warning("warning", 30.0, "No peer is connected."),
    "other-task": Warning("warning", 0.0, "Peers that learn something else were met."),
    "clock-off": Warning("warning", 0.0, "The calendars of peers say something else."),
    "no-multicast": Warning("info", 60.0, "Peers of the local network cannot be found."),
    "no-round": Warning("warning", STALL_SECONDS, "Peers are connected, and no round goes on."),
    "not-training": Warning("info", 10.0, "Training is paused; the text says why."),
}
"""Every code there is, in the order in which they are shown."""


class Health:
    """Remembers since when something has been wrong."""

    def __init__(
        self,
        parts: Parts,
        paths: Paths,
        membership: Callable[[], Document | None],
        clock: Clock,
        paused: Callable[[], str | None] = lambda: None,
        stale: Callable[[], LearningError | None] = lambda: None,
    ) -> None:
        """`membership`: of a closed swarm, as in the status; `paused`: why nothing is trained;
        `stale`: why the data in use are older than their files."""
        self._parts = parts
        self._paths = paths
        self._membership = membership
        self._clock = clock
        self._paused = paused
        self._stale = stale
        self._since: dict[str, float] = {}
        self._round = (-1, 0.0)
        """The last one that was seen, and since when."""

    def look(self, now: float) -> list[Document]:
        """[{code, severity, text, fix, since}] of what has lasted; `since` in seconds."""
        found = {code: (text, fix) for code, text, fix in self._found(now)}
        self._since = {code: self._since.get(code, now) for code in found}
        return [
            {
                "code": code,
                "severity": kind.severity,
                "text": found[code][0],
                "fix": found[code][1],
                "since": now - self._since[code],
            }
            for code, kind in WARNINGS.items()
            if code in found and now - self._since[code] >= kind.delay
        ]

    def _found(self, now: float) -> Iterator[Found]:
        node, engine = self._parts.node, self._parts.engine
        if node.identity_in_use:
            yield (
                "identity-in-use",
                "another daemon signs with this key, or this state is an old copy; nothing is "
                "published any more",
                "give one of the two a home of its own, or delete state.db here to begin a new "
                "incarnation",
            )
        if not engine.network_healthy:
            yield "network-down", engine.network_detail, "it restarts by itself; see logs"
        if failed := engine.errors.get("storage"):
            fix = "make room on the disk or check its permissions"
            yield "storage-failing", f"{failed} writes failed", fix
        if (problem := self._stale()) is not None:
            text = f"{problem}; training goes on with what was read before"
            yield "data-unreadable", text, problem.hint
        if node.mode.last_failure is not None:
            yield "learning-failed", node.mode.last_failure, "see `gossipd events`"
        yield from self._disk()
        yield from self._of_membership()
        yield from self._of_peers(now)
        if (why := self._paused()) is not None:
            yield "not-training", why, "`gossipd train resume`, or see [guest] in the settings"

    def _disk(self) -> Iterator[Found]:
        try:
            free = shutil.disk_usage(self._paths.home).free
        except OSError:
            return  # writes fail then, and are counted
        if free < DISK_BYTES:
            text = f"{free / 1e6:,.0f} MB are free for {self._paths.home}"
            yield "disk-low", text, "make room, or lower storage.quota_mb"

    def _of_membership(self) -> Iterator[Found]:
        membership = self._membership()
        if membership is None:
            return
        if membership["state"] != "member":
            yield (
                f"membership-{membership['state']}",
                "the other members of this closed swarm turn this device away",
                "ask the founder for a new membership, then: gossipd members accept FILE",
            )
        elif membership["not_after"] is not None:
            left = membership["not_after"] - self._clock.wall()
            if left < SOON_SECONDS:
                yield (
                    "membership-ends",
                    f"the membership of this closed swarm ends in {left / 86_400:.1f} days",
                    "ask the founder for a new membership, then: gossipd members accept FILE",
                )

    def _of_peers(self, now: float) -> Iterator[Found]:
        node = self._parts.node
        connected = node.peers.admitted()
        if not connected:
            yield "alone", "no peer is connected", "gossipd doctor; gossipd peers add ADDRESS"
        others = [
            peer
            for peer in node.peers.table.values()
            if peer.state is not State.ADMITTED and OTHER_TASK & peer.refused.keys()
        ]
        if others:
            codes = sorted({code for peer in others for code in OTHER_TASK & peer.refused.keys()})
            yield (
                "other-task",
                f"{len(others)} peers learn something else ({', '.join(codes)}): "
                f"{', '.join(peer.id for peer in others[:3])}",
                "`gossipd events` has their words; start all with the same task and data",
            )
        clocks = [peer.clock for peer in node.peers.table.values() if peer.clock is not None]
        if len(clocks) >= CLOCKS and abs(middle := statistics.median(clocks)) > CLOCK_SECONDS:
            side = "ahead of" if middle > 0 else "behind"
            text = (
                f"the calendars of {len(clocks)} peers are {abs(middle):,.0f} s {side} this one's"
            )
            yield "clock-off", text, "gossipd doctor; a membership ends by the calendar"
        if self._parts.transport.counters().get("mdns-unavailable"):
            yield "no-multicast", "mDNS does not work here", "gossipd doctor"
        if node.rounds is not None and connected and not node.mode.paused:
            if node.rounds.round != self._round[0]:
                self._round = (node.rounds.round, now)
            elif now > self._round[1]:
                text = (
                    f"round {node.rounds.round} is the last one, {now - self._round[1]:.0f} s ago"
                )
                yield "no-round", text, "`gossipd status` tells who is waited for"
