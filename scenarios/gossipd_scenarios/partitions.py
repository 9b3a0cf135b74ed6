"""Partitions as data: node -> whom it does not hear. Several hold side by side.

After Jepsen's nemesis partitions (halves, isolated nodes, a bridge between two halves).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from gossipd_scenarios.cast import Cast
from gossipd_scenarios.schema import Partition, Selector

Deaf = dict[str, frozenset[str]]


def apart(*sides: Iterable[str]) -> Deaf:
    """Nobody hears anybody of another side; whoever is on none hears and is heard by all."""
    groups = [frozenset(side) for side in sides]
    everybody = frozenset().union(*groups)
    return {name: everybody - group for group in groups for name in group if everybody - group}


def made(step: Partition, cast: Cast, present: Sequence[str], place: str) -> Deaf:
    """The partition that an operation asks for, among all nodes of the cast.

    Nodes that join later are on the side on which their name stands, so that a newcomer finds the
    partition as the others have it. `present` are those that selectors pick from.
    """
    everybody = cast.names
    match step.maker:
        case "islands":
            sides = frozenset(cast.pick(step.who, everybody, place))
            return apart(*(sides.intersection(island) for island in cast.islands))
        case "halves":
            cut = round(len(everybody) * step.share)
            return apart(everybody[:cut], everybody[cut:])
        case "bridge":
            middle = round(len(everybody) * step.share)
            return apart(everybody[:middle], everybody[middle + 1 :])
        case "isolate":
            return alone(cast.pick(step.who, present, place), everybody)
        case "most-central":
            central = Selector(by="betweenness", percent=step.percent)
            return alone(cast.pick(central, present, place), everybody)
        case "away":
            chosen = frozenset(cast.pick(step.who, present, place))
            return apart(chosen, frozenset(everybody) - chosen)
        case "only":
            chosen = frozenset(cast.pick(step.who, present, place))
            heard = frozenset(cast.pick(step.hears, everybody, place))
            return only(chosen, heard, everybody)
        case "pairs":
            return {name: frozenset(others) for name, others in step.deaf.items()}


def alone(chosen: Collection[str], everybody: Sequence[str]) -> Deaf:
    """Each of the chosen hears nobody and is heard by nobody."""
    cut = frozenset(chosen)
    deaf: Deaf = {name: cut for name in everybody if name not in cut}
    deaf |= {name: frozenset(everybody) - {name} for name in cut}
    return deaf if cut else {}


def only(chosen: frozenset[str], heard: frozenset[str], everybody: Sequence[str]) -> Deaf:
    """The chosen talk to `heard` and each other alone."""
    rest = frozenset(everybody) - heard - chosen
    deaf: Deaf = {name: rest for name in chosen if rest}
    deaf |= {name: chosen for name in rest if chosen}
    return deaf


def together(cuts: Iterable[Mapping[str, Collection[str]]]) -> Deaf:
    """What all of these partitions make when they hold at once."""
    deaf: Deaf = {}
    for cut in cuts:
        for name, others in cut.items():
            deaf[name] = deaf.get(name, frozenset()) | frozenset(others)
    return deaf
