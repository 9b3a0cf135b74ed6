"""The operator's status as Prometheus metrics, read anew at each scrape.

One source of numbers: what `gossipd status` shows is what is scraped. A measure that does not exist
yet is left out rather than shown as zero.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gossipd.control.operator import Operator

Labelled = Iterable[tuple[tuple[str, ...], float | None]]


class StatusCollector(Collector):
    """Names and labels are part of the API; every name begins with gossipd_."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def collect(self) -> Iterable[Metric]:
        """All metrics, from one status and one list of peers."""
        status = self._operator.status()
        peers = self._operator.peers()
        network, training = status["network"], status["training"]

        about = ("version", "peer_id", "mode", "task", "swarm")
        yield _gauge(
            "info",
            "What runs here.",
            about,
            [(tuple(map(str, (status[name] for name in about))), 1.0)],
        )
        yield _single("uptime_seconds", "Seconds since the start.", status["uptime"])

        yield _single("network_healthy", "1 while the network thread runs.", network["healthy"])
        yield _count("network_restarts", "Restarts of the network thread.", network["restarts"])
        yield _counter(
            "network_bytes",
            "Bytes over all connections.",
            ("direction",),
            [(("in",), network["bytes_in"]), (("out",), network["bytes_out"])],
        )
        states = dict.fromkeys(("connected", "dialing", "backing-off", "known"), 0.0)
        for peer in peers:
            states[peer["state"]] = states.get(peer["state"], 0.0) + 1
        yield _gauge("peers", "Peers by state.", ("state",), _by_name(states))

        yield _single("training_paused", "1 while training is paused.", training["paused"])
        yield _single("training_loss", "Loss of the latest cycle.", training["loss"])
        yield _single("training_examples", "Local training examples.", training["examples"])
        yield _count("training_steps", "Mini-batches trained here.", training["steps"])
        yield _count("training_cycles", "Training cycles finished here.", training["cycles"])

        models = status["models"]
        for measure, text in (
            ("held_out_loss", "Loss on local held-out examples."),
            ("held_out_accuracy", "Accuracy on local held-out examples."),
        ):
            values = {role: model[measure] for role, model in models.items() if model}
            yield _gauge(f"model_{measure}", text, ("role",), _by_name(values))

        metrics = [
            ((role, metric), value)
            for role, model in models.items()
            for metric, value in (model.get("held_out") or {}).items()
        ]
        yield _gauge(
            "model_held_out_metric",
            "What the task measures on local held-out examples: accuracy, or rmse and r2.",
            ("role", "metric"),
            metrics,
        )

        yield _counter(
            "updates", "Updates by what became of them.", ("outcome",), _by_name(status["updates"])
        )
        yield _counter("refused", "Refusals by reason.", ("reason",), _by_name(status["refused"]))
        yield _counter("errors", "Our own faults by kind.", ("kind",), _by_name(status["errors"]))
        yield _single("waits", "Waits under way, each with a deadline.", len(status["waiting"]))
        warnings = [((row["code"], row["severity"]), 1.0) for row in status["health"]]
        yield _gauge(
            "health_warning", "1 for each current warning.", ("code", "severity"), warnings
        )


class Metrics:
    """The registry of one daemon: its status, its API and its process."""

    def __init__(self, operator: Operator) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.unexpected_errors = Counter(
            "gossipd_api_unexpected_errors",
            "Requests that ended in a fault of ours.",
            registry=self._registry,
        )
        self._registry.register(StatusCollector(operator))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


def _by_name(values: dict[str, Any]) -> Labelled:
    return [((name,), value) for name, value in values.items()]


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(f"gossipd_{name}", text, labels=labels)
    for row, value in values:
        if value is not None:
            family.add_metric(row, float(value))
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(f"gossipd_{name}", text, labels=labels)
    for row, value in values:
        if value is not None:
            family.add_metric(row, float(value))
    return family


def _single(name: str, text: str, value: float | None) -> Metric:
    return _gauge(name, text, (), [((), value)])


def _count(name: str, text: str, value: float | None) -> Metric:
    return _counter(name, text, (), [((), value)])
