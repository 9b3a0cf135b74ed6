"""Each known peer in five steps: TCP, handshake, protocol, swarm, layout. The first that fails is
named with its cause; what comes after it is skipped.

While the daemon runs, it knows how its own attempts ended; only TCP is tried again from here, since
a second connection with its key would end the first.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gossipd.doctor.findings import Finding, bad, good, skipped
from gossipd.doctor.machine import Machine

Document = dict[str, Any]

STEPS = ("tcp", "handshake", "protocol", "swarm", "layout")
PEERS = 16
"""Peers that are looked at, those that do not work first. A guess at a screenful."""


class Cause(NamedTuple):
    """What a code of the network or of a refusal means."""

    step: str
    code: str
    fix: str


_TASK = "start both with the same task and data description: `gossipd status` shows each one's"
_SWARM = (
    "join the right one: `gossipd invite` on a device that is in it; `gossipd status` shows both"
)

CAUSES = {
    "wrong-peer": Cause("handshake", "wrong-peer", "its address is another device's now: add it "
    "anew (`gossipd peers add`)"),
    "unsupported": Cause("protocol", "not-gossipd", "something else answers there: check address"),
    "version": Cause("protocol", "old-version", "upgrade the older of the two gossipd"),
    "full": Cause("protocol", "full", "it has no place left: it is tried again"),
    "foreign-swarm": Cause("swarm", "wrong-swarm", _SWARM),
    "not-a-member": Cause("swarm", "wrong-swarm", "it is in a closed swarm that this device is no "
    "member of: ask its founder for an invitation"),
    "no-membership": Cause("swarm", "wrong-swarm", "it is no member of this closed swarm: "
    "`gossipd invite` makes a line for it"),
    "no-membership-here": Cause("swarm", "wrong-swarm", _SWARM),
    "forged-membership": Cause("swarm", "wrong-swarm", _SWARM),
    "stolen-membership": Cause("swarm", "wrong-swarm", _SWARM),
    "membership-revoked": Cause("swarm", "membership-revoked", "ask the founder"),
    "membership-expired": Cause("swarm", "membership-expired", "ask the founder for a new one; "
    "and see that both clocks are right"),
    "not-allowed": Cause("swarm", "not-allowed", "one of the two names its only neighbours: see "
    "network.allow there"),
    "wrong-layout": Cause("layout", "wrong-task", _TASK),
    "wrong-genesis": Cause("layout", "wrong-task", _TASK),
    "foreign-task": Cause("layout", "wrong-task", _TASK),
    "wrong-mode": Cause("layout", "wrong-mode", "set `mode` alike on both"),
    "swarm-full": Cause("swarm", "swarm-full", "the swarm has all the authors that it can"),
}  # fmt: skip
DEAD = "start the daemon there, or check address, cable and firewall of both"


def examine(rows: Sequence[Document], machine: Machine) -> Iterator[Finding]:
    """The daemon's peers, as `gossipd peers ls` has them."""
    # Those that do not work come first; of a peer that is only heard of, nothing is known to fail.
    told = sorted(rows, key=lambda row: (row["state"] == "connected", not row["last_error"]))
    for row in told[:PEERS]:
        yield from _of_row(row, machine)


def _of_row(row: Document, machine: Machine) -> Iterator[Finding]:
    peer, error = row["peer_id"], row["last_error"] or ""
    if row["state"] == "connected":
        yield from passed(peer, f"connected at {_host(row['address'])}", len(STEPS))
        return
    cause = CAUSES.get(error.partition(":")[0]) or _refused_before(row)
    if cause is not None:
        yield from failed(peer, cause, error or f"turned away: {cause.code}")
        return
    if row["address"] is None:
        yield skipped("tcp", "no address of it is known", peer)
        return
    yield from answers(peer, row["address"], machine, error)


def _refused_before(row: Document) -> Cause | None:
    """Whom this daemon turned away had dialled in: then only the counts tell."""
    return next((CAUSES[code] for code in row["refused"] if code in CAUSES), None)


def answers(peer: str, address: str, machine: Machine, error: str) -> Iterator[Finding]:
    """Whether anybody answers at `address`; of what comes after it only `error` is known."""
    _, _, host, _, port, *_ = address.split("/")
    try:
        machine.connect(host, int(port))
    except OSError as problem:
        why = problem.strerror or str(problem)
        cause = Cause("tcp", "peer-dead", DEAD)
        yield from failed(peer, cause, f"nobody answers at {host}:{port}: {why}")
        return
    yield good("tcp", f"somebody answers at {host}:{port}", peer)
    for step in STEPS[1:]:
        yield skipped(step, error or "the daemon has not tried yet", peer)


def passed(peer: str, evidence: str, steps: int) -> Iterator[Finding]:
    for step in STEPS[:steps]:
        yield good(step, evidence, peer)


def failed(peer: str, cause: Cause, evidence: str) -> Iterator[Finding]:
    """All before it is good, it is not, the rest is not known."""
    place = STEPS.index(cause.step)
    yield from passed(peer, "answers", place)
    yield bad(cause.step, cause.code, evidence, cause.fix, peer)
    for step in STEPS[place + 1 :]:
        yield skipped(step, f"{cause.step} fails", peer)


def _host(address: str | None) -> str:
    return (address or "an unknown address").partition("/p2p/")[0]
