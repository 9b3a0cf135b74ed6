"""Checks of what daemons must never do (count back, lose work, fail, die) and of what they cost."""

from collections.abc import Iterator

from gossipd_scenarios.backend import Reading
from gossipd_scenarios.checks.verdict import STATS, Verdict, between, bounds, not_here
from gossipd_scenarios.history import History
from gossipd_scenarios.schema import SIDES, Bytes, Choice, Events, Memory, Meshed

MEGA = 1e6
PER_LIFE = "round"
"""The counter that may begin lower in a new life: where the swarm is, is heard from it."""
SHOWN = 3


def _readings(history: History) -> Iterator[Reading]:
    """All readings in order of time."""
    for snapshot in history.snapshots:
        yield from snapshot.readings.values()


def _counted(name: str, found: list[str], what: str) -> Verdict:
    """A check that allows none of something."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    evidence = "; ".join(found[:SHOWN]) + more if found else f"none in {what}"
    return Verdict(name, not found, float(len(found)), "none", evidence)


# --- what stays -----------------------------------------------------------------------------------


def counters_grow(history: History) -> Verdict:
    """No counter went back, but those of a disk that was wiped or damaged."""
    before: dict[tuple[str, str, str], int] = {}
    lives = history.lives()
    found, looks = [], 0
    for reading in _readings(history):
        looks += 1
        life = sum(begun <= reading.at for begun, _ in lives.get(reading.node, ()))
        for counter, value in reading.counters.items():
            # A wiped disk is another author, who counts from nothing.
            scope = f"{reading.author}/{life}" if counter == PER_LIFE else reading.author
            key = reading.node, scope, counter
            if value < before.get(key, value):
                found.append(
                    f"{reading.node}: {counter} {before[key]} -> {value} by {reading.at:.1f} s"
                )
            before[key] = value
    return _counted("counters grow", found, f"{looks} readings")


def nothing_lost(history: History) -> Verdict:
    """What a base had merged it keeps, and nobody forgets own steps that others hold."""
    own: dict[str, int] = {}
    """Author -> most of its steps that were ever seen in anybody's base."""
    bases: dict[tuple[str, str], Reading] = {}
    found, looks = [], 0
    for snapshot in history.snapshots:
        for node, reading in snapshot.readings.items():
            looks += 1
            if node in history.damaged:
                continue
            earlier = bases.get((node, reading.author))
            lost = _lost(earlier, reading)
            if lost:
                found.append(f"{node} lost work of {lost} authors by {reading.at:.1f} s")
            bases[node, reading.author] = reading
            known = own.get(reading.author, 0)
            if reading.counters.get("steps", known) < known:
                found.append(
                    f"{node} knows {reading.counters['steps']} own steps at {reading.at:.1f} s, "
                    f"others hold {known}"
                )
        # Of a thousand nodes most stand on one of a few bases.
        different = {id(reading.lineage): reading.lineage for reading in snapshot.readings.values()}
        for lineage in different.values():
            for author, steps in lineage.items():
                own[author] = max(own.get(author, 0), steps)
    return _counted("nothing lost", found, f"{looks} readings")


def _lost(earlier: Reading | None, reading: Reading) -> int:
    if earlier is None or earlier.lineage is reading.lineage:
        return 0
    now = reading.lineage
    return sum(steps > now.get(author, 0) for author, steps in earlier.lineage.items())


# --- what must not happen -------------------------------------------------------------------------


def no_exception(history: History) -> Verdict:
    found = [
        f"{fault.node} at {fault.at:.1f} s: {_last_line(fault.evidence)}"
        for fault in history.faults
        if fault.what != "ended"
    ]
    return _counted("no unhandled exception", found, f"{len(history.lives())} daemons")


def nobody_ended(history: History) -> Verdict:
    found = [
        f"{fault.node} at {fault.at:.1f} s: {_last_line(fault.evidence)}"
        for fault in history.faults
        if fault.what == "ended"
    ]
    lives = sum(map(len, history.lives().values()))
    return _counted("nobody ended unasked", found, f"{lives} lives")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no word"


def events(check: Events, history: History) -> Verdict:
    count = history.counts()[check.kind]
    nodes = sorted({event.node for event in history.events if event.kind == check.kind})
    return Verdict(
        check.name or f"events {check.kind}",
        between(count, check.at_least, check.at_most),
        float(count),
        bounds(check.at_least, check.at_most),
        f"at {len(nodes)} nodes: {', '.join(nodes[:SHOWN])}" if nodes else "at no node",
    )


# --- what it costs --------------------------------------------------------------------------------


def sent(check: Bytes, history: History) -> Verdict:
    name, bound = check.name or f"bytes {check.stat}", f"≤ {check.at_most:g} MB"
    totals = {reading.node: reading.bytes_out / MEGA for reading in _readings(history)}
    if not totals:
        return Verdict(name, False, None, bound, "nobody was looked at")
    # "worst" is who sends most, and "best" who sends least.
    turned = {"worst": "best", "best": "worst"}.get(check.stat, check.stat)
    value = STATS[turned](totals.values())
    most = max(totals, key=lambda node: totals[node])
    evidence = f"{sum(totals.values()):.1f} MB by {len(totals)}, {most} most: {totals[most]:.2f} MB"
    return Verdict(name, value <= check.at_most, value, bound, evidence)


def memory(check: Memory, history: History) -> Verdict:
    name, bound = check.name or "memory", f"≤ {check.at_most:g} MB"
    largest: dict[str, float] = {}
    for reading in _readings(history):
        if reading.memory is not None:
            now = reading.memory / MEGA
            largest[reading.node] = max(now, largest.get(reading.node, 0.0))
    if not largest:
        return not_here(name, bound, "nodes share a process")
    most = max(largest, key=lambda node: largest[node])
    evidence = f"{most}, of {len(largest)}"
    return Verdict(name, largest[most] <= check.at_most, largest[most], bound, evidence)


def meshed(check: Meshed, history: History) -> Verdict:
    """Everybody who runs has so many peers, or all whom the overlay and the swarm offer."""
    name = check.name or "meshed"
    bound = f"{check.peers} peers within {check.within:g} s"
    began, evidence = history.moment(check.after), "nobody was looked at afterwards"
    graph = history.cast.graph
    for snapshot in history.after(check.after):
        lonely = {}
        for node, reading in snapshot.readings.items():
            there = snapshot.running - {node}
            possible = len(there if graph is None else there & set(graph[node]))
            if reading.connected < min(check.peers, possible):
                lonely[node] = reading.connected
        if snapshot.readings and not lonely:
            took = snapshot.at - began
            evidence = f"all {len(snapshot.readings)} nodes at {snapshot.at:.1f} s"
            return Verdict(name, took <= check.within, took, bound, evidence)
        for node, peers in lonely.items():
            evidence = f"never; at {snapshot.at:.1f} s {len(lonely)} have less: {node} {peers}"
    return Verdict(name, False, None, bound, evidence)


def choice(check: Choice, history: History) -> Verdict:
    """Whom the honest would turn to first."""
    name, bound = check.name or "honest first choices", bounds(check.at_least, check.at_most)
    snapshot = history.at(check.at)
    if SIDES[0] not in history.cast.groups:
        return not_here(name, bound, "nobody lies")
    honest = history.cast.groups[SIDES[1]]
    looked = [] if snapshot is None else snapshot.readings.values()
    choices = {one.node: one.choice for one in looked if one.node in honest}
    if not choices:
        return Verdict(name, False, None, bound, f"nobody was looked at before {check.at}")
    misled = sorted(node for node, first in choices.items() if first not in honest)
    share = 1.0 - len(misled) / len(choices)
    evidence = f"{len(misled)} of {len(choices)} misled: {', '.join(misled[:SHOWN]) or 'nobody'}"
    return Verdict(name, between(share, check.at_least, check.at_most), share, bound, evidence)
