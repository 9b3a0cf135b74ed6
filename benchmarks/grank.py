"""G-Rank's experiment: do all come to rank alike, and what is left of it under attack?

See `clickers` for the experiment. Each attack meets the paper's rules, each of our defences alone,
and what a daemon does. "best": the share of (node, tag) whose ranking begins with the item that is
globally first; under attack, of the tags that it is aimed at, and the item that was first before.
"distance": Σ |local rank - global rank| as a share of what it was at the start.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from statistics import median

from matplotlib.figure import Figure

from benchmarks.clickers import Attack, Course, Gossip, Job, Swarm, run
from benchmarks.harness import COLOURS, PROCESSES, Document, Options, Report, in_processes, main
from gossipd.protocol.ranking.rules import OURS, PAPER, Rules
from gossipd_cli.output import table

LOOKS = 20
SMALL = Swarm(items=40, tags=6, nodes=10, ticks=200)
HALF_LIFE = 2000.0
"""Ticks: of a node's own queries twenty."""

RULES: dict[str, Rules] = {
    "paper": PAPER,
    "one vote": replace(PAPER, one_vote=True),
    "cap": replace(PAPER, cap=OURS.cap),
    "half-life": replace(PAPER, half_life=HALF_LIFE),
    "low F": replace(PAPER, unlike=OURS.unlike),
    "shared choices": replace(PAPER, terms_alone=False),
    "ours": OURS,
}
PLAN: Sequence[tuple[Attack, Gossip, Sequence[str]]] = (
    ("none", "pull", ("paper", "ours")),
    ("none", "push", ("paper",)),
    ("targeted", "pull", tuple(RULES)),
    ("targeted", "push", ("paper", "ours")),
    ("inflation", "pull", tuple(RULES)),
    ("epic", "pull", ("paper", "one vote", "low F", "ours")),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case, the median of its seeds."""

    attack: Attack
    gossip: Gossip
    rules: str
    course: Course

    @property
    def best(self) -> float:
        return self.course.best[-1]

    @property
    def distance(self) -> float:
        return self.course.distance[-1] / self.course.distance[0]


def measure(options: Options) -> Report:
    swarm = SMALL if options.quick else Swarm()
    cases = [(attack, gossip, name) for attack, gossip, names in PLAN for name in names]
    jobs = [
        Job(swarm, RULES[name], attack, gossip, seed, swarm.ticks // LOOKS)
        for attack, gossip, name in cases
        for seed in options.seeds
    ]
    courses = iter(in_processes(run, jobs, 1 if options.quick else PROCESSES))
    outcomes = [
        Outcome(*case, _typical(list(islice(courses, len(options.seeds))))) for case in cases
    ]
    return Report(
        dataset="",
        text=_text(outcomes),
        data={"seeds": list(options.seeds), "rows": [_row(one) for one in outcomes]},
        measured=_measured(outcomes),
        figures={attack: _figure(outcomes, attack) for attack in ("none", *_attacks(outcomes))},
    )


def _typical(courses: Sequence[Course]) -> Course:
    """The median of the seeds, look by look."""
    each = {key.name: [getattr(course, key.name) for course in courses] for key in fields(Course)}
    return Course(
        **{name: [median(look) for look in zip(*of, strict=True)] for name, of in each.items()}
    )


def _attacks(outcomes: Sequence[Outcome]) -> list[Attack]:
    return list(dict.fromkeys(one.attack for one in outcomes if one.attack != "none"))


def _measured(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    def of(attack: Attack, rules: str) -> Outcome:
        return next(
            one
            for one in outcomes
            if (one.attack, one.gossip, one.rules) == (attack, "pull", rules)
        )

    calm = of("none", "ours")
    unknown = calm.course.unknown
    return {
        "no attack: best item, share in the end": calm.best,
        "no attack: distance to the global ranking, share of its start": calm.distance,
        "no attack: distance to knowing every click, share of its start": unknown[-1] / unknown[0],
        "no attack: kB of gossip a node": calm.course.kilobytes[-1],
        "targeted: best item, share in the end": of("targeted", "ours").best,
        "targeted, paper's rules: best item": of("targeted", "paper").best,
        "inflation: best item, share in the end": of("inflation", "ours").best,
        "inflation, paper's rules: best item": of("inflation", "paper").best,
        "epic: best item, gained on the paper's rules": of("epic", "ours").best
        - of("epic", "paper").best,
    }


def _row(one: Outcome) -> Document:
    return {"attack": one.attack, "gossip": one.gossip, "rules": one.rules, **asdict(one.course)}


def _text(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for one in outcomes:
        best, half = one.course.best, len(one.course.best) // 2
        least = min(best[half:])
        cells = (f"{best[half - 1]:.3f}", f"{least:.3f}", f"{one.best:.3f}")
        end = one.course.kilobytes[-1]
        rows.append(
            (one.attack, one.gossip, one.rules, *cells, f"{one.distance:.3f}", f"{end:.0f}")
        )
    heads = ("attack", "gossip", "rules", ">before", ">least", ">end", ">distance", ">kB a node")
    return "Share of rankings that begin with the best item:\n" + table(heads, rows)


STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def _figure(outcomes: Sequence[Outcome], attack: str) -> Figure:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    these = [one for one in outcomes if one.attack == attack]
    for number, one in enumerate(these):
        label = one.rules if one.gossip == "pull" else f"{one.rules}, push"
        line = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": STYLES[number % len(STYLES)],
            "linewidth": 2.5 if one.rules == "ours" else 1.5,
            "label": label,
        }
        left.plot(one.course.ticks, one.course.distance, **line)
        right.plot(one.course.ticks, one.course.best, **line)
    if attack != "none":
        for axes in (left, right):
            axes.axvline(these[0].course.ticks[-1] / 2, color="grey", linewidth=0.8)
    left.set(title=f"{attack}: rank distance", xlabel="tick", ylabel="Σ |local - global|", ylim=0)
    right.set(title="share that begins with the best item", xlabel="tick", ylim=(-0.02, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    right.legend(loc="best", fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main("grank", "G-Rank's experiment, with and without attackers.", measure))
