"""Finding peers on the local network: libp2p's mDNS, in a thread of its own.

It needs multicast, which many networks do not let through: then it says so once, counts, and tries
again later. Nothing else depends on it.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from libp2p.abc import IPeerStore
from libp2p.discovery.mdns.broadcaster import PeerBroadcaster
from libp2p.discovery.mdns.listener import PeerListener
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from zeroconf import Error as ZeroconfError
from zeroconf import Zeroconf

from gossipd.wire import limits

log = logging.getLogger(__name__)

SERVICE = "_p2p-gossipd._udp.local."
"""The libp2p specification's name for peers of one private network: other libp2p hosts of the LAN
are not ours to dial."""
REFRESH_SECONDS = 30.0
"""Between two looks at our own addresses: a laptop changes networks. Ours."""
REMEMBER_SECONDS = 120.0
"""How long a peer that has been announced counts as announced. libp2p's own default."""
STOP_SECONDS = 3.0
"""For taking our announcement back. Ours."""


class Discovery:
    """Announces `addresses()` under `peer_id`, and calls `found(peer, addresses)` on the loop."""

    def __init__(
        self,
        peer_id: str,
        addresses: Callable[[], Sequence[str]],
        found: Callable[[str, Sequence[str]], None],
        counters: Counter[str],
    ) -> None:
        self._peer_id = peer_id
        self._addresses = addresses
        self._found = found
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, name="gossipd-mdns", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.wait([self._ended], timeout=STOP_SECONDS)
        if self._ended.done():
            self._thread.join()

    def tell(self, peer: str, addresses: Sequence[str]) -> None:
        """Somebody was announced: called in zeroconf's thread."""
        if peer != self._peer_id:
            self._post(self._found, peer, addresses[: limits.ADDRESSES_PER_RECORD])

    def _main(self) -> None:
        complained = False
        while not self._stopping.is_set():
            try:
                self._announce(self._addresses())
                complained = False
            except (OSError, ZeroconfError) as error:
                self._post(self._count, "mdns-unavailable")
                if not complained:
                    log.warning("no discovery on the local network: %s", error)
                complained = True
                self._stopping.wait(REFRESH_SECONDS)
        self._post(self._ended.set_result, None)

    def _announce(self, addresses: Sequence[str]) -> None:
        """Be there until we stop, or until our addresses have changed."""
        zeroconf = Zeroconf()
        try:
            name = f"{self._peer_id}.{SERVICE}"
            port = int(addresses[0].split("/")[4]) if addresses else 0
            broadcaster = PeerBroadcaster(
                zeroconf, SERVICE, name, self._peer_id, port, list(addresses)
            )
            listener = PeerListener(
                cast(IPeerStore, _Sink(self)), zeroconf, SERVICE, name, retry_attempts=1
            )
            broadcaster.register()
            while not self._stopping.wait(REFRESH_SECONDS) and self._addresses() == addresses:
                listener.cleanup_stale_entries(int(REMEMBER_SECONDS))
            broadcaster.unregister()
            listener.stop()
        finally:
            zeroconf.close()

    def _count(self, name: str) -> None:
        self._counters[name] += 1

    def _post(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            self._stopping.set()


class _Sink:
    """What libp2p's listener takes for the peer store: it tells what it is given."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    def add_addrs(self, peer: ID, addresses: Sequence[Multiaddr], ttl: int) -> None:
        self._discovery.tell(str(peer), [f"{address}/p2p/{peer}" for address in addresses])

    def clear_addrs(self, peer: ID) -> None:
        """The runtime forgets peers by its own rules."""
