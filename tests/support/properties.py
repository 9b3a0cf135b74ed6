"""How property tests run: no time limit per example (machines differ), no file left behind."""

from hypothesis import HealthCheck, settings

properties = settings(
    deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
