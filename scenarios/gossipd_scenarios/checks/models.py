"""Checks of what nodes have learnt, and how soon after a moment."""

from collections.abc import Mapping

from gossipd_scenarios.checks.verdict import (
    STATS,
    Verdict,
    accuracies,
    between,
    bounds,
    chosen,
    not_here,
    worst_of,
)
from gossipd_scenarios.history import History, Snapshot
from gossipd_scenarios.schema import (
    Accuracy,
    LineageConverges,
    Progress,
    Reaches,
    Undisturbed,
)


def _title(check: Accuracy | Reaches | Undisturbed) -> str:
    kind = str(type(check).__struct_config__.tag)
    words = [kind, check.stat, *([check.of] if check.of != "running" else []), check.group]
    if not isinstance(check, Undisturbed) and check.classes != "all":
        words.append(check.classes)
    return check.name or " ".join(word for word in words if word)


def _labels(history: History, check: Accuracy | Reaches) -> tuple[int, ...] | None:
    """The classes that a check is about, () for all; None where there are no such."""
    if check.classes == "all":
        return ()
    return history.small_classes() or None


def accuracy(check: Accuracy, history: History) -> Verdict:
    name, bound = _title(check), bounds(check.at_least, check.at_most)
    labels = _labels(history, check)
    snapshot = history.at(check.at)
    if labels is None:
        return not_here(name, bound, "no island has classes of its own")
    if snapshot is None:
        return Verdict(name, False, None, bound, f"nobody was looked at before {check.at}")
    values = accuracies(chosen(history, snapshot, check), labels)
    if not values:
        return _nobody(check, name, bound, snapshot)
    value = STATS[check.stat](values.values())
    evidence = f"at {snapshot.at:.1f} s: {worst_of(values)}"
    return Verdict(name, between(value, check.at_least, check.at_most), value, bound, evidence)


def _nobody(
    check: Accuracy | Reaches | Undisturbed, name: str, bound: str, snapshot: Snapshot
) -> Verdict:
    """No node to look at: it does not apply to the isolated ones of whom there are none."""
    if check.of == "isolated":
        return not_here(name, bound, "nobody is isolated")
    return Verdict(name, False, None, bound, f"nobody {check.of} at {snapshot.at:.1f} s")


def reaches(check: Reaches, history: History) -> Verdict:
    name, bound = _title(check), f"{check.at_least:g} within {check.within:g} s"
    labels = _labels(history, check)
    if labels is None:
        return not_here(name, bound, "no island has classes of its own")
    began, best, evidence = history.moment(check.after), 0.0, "nobody was looked at afterwards"
    for snapshot in history.after(check.after):
        values = accuracies(chosen(history, snapshot, check), labels)
        if not values:
            continue
        value = STATS[check.stat](values.values())
        if value >= check.at_least:
            took = snapshot.at - began
            evidence = f"{value:.3f} at {snapshot.at:.1f} s, {took:.1f} s after {check.after}"
            return Verdict(name, took <= check.within, took, bound, evidence)
        if value >= best:
            best, evidence = value, f"never; best {value:.3f} at {snapshot.at:.1f} s"
    return Verdict(name, False, None, bound, evidence)


def undisturbed(check: Undisturbed, history: History, calm: History | None) -> Verdict:
    """`calm`: the same nodes without any fault."""
    name, bound = _title(check), f"≥ {check.at_least:g} of undisturbed"
    last, other = history.at("end"), calm.at("end") if calm else None
    if last is None or other is None:
        return Verdict(name, False, None, bound, "there is no undisturbed run to compare with")
    values = accuracies(chosen(history, last, check))
    reference = accuracies(other.readings)
    if not values:
        return _nobody(check, name, bound, last)
    stat = STATS[check.stat]
    here, there = stat(values.values()), stat(reference.values())
    share = here / there if there else 0.0
    evidence = f"{here:.3f} against {there:.3f}; {worst_of(values)}"
    return Verdict(name, share >= check.at_least, share, bound, evidence)


def lineage(check: LineageConverges, history: History) -> Verdict:
    """All that anybody who runs in the end had ever merged until the moment, everybody has."""
    name, bound = check.name or "lineage converges", f"within {check.within:g} s"
    began, target = history.moment(check.after), _merged_until(check, history)
    if not target:
        return Verdict(name, False, None, bound, f"nobody had merged anything by {check.after}")
    evidence = "nobody was looked at afterwards"
    for snapshot in history.after(check.after):
        missing = {
            node: _missing(target, reading.lineage) for node, reading in snapshot.readings.items()
        }
        behind = {node: authors for node, authors in missing.items() if authors}
        if snapshot.readings and not behind:
            took = snapshot.at - began
            evidence = (
                f"{len(snapshot.readings)} nodes have what {len(target)} authors had done, "
                f"{took:.1f} s after {check.after}"
            )
            return Verdict(name, took <= check.within, took, bound, evidence)
        for node, authors in behind.items():
            evidence = (
                f"never; at {snapshot.at:.1f} s {len(behind)} nodes behind: {node} lacks work of "
                f"{authors} authors"
            )
    return Verdict(name, False, None, bound, evidence)


def _merged_until(check: LineageConverges, history: History) -> dict[str, int]:
    """Author -> steps, over all who run in the end and whose disks were left alone."""
    last = history.at("end")
    among = (last.running if last else frozenset()) - history.damaged
    target: dict[str, int] = {}
    for snapshot in history.snapshots:
        if snapshot.at > history.moment(check.after):
            break
        # Of a thousand nodes most stand on one of a few bases.
        lineages = (snapshot.readings[node].lineage for node in among & snapshot.readings.keys())
        for lineage in {id(lineage): lineage for lineage in lineages}.values():
            for author, steps in lineage.items():
                target[author] = max(target.get(author, 0), steps)
    return target


def _missing(target: Mapping[str, int], lineage: Mapping[str, int]) -> int:
    return sum(steps > lineage.get(author, 0) for author, steps in target.items())


def progress(check: Progress, history: History) -> Verdict:
    name = check.name or f"progress {check.counter}"
    bound = f"≥ {check.at_least:g}"
    before, last = history.at(check.after), history.at(check.until)
    if last is None or not last.readings:
        return Verdict(name, False, None, bound, f"nobody runs at {check.until}")
    first = before.readings if before is not None else {}
    now = {node: r.counters.get(check.counter, 0) for node, r in last.readings.items()}
    then = {node: r.counters.get(check.counter, 0) for node, r in first.items()}
    if check.counter == "round":
        value = max(now.values()) - max(then.values(), default=0)
    else:
        value = sum(count - then.get(node, 0) for node, count in now.items())
    evidence = f"from {check.after} to {last.at:.1f} s, {len(now)} nodes"
    return Verdict(name, value >= check.at_least, value, bound, evidence)
