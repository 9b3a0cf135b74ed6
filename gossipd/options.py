"""From what the operator set to what a node is built with: the same for daemon and simulator."""

from gossipd import __version__
from gossipd.config import Config
from gossipd.protocol.gossip import Settings
from gossipd.protocol.round_settings import RoundSettings
from gossipd.runtime.assembly import Options


def options_of(
    config: Config,
    *,
    swarm: bytes | None,
    membership: bytes = b"",
    revocations: tuple[bytes, ...] = (),
) -> Options:
    """`swarm`, `membership` and `revocations` as `Options` has them."""
    gossip, network = config.gossip, config.network
    return Options(
        swarm=swarm,
        agent=f"gossipd/{__version__}",
        gossip=Settings(
            cycle_seconds=gossip.cycle_seconds,
            local_steps=gossip.local_steps,
            fanout=gossip.fanout,
            buffer=gossip.buffer,
            exchange=gossip.exchange,
        ),
        anti_entropy_seconds=gossip.anti_entropy_seconds,
        averaging=gossip.averaging,
        self_weight=gossip.self_weight,
        serving_decay=gossip.serving_decay,
        codec=gossip.codec,
        init=gossip.init,
        max_connections=network.max_connections,
        request_timeout=network.request_timeout,
        dial_timeout=network.dial_timeout,
        progress_timeout=network.progress_timeout,
        allow=network.allow,
        block=network.block,
        rounds=_rounds(config) if config.mode == "rounds" else None,
        membership=membership,
        revocations=revocations,
        policy=config.ranking.peers,
        click_seconds=gossip.anti_entropy_seconds
        if config.ranking.exchange and gossip.exchange
        else None,
        title=config.task.title,
        tags=config.task.tags,
        licence=config.task.licence,
        labels=config.task.show_labels,
    )


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
