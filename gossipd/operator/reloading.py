"""Taking over changed settings while the daemon runs: those that are safe, by name."""

from collections.abc import Callable
from typing import Any

from gossipd.address import peer_of
from gossipd.config import RELOADED, Config, values_of
from gossipd.control.logs import get_logger, set_level
from gossipd.errors import OperatorError
from gossipd.machine.upkeep import Upkeep
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.protocol import events
from gossipd.storage.store import DiskStore

KILO, MEGA = 1_000, 1_000_000

log = get_logger("daemon")


class Reloader:
    """Knows what the daemon runs with."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        feed: Callable[[events.Event], None],
        upkeep: Upkeep,
        store: DiskStore,
        transport: Libp2pTransport,
    ) -> None:
        """`read` gives the settings anew, or raises OperatorError "bad-config"."""
        self.config = config
        """The settings as they were read last."""
        self._started = values_of(config)
        self._read = read
        self._feed = feed
        self._upkeep = upkeep
        self._store = store
        self._transport = transport

    def reload(self) -> dict[str, Any]:
        """{applied: {key: value}, restart: [key]}: what holds from now on, and what from the next
        start on, however long ago it was changed. With a mistake anywhere nothing changes."""
        config = self._read()
        old, new = values_of(self.config), values_of(config)
        applied = {key: new[key] for key in sorted(RELOADED) if new[key] != old[key]}
        if "log.level" in applied:
            set_level("all", config.log.level)
        if applied.keys() & {"network.allow", "network.block"}:
            self._upkeep.restrict(config.network.allow, config.network.block)
        for address in set(config.network.peers) - set(self.config.network.peers):
            self._feed(events.Discovered(peer_of(address), (address,), "operator"))
        self._transport.limit_upload(config.guest.max_upload * KILO)
        self._store.quota = config.storage.quota_mb * MEGA
        self._upkeep.day.most = config.guest.max_per_day * MEGA
        self._upkeep.guest.settings = config.guest
        self._upkeep.look()
        self.config = config
        restart = [k for k in new if k not in RELOADED and new[k] != self._started[k]]
        log.info("settings were read again", applied=sorted(applied), restart=restart)
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in applied.items()}
        return {"applied": plain, "restart": restart}

    def on_signal(self) -> None:
        """SIGHUP: as `reload`, but nobody reads the error."""
        try:
            self.reload()
        except OperatorError as error:
            log.error("the settings stay as they were", code=error.code, error=error.message)
