"""What it costs that only a few train in a round: their serving models against all nodes' rounds.

Under label skew the model of a round depends on who was drawn; the serving chain shall even that
out. Held against each other at equal rounds: the median and the worst node's serving accuracy when
five of twenty are sampled, by the daemon's own code, anti-entropy and all; and the moving average
that a server makes when all twenty train in every round, which every node is taken to have at once.
"""

from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure

from benchmarks.course import Course, Swarm
from benchmarks.harness import COLOURS, Document
from benchmarks.workload import Source
from gossipd_cli.output import table

ALPHA = 0.1
WHO = ("median", "worst")


def swarms(images: Source, nodes: int, few: int, rounds: int) -> tuple[Swarm, Swarm]:
    """Few of the nodes in a round, and all of them."""
    one, every = (Swarm(images, nodes, s, ALPHA, None, rounds) for s in (few, nodes))
    return one, every


class FewOfMany:
    """Courses of both, a pair for each seed."""

    def __init__(self, settled: int, few: Sequence[Course], everybody: Sequence[Course]) -> None:
        self._settled = settled
        self._few = [_by_round(course) for course in few]
        self._all = [_by_round(course) for course in everybody]

    def gaps(self, who: str) -> list[float]:
        """By how much the node is behind at worst, in any round from `settled` on; every seed."""
        return [
            max(
                every[number]["average"] - tracks[f"nodes {who}"]
                for number, tracks in few.items()
                if number >= self._settled and number in every
            )
            for few, every in zip(self._few, self._all, strict=True)
        ]

    def bars(self) -> dict[str, float | None]:
        return {f"few of many: {who} node behind all": median(self.gaps(who)) for who in WHO}

    def text(self) -> str:
        rounds = [n for n in (3, 5, 10, 20, 30, 40, 50, 60) if all(n in few for few in self._few)]

        def cell(courses: Sequence[dict[int, dict[str, float]]], track: str, number: int) -> str:
            return f"{median(course[number][track] for course in courses):.3f}"

        rows = [
            ("few, median node", *(cell(self._few, "nodes median", n) for n in rounds)),
            ("few, worst node", *(cell(self._few, "nodes worst", n) for n in rounds)),
            ("few, serving chain", *(cell(self._few, "average", n) for n in rounds)),
            ("all, moving average", *(cell(self._all, "average", n) for n in rounds)),
        ]
        gaps = (
            f"{who} {median(self.gaps(who)):.3f} ({' '.join(f'{g:.3f}' for g in self.gaps(who))})"
            for who in WHO
        )
        return "\n\n".join(
            [
                table(("accuracy at round", *(f">{n}" for n in rounds)), rows),
                f"Furthest behind all in any round from {self._settled} on: {', '.join(gaps)}",
            ]
        )

    def document(self) -> Document:
        return {
            "settled": self._settled,
            "behind": {who: self.gaps(who) for who in WHO},
            "few": self._few,
            "all": self._all,
        }

    def figure(self, dataset: str) -> Figure:
        figure = Figure(figsize=(7, 4), layout="constrained")
        place = figure.subplots()
        few, every = self._few[0], self._all[0]
        rounds = list(few)
        middle = [few[n]["nodes median"] for n in rounds]
        worst = [few[n]["nodes worst"] for n in rounds]
        place.plot(rounds, middle, color=COLOURS[1], label="few: median node's serving model")
        place.fill_between(rounds, worst, middle, color=COLOURS[1], alpha=0.15, linewidth=0)
        place.plot(rounds, [few[n]["model"] for n in rounds], ":", color=COLOURS[0], label="few: M")
        averages = [tracks["average"] for tracks in every.values()]
        place.plot(list(every), averages, "--", color=COLOURS[2], label="all: moving average")
        place.axvline(self._settled, color="0.6", linewidth=0.8)
        place.set(xlabel="round", ylabel="test accuracy", ylim=(0, 1))
        place.grid(alpha=0.3)
        place.legend(loc="lower right")
        figure.suptitle(f"{dataset}, Dirichlet {ALPHA:g}; shade: worst node; first seed")
        return figure


def _by_round(course: Course) -> dict[int, dict[str, float]]:
    return {point.round: point.accuracy for point in course}
