"""Simulated swarms as the tests want them: the shipped defaults, learners of both kinds."""

from typing import Any, Literal

from gossipd.config import Config
from gossipd.protocol.gossip import Settings
from gossipd.protocol.round_settings import RoundSettings
from gossipd.runtime.assembly import Options
from gossipd.runtime.ports import Learner
from gossipd.simulation.node import Machine
from gossipd.simulation.stub import StubLearner
from gossipd.simulation.world import Simulation

Mode = Literal["gossip", "rounds"]


def options(config: Config | None = None, **changes: Any) -> Options:
    """What the daemon makes of a configuration; `changes` replace fields."""
    config = config or Config()
    gossip, network = config.gossip, config.network
    made: dict[str, Any] = {
        "swarm": None,
        "agent": "gossipd/simulated",
        "gossip": Settings(
            cycle_seconds=gossip.cycle_seconds,
            local_steps=gossip.local_steps,
            fanout=gossip.fanout,
            buffer=gossip.buffer,
            exchange=gossip.exchange,
        ),
        "anti_entropy_seconds": gossip.anti_entropy_seconds,
        "averaging": gossip.averaging,
        "self_weight": gossip.self_weight,
        "serving_decay": gossip.serving_decay,
        "codec": gossip.codec,
        "init": gossip.init,
        "max_connections": network.max_connections,
        "request_timeout": network.request_timeout,
        "dial_timeout": network.dial_timeout,
        "progress_timeout": network.progress_timeout,
        "rounds": _rounds(config) if config.mode == "rounds" else None,
    }
    return Options(**{**made, **changes})


def _rounds(config: Config) -> RoundSettings:
    rounds = config.rounds
    return RoundSettings(
        sample=rounds.sample,
        aggregators=rounds.aggregators,
        success_fraction=rounds.success_fraction,
        activity_window=rounds.activity_window,
        local_steps=rounds.local_steps,
        round_seconds=rounds.round_seconds,
        exchange=config.gossip.exchange,
    )


def stub(number: int) -> Learner:
    return StubLearner(number)


def digits(node: int, nodes: int = 5, classes_per_node: int = 2) -> Learner:
    """The real thing: the demo's shards and learning rate."""
    from gossipd.learning.digits import Digits
    from gossipd.learning.learner import TorchLearner
    from gossipd.learning.partition import Shard

    shard = Shard("classes", node, nodes, classes_per_node=classes_per_node)
    return TorchLearner(Digits(), shard, lr=0.1, seed=node)


def swarm(
    sim: Simulation,
    count: int,
    learner: Any = stub,
    machine: Machine | None = None,
    mode: Mode = "gossip",
    **changes: Any,
) -> list[str]:
    """Started nodes n0, n1, ... that have all been told of each other."""
    names = [f"n{number}" for number in range(count)]
    for number, name in enumerate(names):
        sim.add(name, learner(number), options(Config(mode=mode), **changes), machine)
    sim.introduce(*names)
    sim.start(*names)
    return names
