"""Taking over changed settings while the daemon runs: those that are safe, by name."""

from collections.abc import Callable
from typing import Any

from gossipd.address import peer_of
from gossipd.config import RELOADED, Config, values_of
from gossipd.control.logs import get_logger, set_level
from gossipd.errors import OperatorError
from gossipd.protocol import events
from gossipd.upkeep import Upkeep

log = get_logger("daemon")


class Reloader:
    """Knows what the daemon runs with."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        feed: Callable[[events.Event], None],
        upkeep: Upkeep,
    ) -> None:
        """`read` gives the settings anew, or raises OperatorError "bad-config"."""
        self._config = config
        self._read = read
        self._feed = feed
        self._upkeep = upkeep

    def reload(self) -> dict[str, Any]:
        """{applied: {key: value}, restart: [key]}: what holds from now on, and what from the next
        start on. With a mistake anywhere nothing changes."""
        config = self._read()
        old, new = values_of(self._config), values_of(config)
        changed = [key for key in new if new[key] != old[key]]
        applied = {key: new[key] for key in changed if key in RELOADED}
        if "log.level" in applied:
            set_level("all", config.log.level)
        if "network.allow" in applied:
            self._feed(events.Restricted(config.network.allow))
        for address in set(config.network.peers) - set(self._config.network.peers):
            self._feed(events.Discovered(peer_of(address), (address,), "operator"))
        self._upkeep.guest.settings = config.guest
        self._upkeep.look()
        self._config = config
        restart = [key for key in changed if key not in RELOADED]
        log.info("settings were read again", applied=sorted(applied), restart=restart)
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in applied.items()}
        return {"applied": plain, "restart": restart}

    def on_signal(self) -> None:
        """SIGHUP: as `reload`, but nobody reads the error."""
        try:
            self.reload()
        except OperatorError as error:
            log.error("the settings stay as they were", code=error.code, error=error.message)
