"""The operator's status as Prometheus metrics, read anew at each scrape.

One source of numbers: what `gossipd status` shows is what is scraped. A measure that does not exist
yet is left out rather than shown as zero.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gossipd.control.operator import Operator

Labelled = Iterable[tuple[tuple[str, ...], float | None]]


class Kind(NamedTuple):
    """What stands in the reference."""

    type: Literal["gauge", "counter"]
    text: str
    labels: tuple[str, ...] = ()


METRICS = {
    "info": Kind("gauge", "What runs here.", ("version", "peer_id", "mode", "task", "swarm")),
    "uptime_seconds": Kind("gauge", "Seconds since the start."),
    "network_healthy": Kind("gauge", "1 while the network thread runs."),
    "network_restarts": Kind("counter", "Restarts of the network thread."),
    "network_bytes": Kind("counter", "Bytes over all connections.", ("direction",)),
    "network_bytes_today": Kind("gauge", "Bytes of this day (UTC), both directions."),
    "network_resting": Kind("gauge", "1 while it talks to nobody: guest.max_per_day is used up."),
    "peers": Kind("gauge", "Peers by state.", ("state",)),
    "round": Kind("gauge", "The round that goes on; missing in the mode gossip."),
    "training_paused": Kind("gauge", "1 while training is paused, whatever the reason."),
    "training_loss": Kind("gauge", "Loss of the latest cycle."),
    "training_examples": Kind("gauge", "Local training examples."),
    "training_steps": Kind("counter", "Mini-batches trained here."),
    "training_cycles": Kind("counter", "Training cycles finished here."),
    "power_plugged": Kind("gauge", "1 while the machine is not on battery."),
    "power_battery_ratio": Kind("gauge", "Charge of the battery, 0 to 1; missing without one."),
    "model_held_out_loss": Kind("gauge", "Loss on local held-out examples.", ("role",)),
    "model_held_out_accuracy": Kind("gauge", "Accuracy on local held-out examples.", ("role",)),
    "model_held_out_metric": Kind(
        "gauge",
        "What the task measures on local held-out examples: accuracy, or rmse and r2.",
        ("role", "metric"),
    ),
    "updates": Kind("counter", "Updates by what became of them.", ("outcome",)),
    "refused": Kind("counter", "Refusals by reason.", ("reason",)),
    "errors": Kind("counter", "Our own faults by kind.", ("kind",)),
    "waits": Kind("gauge", "Waits under way, each with a deadline."),
    "health_warning": Kind("gauge", "1 for each current warning.", ("code", "severity")),
    "api_unexpected_errors": Kind("counter", "Requests that ended in a fault of ours."),
}
"""Every metric of ours, without "gossipd_"; the process's own (process_*) come beside them.
docs/metrics.md is written from here."""


class StatusCollector(Collector):
    """Names and labels are part of the API; every name begins with gossipd_."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def collect(self) -> Iterable[Metric]:
        """All metrics, from one status and one list of peers."""
        status = self._operator.status()
        network, training, guest = status["network"], status["training"], status["guest"]

        yield _family("info", [(tuple(str(status[n]) for n in METRICS["info"].labels), 1.0)])
        yield _single("uptime_seconds", status["uptime"])

        yield _single("network_healthy", network["healthy"])
        yield _single("network_restarts", network["restarts"])
        directions = {"in": network["bytes_in"], "out": network["bytes_out"]}
        yield _family("network_bytes", _by_name(directions))
        yield _single("network_bytes_today", guest["bytes_today"])
        yield _single("network_resting", guest["resting"] is not None)
        states = dict.fromkeys(("connected", "dialing", "backing-off", "known"), 0.0)
        for peer in self._operator.peers():
            states[peer["state"]] = states.get(peer["state"], 0.0) + 1
        yield _family("peers", _by_name(states))
        yield _single("round", status["round"]["number"] if status["round"] else None)

        for name in ("paused", "loss", "examples", "steps", "cycles"):
            yield _single(f"training_{name}", training[name])
        yield _single("power_plugged", guest["plugged"])
        yield _single("power_battery_ratio", guest["battery"])

        models = status["models"]
        for measure in ("held_out_loss", "held_out_accuracy"):
            values = {role: model[measure] for role, model in models.items() if model}
            yield _family(f"model_{measure}", _by_name(values))

        told = [
            ((role, metric), value)
            for role, model in models.items()
            for metric, value in (model.get("held_out") or {}).items()
        ]
        yield _family("model_held_out_metric", told)

        for name in ("updates", "refused", "errors"):
            yield _family(name, _by_name(status[name]))
        yield _single("waits", len(status["waiting"]))
        warnings = [((row["code"], row["severity"]), 1.0) for row in status["health"]]
        yield _family("health_warning", warnings)


class Metrics:
    """The registry of one daemon: its status, its API and its process."""

    def __init__(self, operator: Operator) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.unexpected_errors = Counter(
            "gossipd_api_unexpected_errors",
            METRICS["api_unexpected_errors"].text,
            registry=self._registry,
        )
        self._registry.register(StatusCollector(operator))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


def _by_name(values: dict[str, Any]) -> Labelled:
    return [((name,), value) for name, value in values.items()]


def _family(name: str, values: Labelled) -> Metric:
    kind = METRICS[name]
    make = GaugeMetricFamily if kind.type == "gauge" else CounterMetricFamily
    family = make(f"gossipd_{name}", kind.text, labels=kind.labels)
    for row, value in values:
        if value is not None:
            family.add_metric(row, float(value))
    return family


def _single(name: str, value: float | None) -> Metric:
    return _family(name, [((), value)])
