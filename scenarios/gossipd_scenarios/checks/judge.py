"""All checks of a scenario against one history."""

from collections.abc import Iterator, Sequence

from gossipd_scenarios import schema
from gossipd_scenarios.checks import conduct, models
from gossipd_scenarios.checks.verdict import Verdict
from gossipd_scenarios.history import History
from gossipd_scenarios.schema import STANDING, Scenario


def needs_calm(scenario: Scenario) -> bool:
    """Whether a check compares with a run without faults."""
    return any(isinstance(check, schema.Undisturbed) for check in scenario.checks)


def judge(scenario: Scenario, history: History, calm: History | None = None) -> list[Verdict]:
    """The scenario's own checks, then those that hold for every run."""
    checks: Sequence[schema.Check] = (*scenario.checks, *STANDING)
    return [_judged(check, history, calm) for check in checks]


def so_far(scenario: Scenario, history: History) -> Iterator[tuple[schema.Check, Verdict | None]]:
    """As `judge`, of a run that goes on: None for a check whose moment has not come."""
    for check in (*scenario.checks, *STANDING):
        try:
            yield check, _judged(check, history, None)
        except KeyError:  # a mark that has not been set
            yield check, None


def _judged(check: schema.Check, history: History, calm: History | None) -> Verdict:
    match check:
        case schema.Accuracy():
            return models.accuracy(check, history)
        case schema.Reaches():
            return models.reaches(check, history)
        case schema.Undisturbed():
            return models.undisturbed(check, history, calm)
        case schema.LineageConverges():
            return models.lineage(check, history)
        case schema.Progress():
            return models.progress(check, history)
        case schema.Bytes():
            return conduct.sent(check, history)
        case schema.Memory():
            return conduct.memory(check, history)
        case schema.Meshed():
            return conduct.meshed(check, history)
        case schema.Choice():
            return conduct.choice(check, history)
        case schema.Events():
            return conduct.events(check, history)
        case schema.CountersGrow():
            return conduct.counters_grow(history)
        case schema.NothingLost():
            return conduct.nothing_lost(history)
        case schema.NoException():
            return conduct.no_exception(history)
        case schema.NobodyEnded():
            return conduct.nobody_ended(history)
